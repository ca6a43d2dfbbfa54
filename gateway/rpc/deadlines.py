"""When calls that hold no thread give up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from heapq import heappop, heappush
from math import floor, inf
from typing import Protocol

import structlog

from gateway.scheduling import go_on_at_once

_STEPS = 1000
"""Of a second: a call gives up within the last one of them before its time."""
_NEAR_SECONDS = 2.0
"""What is further away is looked at anew one to two seconds before its time, so that there are few steps at once."""
_LOOK_SECONDS = 0.05
"""So often a clock is looked at that may jump"""
_IDLE_LOOKS = 50
"""After so many looks with nobody there it is not looked at, until somebody comes: who is alone wakes no thread then"""

_FAR_SECONDS = 60.0
"""Who waits for longer is looked at so often: callers choose how long they wait, and not how many steps there are."""
_NOWHERE = -1

log = structlog.get_logger("gateway.rpc")


class Waiter(Protocol):
    """Waits until ``deadline``, in seconds on the clock of its :class:`Deadlines`, unless it is answered first.

    ``step`` is where it stands in them.
    """

    deadline: float
    step: int

    def give_up(self) -> None:
        """Its time is over. It may just have been answered."""
        ...


class Deadlines:
    """Has those give up whose time is over. Thread-safe; one thread, once it is needed. ``clock`` gives seconds.

    Most are answered long before: those who come and go cost no more than a place in a set. Where no thread can be
    started, the client's own deadline ends its call.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition(threading.Lock())
        """for what follows"""
        self._waiters: dict[int, set[Waiter]] = {}
        """by the step in which they are looked at"""
        self._steps: list[int] = []
        """a heap of those, and of some at which nobody waits any more"""
        self._looks_at = 0.0
        """when the thread looks at them next, at the latest"""
        self._started = False
        self._closed = False

    def add(self, waiter: Waiter) -> None:
        """Have it give up in time."""
        step = self._step_of(waiter.deadline)
        with self._changed:
            self._put(waiter, step)

    def remove(self, waiter: Waiter) -> bool:
        """It waits no longer. Tells whether it did: of several who say so, one is told that it did."""
        with self._changed:
            step, waiter.step = waiter.step, _NOWHERE
            there = self._waiters.get(step)
            if there is not None:
                there.discard(waiter)
        return step != _NOWHERE

    def close(self) -> None:
        """Let the thread go; nobody gives up any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _add_again(self, waiter: Waiter) -> None:
        """One that was looked at before its time; it may have been answered meanwhile."""
        step = self._step_of(waiter.deadline)
        with self._changed:
            if waiter.step != _NOWHERE:
                self._put(waiter, step)

    def _put(self, waiter: Waiter, step: int) -> None:
        waiter.step = step
        there = self._waiters.get(step)
        if there is not None:
            there.add(waiter)
            return
        self._waiters[step] = {waiter}
        heappush(self._steps, step)
        if not self._started:
            self._start()
        elif step / _STEPS < self._looks_at:
            self._changed.notify()

    def _step_of(self, deadline: float) -> int:
        now = self._clock()
        if deadline - now <= _NEAR_SECONDS:
            return floor(deadline * _STEPS)
        return floor(min(deadline - 1.0, now + _FAR_SECONDS)) * _STEPS

    def _start(self) -> None:
        self._started = True
        try:
            threading.Thread(target=self._work, name="deadlines", daemon=True).start()
        except (RuntimeError, MemoryError):  # the system gives no more
            self._started = False  # the next one tries again
            log.warning("thread_not_started", name="deadlines")

    def _work(self) -> None:
        go_on_at_once()
        while self._look_at(self._next()):
            pass

    def _look_at(self, waiters: set[Waiter] | None) -> bool:
        """Those whose time is over give up, the others come back later; tells whether there will be more."""
        soon = self._clock() + 1 / _STEPS
        for waiter in waiters or ():
            try:
                if waiter.deadline <= soon:
                    waiter.give_up()
                else:
                    self._add_again(waiter)
            except Exception:
                log.exception("call_failed_unexpectedly")
        return waiters is not None

    def _next(self) -> set[Waiter] | None:
        """Those of the next step, at its time; None once closed."""
        idle = 0
        with self._changed:
            while not self._closed:
                while self._steps and not self._waiters[self._steps[0]]:
                    del self._waiters[heappop(self._steps)]
                now = self._clock()
                rest = self._steps[0] / _STEPS - now if self._steps else _LOOK_SECONDS
                if rest <= 0:
                    return self._waiters.pop(heappop(self._steps))
                idle = 0 if self._steps else idle + 1
                seconds = min(rest, _LOOK_SECONDS) if idle <= _IDLE_LOOKS else None
                self._looks_at = inf if seconds is None else now + seconds
                self._changed.wait(seconds)
        return None
