"""Per-key state of the calls under way: a lock for writes, and a generation that tells a read it was overtaken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.model import CheckpointKey


class KeyState:
    """One key's state while at least one call uses it.

    ``write_lock`` is held around a write. ``generation`` moves with every write that may have changed DIS; it is read
    and moved under the guard of the service.
    """

    __slots__ = ("generation", "users", "write_lock")

    def __init__(self) -> None:
        self.write_lock = threading.Lock()
        self.generation = 0
        self.users = 0


class KeyTable:
    """The states of the keys in use; a key that nobody uses takes no memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[CheckpointKey, KeyState] = {}

    @contextmanager
    def using(self, key: CheckpointKey) -> Iterator[KeyState]:
        """The state that every concurrent user of ``key`` shares."""
        with self._lock:
            state = self._states.get(key)
            if state is None:
                state = self._states[key] = KeyState()
            state.users += 1
        try:
            yield state
        finally:
            with self._lock:
                state.users -= 1
                if not state.users:
                    del self._states[key]

    def __len__(self) -> int:
        with self._lock:
            return len(self._states)
