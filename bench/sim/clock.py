"""A clock that jumps from one event to the next, and blocking code that runs on it, one piece at a time.

The code under test is written for threads: it sends, and it sleeps. Here each piece runs in a greenlet that gives way
where a thread would block, so that an hour passes in seconds and twice in the same way.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet


class Clock:
    """Seconds since the start. Events of one moment happen in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._hub = getcurrent()

    def __call__(self) -> float:
        return self.now

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Have something done at a time; what is past is done next."""
        heapq.heappush(self._events, (max(when, self.now), next(self._order), act))

    def spawn(self, work: Callable[[], object]) -> None:
        """Begin some blocking code now."""
        self.at(self.now, greenlet(work, self._hub).switch)

    def sleep(self, seconds: float) -> None:
        """Block for a time. Only in code that was spawned."""
        self.at(self.now + seconds, getcurrent().switch)
        self._hub.switch()

    def block(self) -> tuple[Callable[[Any], None], Callable[[], Any]]:
        """A pair: a function that wakes the code that runs now, with a value, and one that blocks it until then."""
        me = getcurrent()

        def wake(value: Any) -> None:
            self.at(self.now, lambda: me.switch(value))

        return wake, self._hub.switch

    def run(self, until: float) -> None:
        """Let time pass. Raises what the code raises."""
        while self._events and self._events[0][0] <= until:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self.now = until
