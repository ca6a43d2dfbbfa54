"""Threads for unary calls: a few run at a time, and one that waits for DIS leaves its place to another.

Few threads are faster than many, as one runs at a time, and each that wakes takes turns with all others. Many are
needed all the same where each call may wait. So the number of those that run is kept, not the number of those that are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import structlog

from gateway.errors import Overloaded

RUNNING = 4
"""Threads that run at a time: what a bare server does best with."""

log = structlog.get_logger("gateway.rpc")


class Pending:
    """A call that was handed over. As much of a future as gRPC asks for: it says once when it is over."""

    __slots__ = ("_told",)
    _OVER: Callable[[Pending], object] = lambda pending: None

    def __init__(self) -> None:
        self._told: dict[None, Callable[[Pending], object]] = {}

    def add_done_callback(self, callback: Callable[[Pending], object]) -> None:
        """Have one function called when it is over; at once if it is."""
        if self._told.setdefault(None, callback) is not callback:
            callback(self)

    def over(self) -> None:
        """It is over."""
        callback = self._told.setdefault(None, Pending._OVER)  # one step, so that one of the two sides comes first
        if callback is not Pending._OVER:
            callback(self)


_Job = tuple[Pending, Callable[..., object], tuple[Any, ...]]


class CallPool:
    """At most ``waiting`` threads wait, and at most ``running`` do not; what is more than that waits for its turn.

    ``full`` tells whether ``most`` calls are here, those that wait for a thread included.
    """

    def __init__(self, waiting: int, most: int, name: str, running: int = RUNNING) -> None:
        self._most_waiting = waiting
        self._most = most
        self._name = name
        self._running = running
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._count = 0
        """calls that are here"""
        self._free = 0
        """threads that wait for a call, less the calls that wait for a thread"""
        self._active = 0
        """threads that run a call or wait for one"""
        self._waiting = 0
        self._resting = 0
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether no more shall be taken."""
        return self._count >= self._most

    @property
    def here(self) -> int:
        """How many calls are here, those that wait for a thread included."""
        return self._count

    @property
    def resting(self) -> int:
        """How many threads have nothing to do, and are not needed for those that may run."""
        return self._resting

    def submit(self, job: Callable[..., object], /, *args: Any) -> Pending:
        """Have it carried out, as gRPC wants it."""
        pending = Pending()
        with self._lock:
            self._count += 1
            self._free -= 1
            more = self._free < 0 and self._active < self._running
            self._active += more
        self._jobs.put((pending, job, args))
        if more:
            self._add()
        return pending

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While a call waits: another may run. Raises :class:`gateway.errors.Overloaded` where too many wait."""
        with self._lock:
            if self._waiting >= self._most_waiting:
                raise Overloaded("as many calls wait for DIS as may (server.workers)", retry_after=1.0)
            self._waiting += 1
            self._active -= 1
            more = self._free < 0 and self._active < self._running
            self._active += more
        if more:
            self._add()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._active += 1

    def shutdown(self) -> None:
        """Let the threads go, and return when they have gone; no calls come any more."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        for _ in threads:
            self._jobs.put(None)
            self._wake.put(None)
        for thread in threads:
            thread.join()

    def _add(self) -> None:
        """Wake or start the thread that was counted as active."""
        with self._lock:
            rests = self._resting > 0
            self._resting -= rests
        if rests:
            self._wake.put(None)
            return
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more; those that there are carry it out
            log.warning("thread_not_started", threads=len(self._threads))
            with self._lock:
                self._active -= 1
        else:
            with self._lock:
                self._threads.append(thread)

    def _work(self) -> None:
        done = 0
        while True:
            with self._lock:
                self._count -= done
                rest = self._active > self._running and not self._closed
                if rest:
                    self._active -= 1
                    self._resting += 1
                else:
                    self._free += 1
            done = 0
            if rest:
                self._wake.get()
                continue
            job = self._jobs.get()
            if job is None:
                return
            self._carry_out(*job)
            done = 1
            del job

    @staticmethod
    def _carry_out(pending: Pending, job: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            job(*args)
        except Exception:
            log.exception("call_failed_unexpectedly")
        finally:
            pending.over()
