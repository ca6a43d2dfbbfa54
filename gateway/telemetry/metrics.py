"""What can be counted, for Prometheus: one registry for each gateway, a small and fixed set of names and labels.

What each call touches is a :class:`~gateway.telemetry.tally.Tally`; the rest are what the client library has.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gateway.checkpoints.work import Event
from gateway.model import CheckpointKey, PartitionState
from gateway.telemetry.partitions import Labels, PartitionGauge
from gateway.telemetry.tally import Tallies

LAG_KEPT_SECONDS = 3600.0
"""A lag that was not listed again for so long is shown no more."""

_RPC_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_UPSTREAM_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_AGE_SECONDS = (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

Samples = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""Labels and values, by the name of the sample."""

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
    """Counters and gauges of one gateway. Thread-safe. ``clock`` gives seconds, ``wall`` those since 1970."""

    def __init__(
        self, version: str, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self.registry = CollectorRegistry()
        self._wall = wall
        self._gauges: dict[str, Gauge] = {}
        regressions = self._counter(
            "disgw_commits_below",
            "Commits below the number that stands: refused, allowed by the policy, or rewound on purpose",
            "action",
        )
        self._counters = {
            Event.FLIGHT_SHARED: self._counter("disgw_flights_shared", "Reads that joined one under way to DIS"),
            Event.FOLDED: self._counter("disgw_commits_folded", "Commits that a higher one of their key stood for"),
            Event.DOUBTED: self._counter("disgw_writes_unknown", "Writes whose outcome is not known"),
            Event.OVERLOADED: self._counter("disgw_writes_overloaded", "Writes refused because too many wait"),
            Event.READ_OVERLOADED: self._counter("disgw_reads_overloaded", "Reads refused because too many wait"),
            **{event: regressions.labels(label) for event, label in _REGRESSIONS.items()},
        }
        self.rpcs = Tallies(
            ("disgw_rpcs", "Calls that have ended, streams included"),
            "code",
            ("disgw_rpc_seconds", "Time from a call, or a commit of a stream, until its answer"),
            _RPC_SECONDS,
            "method",
        )
        self.items = self._counter(
            "disgw_items", "Elements of batches and streams that were answered", "method", "code"
        )
        self.attempts = Tallies(
            ("disgw_upstream_attempts", "Requests to DIS by how they ended: an HTTP status, not_sent, or lost"),
            "result",
            ("disgw_upstream_seconds", "Time from a request to DIS until its answer"),
            _UPSTREAM_SECONDS,
            "operation",
        )
        reads = Tallies(
            ("disgw_cache_reads", "Reads by what the cache had: hit, miss, or stale"),
            "result",
            ("disgw_cache_age_seconds", "Age of what was served from the cache"),
            _AGE_SECONDS,
        )
        for tallies in (self.rpcs, self.attempts, reads):
            self.registry.register(tallies)
        self._reads = reads.of(kinds=list(_READS.values()))
        self.count_hit = partial(self._reads.add, _READS[Event.CACHE_HIT])
        """Takes the age in seconds of one that was served from the cache."""
        self._lag = PartitionGauge(
            "disgw_lag_records",
            "Records that an app has not finished, as of the last ListCheckpoints",
            clock,
            LAG_KEPT_SECONDS,
        )
        self._commits = PartitionGauge(
            "disgw_last_commit_timestamp_seconds", "When DIS has last stored a checkpoint of this gateway", clock
        )
        self.registry.register(self._lag)
        self.registry.register(self._commits)
        ProcessCollector(registry=self.registry)
        info = Gauge("disgw_build_info", "What runs here", ["version", "python"], registry=self.registry)
        info.labels(version, platform.python_version()).set(1)

    def count(self, event: Event, count: int, age: float | None = None) -> None:
        """Something has happened ``count`` times; ``age`` is that of what was served from the cache."""
        read = _READS.get(event)
        if read is None:
            self._counters[event].inc(count)
        else:
            self._reads.add(read, age, count)

    def count_hits(self, ages: Sequence[float]) -> None:
        """So many were served from the cache at once, at these ages in seconds."""
        self._reads.add_all(_READS[Event.CACHE_HIT], ages)

    def watch(self, name: str, words: str, value: Callable[[], float], **labels: str) -> None:
        """A gauge that is asked when somebody looks; of one name there may be several with other labels."""
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name, words, list(labels), registry=self.registry)
        (gauge.labels(**labels) if labels else gauge).set_function(value)

    def watch_if_known(self, name: str, words: str, value: Callable[[], float | None]) -> None:
        """A gauge that is asked when somebody looks, and is not there where it gives None."""
        self.registry.register(_IfKnown(name, words, value))

    def counter(self, name: str, words: str) -> Callable[[], None]:
        """A new counter; gives what adds one to it."""
        return self._counter(name, words).inc

    def listed(self, partitions: Sequence[PartitionState]) -> None:
        """Where an app stands, as DIS has just said."""
        self._lag.set((one.key, one.lag) for one in partitions)

    def wrote(self, key: CheckpointKey, exists: bool) -> None:
        """DIS has just stored a checkpoint, or deleted it: that it is not committed any more is no news then."""
        if exists:
            self._commits.set([(key, self._wall())])
        else:
            self._commits.drop(key)

    def lags(self) -> Mapping[Labels, float]:
        """The lag of each partition, the last listed first."""
        return self._lag.newest()

    def last_commits(self) -> Mapping[Labels, float]:
        """When each partition was last committed, in seconds since 1970, the last one first."""
        return self._commits.newest()

    def samples(self) -> Samples:
        """Everything as Prometheus would see it, by the name of the sample."""
        samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in self.registry.collect():
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
        return samples

    def text(self, accept: str = "") -> bytes:
        """Everything, as :meth:`encoded`."""
        return self.encoded(accept)[0]

    def encoded(self, accept: str) -> tuple[bytes, str]:
        """Everything in the text format of Prometheus, or OpenMetrics if ``accept`` asks for it, and its type."""
        try:
            encode, kind = choose_encoder(accept)
        except (ValueError, TypeError):  # a version that is none
            encode, kind = choose_encoder("")
        return encode(self.registry), kind

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, labels, registry=self.registry)


class _IfKnown(Collector):
    def __init__(self, name: str, words: str, value: Callable[[], float | None]) -> None:
        self._name = name
        self._words = words
        self._value = value

    def describe(self) -> list[Metric]:
        return [GaugeMetricFamily(self._name, self._words)]

    def collect(self) -> list[Metric]:
        return [GaugeMetricFamily(self._name, self._words, value=self._value())]
