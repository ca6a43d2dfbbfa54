"""Who wants to hear of changes: each watcher has the newest value of each of its keys, never a growing queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from gateway.model import Checkpoint, CheckpointKey


class Watch:
    """Some keys that somebody follows. Thread-safe."""

    def __init__(self, keys: Sequence[CheckpointKey], wake: Callable[[], None]) -> None:
        self.keys = frozenset(keys)
        self._wake = wake
        self._lock = threading.Lock()
        self._heard: dict[CheckpointKey, int] = {}
        self._pending: dict[CheckpointKey, Checkpoint | None] = {}

    def changed(self, key: CheckpointKey, checkpoint: Checkpoint | None, order: int) -> None:
        """A value of a key, the present one or a new one. It replaces an older one that was not taken yet."""
        with self._lock:
            if self._heard.get(key, -1) >= order:
                return  # threads may tell of changes out of order
            self._heard[key] = order
            self._pending[key] = checkpoint
        self._wake()

    def take(self) -> list[tuple[CheckpointKey, Checkpoint | None]]:
        """What has changed since the last time."""
        with self._lock:
            taken, self._pending = self._pending, {}
        return list(taken.items())


class Watches:
    """All who follow something. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[CheckpointKey, list[Watch]] = {}

    def add(self, keys: Sequence[CheckpointKey], wake: Callable[[], None]) -> Watch:
        """Begin to follow some keys."""
        watch = Watch(keys, wake)
        with self._lock:
            for key in watch.keys:
                self._by_key.setdefault(key, []).append(watch)
        return watch

    def remove(self, watch: Watch) -> None:
        """Follow no longer."""
        with self._lock:
            for key in watch.keys:
                others = self._by_key[key]
                others.remove(watch)
                if not others:
                    del self._by_key[key]

    def watched(self, key: CheckpointKey) -> bool:
        """Whether anybody follows a key."""
        with self._lock:
            return key in self._by_key

    def changed(self, key: CheckpointKey, checkpoint: Checkpoint | None, order: int) -> None:
        """Tell those who follow it."""
        with self._lock:
            watches = list(self._by_key.get(key, ()))
        for watch in watches:
            watch.changed(key, checkpoint, order)
