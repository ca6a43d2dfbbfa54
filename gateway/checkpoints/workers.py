"""Threads that carry jobs out, in their order: what ``ThreadPoolExecutor`` does, less the futures that nobody asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import structlog

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
        except RuntimeError:  # the system gives no more
            with self._lock:
                self._threads -= 1

    def _work(self) -> None:
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


class Later:
    """Carries jobs out a little later, in the order in which they were put in: one thread, once it is needed.

    ``clock`` gives seconds. Where no thread can be started, a job is carried out at once.
    """

    def __init__(self, clock: Callable[[], float], name: str) -> None:
        self._clock = clock
        self._name = name
        self._jobs: SimpleQueue[tuple[float, Callable[[], None]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = False

    def put(self, at: float, job: Callable[[], None]) -> None:
        """Have it carried out ``at`` a time of the clock, or soon after; it takes care of its own errors."""
        with self._lock:
            if not self._started:
                try:
                    threading.Thread(target=self._work, name=self._name, daemon=True).start()
                    self._started = True
                except RuntimeError:  # the system gives no more
                    pass
            if self._started:
                self._jobs.put((at, job))
                return
        job()

    def close(self) -> None:
        """Let the thread go, once all is carried out."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (one := self._jobs.get()) is not None:
            at, job = one
            time.sleep(max(0.0, at - self._clock()))
            try:
                job()
            except Exception:
                log.exception("write_not_begun_unexpectedly")
