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

_Job = tuple[Callable[..., object], tuple[Any, ...]]


class CallPool:
    """At most ``waiting`` threads wait, and at most ``running`` do not; what is more than that waits for its turn.

    A call that does not wait takes no lock here. Whoever puts a call into the queue looks for a missing thread after
    that, and whoever takes a thread away looks at the queue after that: one of them sees what the other did.
    """

    def __init__(self, waiting: int, most: int, name: str, running: int = RUNNING) -> None:
        self._most_waiting = waiting
        self._most = most
        self._name = name
        self._running = running
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._busy: set[object] = set()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        """for what follows; the last three are looked at without it as well"""
        self._threads: list[threading.Thread] = []
        self._waiting = 0
        self._resting = 0
        self._active = 0
        """threads that run a call or wait for one"""
        self._closed = False

    @property
    def here(self) -> int:
        """How many calls are here, those that wait for a thread included."""
        return self._jobs.qsize() + len(self._busy)

    @property
    def full(self) -> bool:
        """Whether no more than the ``most`` that are here shall be taken."""
        return self._jobs.qsize() + len(self._busy) >= self._most

    @property
    def resting(self) -> int:
        """How many threads have nothing to do, and are not needed for those that may run."""
        return self._resting

    def submit(self, job: Callable[..., object], /, *args: Any) -> None:
        """Have it carried out.

        gRPC asks for a future only to count calls, under a lock that all of them take. Where it gets none it counts
        nothing, and leaves that to ``full``.
        """
        self._jobs.put((job, args))
        if self._active < self._running:
            self._add()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While a call waits: another may run. Raises :class:`gateway.errors.Overloaded` where too many wait."""
        with self._lock:
            if self._waiting >= self._most_waiting:
                raise Overloaded("as many calls wait for DIS as may (server.workers)", retry_after=1.0)
            self._waiting += 1
            self._active -= 1
        if not self._jobs.empty():
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
        """Wake or start a thread, if one is missing."""
        with self._lock:
            if self._active >= self._running:
                return
            self._active += 1
            if self._resting:
                self._resting -= 1
                self._wake.put(None)
                return
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system gives no more; those that there are carry it out
                self._active -= 1
                log.warning("thread_not_started", threads=len(self._threads))
            else:
                self._threads.append(thread)

    def _work(self) -> None:
        me = object()
        while True:
            if self._active > self._running and self._may_rest():
                self._wake.get()
                continue
            job = self._jobs.get()
            if job is None:
                return
            self._busy.add(me)
            self._carry_out(*job)
            del job  # what belongs to the call goes with it
            self._busy.discard(me)

    def _may_rest(self) -> bool:
        with self._lock:
            if self._active <= self._running or self._closed:
                return False
            self._active -= 1
            self._resting += 1
            return True

    @staticmethod
    def _carry_out(job: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            job(*args)
        except Exception:
            log.exception("call_failed_unexpectedly")
