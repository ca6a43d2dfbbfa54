"""Threads that carry jobs out, in their order: what ``ThreadPoolExecutor`` does, less the futures that nobody asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from queue import SimpleQueue

import structlog

from gateway.scheduling import go_on_at_once

_LOOK_SECONDS = 0.05
"""So often a clock is looked at that may jump"""

log = structlog.get_logger("gateway.checkpoints")


class Workers:
    """At most ``most`` daemon threads, started as they are needed.

    A job that was put in is carried out once, by whichever thread is free; where no thread can be started for it, by
    one that there is.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0
        """threads that wait for a job, less the jobs that wait for a thread"""

    def put(self, job: Callable[[], None]) -> None:
        """Have it carried out; it takes care of its own errors."""
        with self._lock:
            self._free -= 1
            grow = self._free < 0 and self._threads < self._most
            self._threads += grow
        self._jobs.put(job)
        if grow:
            self._start()

    def close(self) -> None:
        """Let the threads go that have nothing to do; the others go when they are done."""
        with self._lock:
            threads, self._most = self._threads, 0
        for _ in range(threads):
            self._jobs.put(None)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except (RuntimeError, MemoryError):  # the system gives no more
            with self._lock:
                self._threads -= 1

    def _work(self) -> None:
        go_on_at_once()
        while True:
            with self._lock:
                self._free += 1
            job = self._jobs.get()
            if job is None:
                return
            try:
                job()
            except Exception:
                log.exception("upstream_call_failed_unexpectedly")
            del job  # what belongs to a call goes with it


class Later:
    """Carries jobs out at their time: one thread, once it is needed. ``clock`` gives seconds.

    Where no thread can be started, a job is carried out at once.
    """

    def __init__(self, clock: Callable[[], float], name: str) -> None:
        self._clock = clock
        self._name = name
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._count = count()
        self._changed = threading.Condition()
        self._started = False
        self._closed = False

    def put(self, at: float, job: Callable[[], None]) -> None:
        """Have it carried out ``at`` a time of the clock, or soon after; after :meth:`close`, not at all."""
        with self._changed:
            if self._closed:
                return
            if self._started or self._start():
                heappush(self._jobs, (at, next(self._count), job))
                self._changed.notify()
                return
        job()

    def close(self) -> None:
        """Let the thread go, and carry nothing out any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _start(self) -> bool:
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except (RuntimeError, MemoryError):  # the system gives no more
            log.warning("thread_not_started", name=self._name)
            return False
        self._started = True
        return True

    def _work(self) -> None:
        go_on_at_once()
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:
                log.exception("write_not_begun_unexpectedly")
            del job

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._closed:
                rest = self._jobs[0][0] - self._clock() if self._jobs else _LOOK_SECONDS
                if rest <= 0:
                    return heappop(self._jobs)[2]
                self._changed.wait(min(rest, _LOOK_SECONDS) if self._jobs else None)
        return None
