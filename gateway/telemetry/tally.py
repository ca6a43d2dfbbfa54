"""Counters and times that cost a call little: one lock and three additions, where the client library makes many calls.

They are exact: whoever looks sees each event either in all series that it belongs to, or in none.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_INFINITE = float("inf")


class Tally:
    """Events of some kinds, with a number of seconds for all together. Thread-safe."""

    __slots__ = ("_bounds", "_kinds", "_lock", "_seconds", "_within")

    def __init__(self, bounds: Sequence[float], kinds: Sequence[str] = ()) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._kinds = dict.fromkeys(kinds, 0)
        self._within = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def add(self, kind: str, seconds: float | None = None, count: int = 1) -> None:
        """An event, or some that have no time."""
        with self._lock:
            self._kinds[kind] = self._kinds.get(kind, 0) + count
            if seconds is not None:
                self._within[bisect_left(self._bounds, seconds)] += 1
                self._seconds += seconds

    def add_all(self, kind: str, times: Sequence[float]) -> None:
        """Some events of a kind, each with its seconds."""
        times = sorted(times)
        until = [0, *(bisect_right(times, bound) for bound in self._bounds), len(times)]
        with self._lock:
            self._kinds[kind] = self._kinds.get(kind, 0) + len(times)
            for place, (before, after) in enumerate(pairwise(until)):
                self._within[place] += after - before
            self._seconds += sum(times)

    def time(self, seconds: float) -> None:
        """A time that belongs to no event of these."""
        with self._lock:
            self._within[bisect_left(self._bounds, seconds)] += 1
            self._seconds += seconds

    def seen(self) -> tuple[dict[str, int], list[int], float]:
        """How many of each kind; how many times between bounds; the sum of the times."""
        with self._lock:
            return self._kinds.copy(), self._within.copy(), self._seconds


class Tallies(Collector):
    """A counter ``name`` by kind and a histogram ``times``, both by group where ``group`` names the label of one."""

    def __init__(
        self, name: tuple[str, str], kind: str, times: tuple[str, str], bounds: Sequence[float], group: str = ""
    ) -> None:
        self._name, self._words = name
        self._times, self._times_words = times
        self._kind = kind
        self._group = group
        self._bounds = bounds
        self._lock = threading.Lock()
        self._tallies: dict[str, Tally] = {}

    def of(self, group: str = "", kinds: Sequence[str] = ()) -> Tally:
        """The tally of a group; ``kinds`` are shown from the start."""
        with self._lock:
            return self._tallies.setdefault(group, Tally(self._bounds, kinds))

    def describe(self) -> list[Metric]:
        """Their names, for the check that no two are the same."""
        return [*self._families()]

    def collect(self) -> list[Metric]:
        """What Prometheus asks for."""
        counter, histogram = self._families()
        with self._lock:
            tallies = list(self._tallies.items())
        for group, tally in tallies:
            labels = [group] if self._group else []
            kinds, within, seconds = tally.seen()
            for kind, count in kinds.items():
                counter.add_metric([*labels, kind], float(count))
            buckets, total = [], 0
            for bound, count in zip([*self._bounds, _INFINITE], within, strict=True):
                total += count
                buckets.append((_text(bound), float(total)))
            histogram.add_metric(labels, buckets, seconds)
        return [counter, histogram]

    def _families(self) -> tuple[CounterMetricFamily, HistogramMetricFamily]:
        group = [self._group] if self._group else []
        return (
            CounterMetricFamily(self._name, self._words, labels=[*group, self._kind]),
            HistogramMetricFamily(self._times, self._times_words, labels=group),
        )


def _text(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]
