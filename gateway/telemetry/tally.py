"""Counters and times that cost a call little: most are put by, and counted many at a time.

They are exact: whoever looks sees each event either in all series that it belongs to, or in none.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_INFINITE = float("inf")


_RECENT = 500
"""Events that are put by before they are counted, in one go and for less."""


class Tally:
    """Events of some kinds, with a number of seconds for all together; the first kind costs least. Thread-safe."""

    __slots__ = ("_bounds", "_kinds", "_lock", "_often", "_recent", "_seconds", "_within")

    def __init__(self, bounds: Sequence[float], kinds: Sequence[str] = ()) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._kinds = dict.fromkeys(kinds, 0)
        self._often = kinds[0] if kinds else ""
        self._recent: deque[float] = deque()
        """seconds of events of the first kind that are not counted yet"""
        self._within = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def add(self, kind: str, seconds: float | None = None, count: int = 1) -> None:
        """An event, or some that have no time."""
        if kind == self._often and seconds is not None and count == 1:
            recent = self._recent
            recent.append(seconds)  # one step, so that it needs no lock
            if len(recent) >= _RECENT:
                with self._lock:
                    self._take_in()
            return
        with self._lock:
            self._kinds[kind] = self._kinds.get(kind, 0) + count
            if seconds is not None:
                self._within[bisect_left(self._bounds, seconds)] += 1
                self._seconds += seconds

    def add_all(self, kind: str, times: Sequence[float]) -> None:
        """Some events of a kind, each with its seconds."""
        with self._lock:
            self._count(kind, times)

    def time(self, seconds: float) -> None:
        """A time that belongs to no event of these."""
        with self._lock:
            self._within[bisect_left(self._bounds, seconds)] += 1
            self._seconds += seconds

    def seen(self) -> tuple[dict[str, int], list[int], float]:
        """How many of each kind; how many times between bounds; the sum of the times."""
        with self._lock:
            self._take_in()
            return self._kinds.copy(), self._within.copy(), self._seconds

    def _take_in(self) -> None:
        """Whoever has the lock alone takes events out, so those that were there are."""
        self._count(self._often, [self._recent.popleft() for _ in range(len(self._recent))])

    def _count(self, kind: str, times: Sequence[float]) -> None:
        if not times:
            return
        times = sorted(times)
        before = 0
        for place, bound in enumerate(self._bounds):
            until = bisect_right(times, bound)
            self._within[place] += until - before
            before = until
        self._within[-1] += len(times) - before
        self._kinds[kind] = self._kinds.get(kind, 0) + len(times)
        self._seconds += sum(times)


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
