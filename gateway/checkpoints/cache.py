"""A short-lived, bounded cache of what DIS has confirmed. It never holds "there is no checkpoint"."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache, TTLCache

from gateway.model import MAX_SEQUENCE_NUMBER, Checkpoint, CheckpointKey, SequenceNumber

_HIGHEST = SequenceNumber(MAX_SEQUENCE_NUMBER)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A checkpoint and when DIS confirmed it, in seconds on the monotonic clock."""

    checkpoint: Checkpoint
    at: float


class CheckpointCache:
    """Values for ``ttl`` seconds, at most ``max_entries`` of them; a ``ttl`` of 0 turns it off. Thread-safe.

    Beside the values it remembers, without a time limit but within the same bound, the last number known of a key:
    good enough to see that a commit goes backwards, never good enough to answer a read.
    """

    def __init__(self, ttl: float, max_entries: int, clock: Callable[[], float]) -> None:
        self._enabled = ttl > 0
        self._clock = clock
        self._lock = threading.Lock()
        self._values: TTLCache[CheckpointKey, Confirmed] = TTLCache(max_entries, ttl, timer=clock)
        self._numbers: LRUCache[CheckpointKey, SequenceNumber] = LRUCache(max_entries)

    def get(self, key: CheckpointKey, max_age: float | None = None) -> tuple[Checkpoint, float] | None:
        """The value and its age in seconds, if one is younger than ``max_age`` and the cache's own limit."""
        with self._lock:
            confirmed = self._values.get(key)
            if confirmed is None:
                return None
            age = max(0.0, self._clock() - confirmed.at)
            if max_age is not None and age >= max_age:
                return None
            return confirmed.checkpoint, age

    def last_known_number(self, key: CheckpointKey) -> SequenceNumber | None:
        """The number that DIS last confirmed for this key, however long ago; the highest there is after a doubt."""
        with self._lock:
            return self._numbers.get(key)

    def put(self, checkpoint: Checkpoint) -> None:
        """Keep what DIS has just confirmed."""
        with self._lock:
            self._numbers[checkpoint.key] = checkpoint.sequence_number
            if self._enabled:
                self._values[checkpoint.key] = Confirmed(checkpoint, self._clock())

    def doubt(self, key: CheckpointKey) -> None:
        """Nobody knows what DIS has: answer no read from here, and take every commit for a possible regress."""
        with self._lock:
            self._values.pop(key, None)
            self._numbers[key] = _HIGHEST

    def forget(self, key: CheckpointKey) -> None:
        """Drop all that is known of a key: DIS says that it has no checkpoint."""
        with self._lock:
            self._values.pop(key, None)
            self._numbers.pop(key, None)

    def __len__(self) -> int:
        with self._lock:
            self._values.expire()
            return len(self._values)
