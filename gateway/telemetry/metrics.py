"""What can be counted, for Prometheus: one registry for each gateway, a small and fixed set of names and labels."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.checkpoints.work import Event
from gateway.model import PartitionState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PARTITIONS_MAX = 1000
"""Partitions whose lag is kept: those that were listed first."""

_READS = {
    Event.CACHE_HIT: "hit",
    Event.CACHE_MISS: "miss",
    Event.SERVED_STALE: "stale",
}
_REGRESSIONS = {
    Event.REGRESSION_REFUSED: "refused",
    Event.REGRESSION_ALLOWED: "allowed",
    Event.REWOUND: "rewound",
}


class Metrics:
    """Counters and gauges of one gateway. Thread-safe."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        reads = Counter(
            "disgw_cache_reads", "Reads by what the cache had: hit, miss, or stale", ["result"], registry=self._registry
        )
        regressions = Counter(
            "disgw_commits_below",
            "Commits below the number that stands: refused, allowed by the policy, or rewound on purpose",
            ["action"],
            registry=self._registry,
        )
        self._counters = {
            Event.FLIGHT_SHARED: self._counter("disgw_flights_shared", "Reads that joined one under way to DIS"),
            Event.FOLDED: self._counter("disgw_commits_folded", "Commits that a higher one of their key stood for"),
            Event.DOUBTED: self._counter("disgw_writes_unknown", "Writes whose outcome is not known"),
            Event.OVERLOADED: self._counter("disgw_writes_overloaded", "Writes refused because too many wait"),
            **{event: reads.labels(label) for event, label in _READS.items()},
            **{event: regressions.labels(label) for event, label in _REGRESSIONS.items()},
        }
        self._lag = _Lag()
        self._registry.register(self._lag)
        info = Gauge("disgw_build_info", "What runs here", ["version", "python"], registry=self._registry)
        info.labels(version, platform.python_version()).set(1)

    def count(self, event: Event, count: int) -> None:
        """Something has happened ``count`` times."""
        self._counters[event].inc(count)

    def watch(self, name: str, words: str, value: Callable[[], float], **labels: str) -> None:
        """A gauge that is asked when somebody looks; of one name there may be several with other labels."""
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name, words, list(labels), registry=self._registry)
        (gauge.labels(**labels) if labels else gauge).set_function(value)

    def counter(self, name: str, words: str) -> Callable[[], None]:
        """A new counter; gives what adds one to it."""
        return self._counter(name, words).inc

    def listed(self, partitions: Sequence[PartitionState]) -> None:
        """Where an app stands, as DIS has just said."""
        self._lag.update(partitions)

    def text(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        return generate_latest(self._registry)

    def _counter(self, name: str, words: str) -> Counter:
        return Counter(name, words, registry=self._registry)


class _Lag(Collector):
    """The lag of the partitions that were listed, at most :data:`PARTITIONS_MAX` of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lags: dict[tuple[str, str, str], int] = {}

    def update(self, partitions: Sequence[PartitionState]) -> None:
        with self._lock:
            for one in partitions:
                labels = (one.key.stream_name, one.key.app_name, one.key.partition_id)
                if labels in self._lags or len(self._lags) < PARTITIONS_MAX:
                    self._lags[labels] = one.lag

    def collect(self) -> list[Metric]:
        family = GaugeMetricFamily(
            "disgw_lag_records",
            "Records that an app has not finished, as of the last ListCheckpoints",
            labels=["stream", "app", "partition"],
        )
        with self._lock:
            for labels, lag in self._lags.items():
                family.add_metric(labels, lag)
        return [family]
