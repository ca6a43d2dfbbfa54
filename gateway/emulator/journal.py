"""What the emulator was asked: the last requests, and how many there were."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping

import msgspec

KEPT = 10_000


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the API of DIS. ``query`` is as in the request line; ``status`` 0 means: not answered (yet).

    ``authorization`` lacks the signature; ``headers`` has only those that hold nothing secret.
    """

    number: int
    method: str
    path: str
    query: str
    body: str
    authorization: str = ""
    headers: Mapping[str, str] = {}
    status: int = 0


class Journal:
    """Keeps the last requests and counts all. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: deque[Recorded] = deque(maxlen=KEPT)
        self._counts: Counter[str] = Counter()
        self._number = 0

    def add(self, method: str, path: str, query: str, body: str, authorization: str, headers: Mapping[str, str]) -> int:
        """Record a request that came in; returns its number."""
        with self._changed:
            self._number += 1
            self._counts[method] += 1
            self._requests.append(
                Recorded(
                    number=self._number,
                    method=method,
                    path=path,
                    query=query,
                    body=body,
                    authorization=authorization,
                    headers=headers,
                )
            )
            self._changed.notify_all()
            return self._number

    def answered(self, number: int, status: int) -> None:
        """Note how a request was answered."""
        with self._changed:
            if not self._requests:
                return
            place = number - self._requests[0].number
            if 0 <= place < len(self._requests):
                self._requests[place] = msgspec.structs.replace(self._requests[place], status=status)

    def requests(self) -> list[Recorded]:
        """The last requests, the oldest first."""
        with self._changed:
            return list(self._requests)

    def count(self, method: str | None = None) -> int:
        """How many requests there were, all or those of one method."""
        with self._changed:
            return self._counts[method.upper()] if method else self._counts.total()

    def wait_for(self, count: int, method: str | None, timeout: float) -> bool:
        """Wait until ``count`` requests have come in, at most ``timeout`` seconds; tells whether they have."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (self._counts[method.upper()] if method else self._counts.total()) >= count, timeout
            )

    def clear(self) -> None:
        """Forget all."""
        with self._changed:
            self._requests.clear()
            self._counts.clear()
