"""Lets some lines of each sort into the log and counts the others: a failure that repeats must not drown the log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

BURST = 5
"""Lines of a sort that may come at once."""
SECONDS_EACH = 10.0
"""After that, one line of it in so many seconds."""
_SORTS_MAX = 1000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float
    suppressed: int = 0


class LogLimit:
    """A token bucket for each sort of lines. Thread-safe. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float], burst: int = BURST, seconds_each: float = SECONDS_EACH) -> None:
        self._clock = clock
        self._burst = burst
        self._seconds_each = seconds_each
        self._lock = threading.Lock()
        self._buckets: dict[Hashable, _Bucket] = {}

    def admit(self, sort: Hashable) -> int | None:
        """How many lines of this sort were kept back since the last one; None: keep this one back too."""
        now = self._clock()
        with self._lock:
            bucket = self._buckets.get(sort)
            if bucket is None:
                if len(self._buckets) >= _SORTS_MAX:  # sorts are few: this only keeps a mistake from growing
                    self._buckets.clear()
                bucket = self._buckets[sort] = _Bucket(self._burst, now)
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled) / self._seconds_each)
            bucket.filled = now
            if bucket.tokens < 1.0:
                bucket.suppressed += 1
                return None
            bucket.tokens -= 1.0
            suppressed, bucket.suppressed = bucket.suppressed, 0
            return suppressed
