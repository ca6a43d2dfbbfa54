"""Streams take turns with all else that comes.

The thread that looks after all events looks at its sockets when no event is left. A message that is in a buffer already
comes as soon as it is wanted, and one that is sent has left at once: so a busy stream, or some of them, could keep the
thread from its sockets, and all others waiting. After some such steps in a row the next ones are therefore done by
another thread: it gets the interpreter when the first one has nothing left but its sockets to look at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from gateway.scheduling import let_others_go_on

_IN_A_ROW = 8
"""Steps; each is some 30 µs of work. With twice as many a commit over a stream costs 2 µs less, but others wait for
longer."""

log = structlog.get_logger("gateway.rpc")

Step = Callable[[], None]


class Turns:
    """Thread-safe; one thread, once it is needed. Where none can be started, there are no turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """for what follows"""
        self._left = _IN_A_ROW
        self._waiting: list[Step] = []
        self._started = False
        self._closed = False
        self._some = threading.Semaphore(0)

    def take(self, step: Step) -> None:
        """Have something done that may bring the next event at once: now, or in its turn. It takes care of errors."""
        with self._lock:
            if self._left:
                self._left -= 1
                waits = False
            else:
                waits = self._started or self._start()
                if waits:
                    self._waiting.append(step)
                    if len(self._waiting) == 1:
                        self._some.release()
        if not waits:
            step()

    def close(self) -> None:
        """Let the thread go, when it has done what waits."""
        with self._lock:
            self._closed = True
        self._some.release()

    def _start(self) -> bool:
        try:
            threading.Thread(target=self._work, name="turns", daemon=True).start()
        except (RuntimeError, MemoryError):  # the system gives no more
            log.warning("thread_not_started", name="turns")
            self._left = _IN_A_ROW  # before it is tried again
            return False
        self._started = True
        return True

    def _work(self) -> None:
        let_others_go_on()
        while not self._closed:
            self._some.acquire()
            self._next()
        self._next()

    def _next(self) -> None:
        """Do what waits, and let others go on in a row."""
        with self._lock:
            steps, self._waiting = self._waiting, []
            self._left = _IN_A_ROW
        for step in steps:
            try:
                step()
            except Exception:
                log.exception("call_failed_unexpectedly")
