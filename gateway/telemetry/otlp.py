"""Sends traces and metrics by OTLP over HTTP. Imported only where that is configured, as OpenTelemetry is.

The metrics are those of the Prometheus registry, so that both ways tell the same.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

from gateway.telemetry.tracing import Tracing

SECONDS = 30.0
"""Between two deliveries of metrics."""

_SCOPE = "gateway"
_UNKNOWN: Any = None
"""The smallest and the largest of what a histogram has seen: an optional field of OTLP, though typed as a number."""


class Otlp:
    """What goes to a collector whose URL is ``endpoint``; ``/v1/traces`` and ``/v1/metrics`` are added to it."""

    def __init__(
        self, endpoint: str, version: str, registry: CollectorRegistry, *, traces: bool, metrics: bool, ratio: float
    ) -> None:
        base = endpoint.rstrip("/")
        resource = Resource.create({"service.name": "dis-gateway", "service.version": version}).merge(
            Resource({"service.instance.id": str(uuid.uuid4())})
        )
        self.tracing: Tracing | None = None
        self._closing: list[Callable[[], None]] = []
        self._aborting: list[Callable[[], None]] = []
        if traces:
            exporter = OTLPSpanExporter(f"{base}/v1/traces")
            provider = TracerProvider(ParentBased(TraceIdRatioBased(ratio)), resource, shutdown_on_exit=False)
            provider.add_span_processor(BatchSpanProcessor(exporter))
            self.tracing = Tracing(provider.get_tracer(_SCOPE, version))
            self._closing.append(provider.shutdown)
            self._aborting.append(exporter.shutdown)
        if metrics:
            sender = _MetricSender(OTLPMetricExporter(f"{base}/v1/metrics"), resource, version, registry)
            self._closing.append(sender.close)
            self._aborting.append(sender.abort)

    def close(self, seconds: float) -> None:
        """Deliver what there is, within some ``seconds``: an end does not wait for a collector."""
        closing, self._closing = self._closing, []
        threads = [threading.Thread(target=close, name="otlp-close", daemon=True) for close in closing]
        until = time.monotonic() + seconds
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        for thread, abort in zip(threads, self._aborting, strict=False):
            if thread.is_alive():
                abort()


class _MetricSender:
    def __init__(
        self, exporter: OTLPMetricExporter, resource: Resource, version: str, registry: CollectorRegistry
    ) -> None:
        self._exporter = exporter
        self._resource = resource
        self._scope = InstrumentationScope(_SCOPE, version)
        self._registry = registry
        self._began = time.time_ns()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(SECONDS):
            self._send()
        self._send()

    def _send(self) -> None:
        metrics = metrics_of(self._registry.collect(), self._began, time.time_ns())
        scope = ScopeMetrics(self._scope, metrics, "")
        self._exporter.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]))  # which logs what fails

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._exporter.shutdown()

    def abort(self) -> None:
        self._exporter.shutdown()


def metrics_of(families: Iterable[Family], began: int, now: int) -> list[Metric]:
    """What Prometheus would be told, for OpenTelemetry. Times are in nanoseconds since 1970."""
    metrics = []
    for family in families:
        data: Sum | Gauge | Histogram
        if family.type == "counter":
            points = [_number(sample, began, now) for sample in family.samples if sample.name.endswith("_total")]
            data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        elif family.type == "histogram":
            data = Histogram(_histograms(family.samples, began, now), AggregationTemporality.CUMULATIVE)
        else:
            data = Gauge([_number(sample, began, now) for sample in family.samples])
        if data.data_points:
            metrics.append(Metric(family.name, family.documentation, _unit(family.name), data))
    return metrics


def _unit(name: str) -> str:
    return "s" if name.endswith("_seconds") else "By" if name.endswith("_bytes") else ""


def _number(sample: Sample, began: int, now: int) -> NumberDataPoint:
    return NumberDataPoint(sample.labels, began, now, sample.value)


def _histograms(samples: Sequence[Sample], began: int, now: int) -> list[HistogramDataPoint]:
    """Prometheus counts what is at most a bound; OpenTelemetry, what lies between two."""
    below: dict[tuple[tuple[str, str], ...], list[tuple[float, int]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            below.setdefault(labels, []).append((float(sample.labels["le"]), int(sample.value)))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    points = []
    for labels, buckets in below.items():
        counts = [count for _, count in buckets]
        between = [count - before for count, before in zip(counts, [0, *counts], strict=False)]
        bounds = [bound for bound, _ in buckets[:-1]]
        points.append(
            HistogramDataPoint(
                dict(labels), began, now, counts[-1], sums[labels], between, bounds, min=_UNKNOWN, max=_UNKNOWN
            )
        )
    return points
