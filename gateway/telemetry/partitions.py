"""Series for each partition, of which there may be many: bounded, the longest not heard of goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.model import CheckpointKey

PARTITIONS_MAX = 1000
"""Series of one name."""
_LABELS = ("stream", "app", "partition")

Labels = tuple[str, str, str]


class PartitionGauge(Collector):
    """The last value of each partition, at most :data:`PARTITIONS_MAX` of them. Thread-safe.

    With ``kept_seconds``, a value that was not set again for so long is shown no more. ``clock`` gives seconds.
    """

    def __init__(self, name: str, words: str, clock: Callable[[], float], kept_seconds: float | None = None) -> None:
        self._name = name
        self._words = words
        self._clock = clock
        self._kept = kept_seconds
        self._lock = threading.Lock()
        self._values: OrderedDict[Labels, tuple[float, float]] = OrderedDict()

    def set(self, values: Iterable[tuple[CheckpointKey, float]]) -> None:
        """Set the values of some partitions."""
        now = self._clock()
        with self._lock:
            for key, value in values:
                labels = (key.stream_name, key.app_name, key.partition_id)
                self._values[labels] = (value, now)
                self._values.move_to_end(labels)
            while len(self._values) > PARTITIONS_MAX:
                self._values.popitem(last=False)

    def drop(self, key: CheckpointKey) -> None:
        """Show a partition no more."""
        with self._lock:
            self._values.pop((key.stream_name, key.app_name, key.partition_id), None)

    def newest(self) -> Mapping[Labels, float]:
        """The values, the last one that was set first."""
        with self._lock:
            if self._kept is not None:
                limit = self._clock() - self._kept
                while self._values and next(iter(self._values.values()))[1] < limit:
                    self._values.popitem(last=False)
            return {labels: value for labels, (value, _) in reversed(self._values.items())}

    def describe(self) -> list[Metric]:
        """Its name, for the check that no two are the same."""
        return [self._family()]

    def collect(self) -> list[Metric]:
        """What Prometheus asks for."""
        family = self._family()
        for labels, value in self.newest().items():
            family.add_metric(labels, value)
        return [family]

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._name, self._words, labels=_LABELS)
