"""Threads for unary calls: a few run at a time, and one that waits leaves its place to another.

Few threads are faster than many, as one runs at a time, and each that wakes takes turns with all others: by a quarter
where the kernel puts a thread before the one that wakes it, and by some percent where it does not. Many are needed all
the same where each call may wait. So the number of those that run is kept, not the number of those that are.
Who waits for DIS says so. Who waits for something else, such as the message of a call whose client has sent its headers
alone, is found out within :data:`LOOK_SECONDS`, if others wait for a thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any

import structlog

from gateway.errors import Draining, GatewayError, Overloaded
from gateway.scheduling import let_others_go_on

RUNNING = 8
"""Threads that run at a time: with five a cached read costs 5 to 10% more, with twelve or with 64 as much."""
LOOK_SECONDS = 0.02
_IDLE_LOOKS = 50
"""After so many looks at an empty queue nobody looks, until the next call."""

log = structlog.get_logger("gateway.rpc")

_Job = tuple[Callable[..., object], tuple[Any, ...]]


class _Worker:
    """A thread of the pool. ``turn`` counts its calls; ``away``: it has a call, and no place among those that run."""

    __slots__ = ("_woken", "away", "turn")

    def __init__(self) -> None:
        self.turn = 0
        self.away = False
        self._woken = threading.Lock()
        self._woken.acquire()

    def sleep(self) -> None:
        """Until it is woken, or at once if it was."""
        self._woken.acquire()

    def wake(self) -> None:
        """By whoever took it from the list that it was on: so once for each sleep."""
        self._woken.release()


class _Waiting(AbstractContextManager[None]):
    """The time in which a call waits."""

    __slots__ = ("_pool", "_worker")

    def __init__(self, pool: CallPool, worker: _Worker) -> None:
        self._pool = pool
        self._worker = worker

    def __enter__(self) -> None:
        self._pool.leave(self._worker)

    def __exit__(self, *failure: object) -> None:
        self._pool.come_back(self._worker)


class CallPool:
    """At most ``waiting`` threads wait, and at most ``running`` do not; what is more than that waits for its turn.

    Those that come back go on beside the others until their calls end.

    Where ``most`` calls are here already, those that wait for a thread included, further ones are refused.

    A call that does not wait takes no lock that others hold. Whoever puts a call into the queue looks for a thread that
    has nothing to do, or is missing, after that; and whoever has nothing to do, or takes a thread away, looks at the
    queue after that: one of them sees what the other did.
    """

    def __init__(self, waiting: int, most: int, name: str, running: int = RUNNING) -> None:
        self._most_away = waiting
        self._most = most
        self._name = name
        self._running = running
        self._jobs: deque[_Job] = deque()
        self._free: list[_Worker] = []
        """those that may run and have nothing to do; the one that was busy last is woken first"""
        self._waking = False
        """whether one was woken that does not run yet: it may take what comes meanwhile, too"""
        self._busy: set[_Worker] = set()
        self._mine = threading.local()
        self._looking = False
        self._look = threading.Event()
        self._lock = threading.Lock()
        """for what follows, some of which is looked at without it as well"""
        self._threads: list[threading.Thread] = []
        self._away = 0
        self._begun = 0
        """calls that wait for DIS without a thread"""
        self._rested: list[_Worker] = []
        self._active = 0
        """threads that run a call or wait for one"""
        self._watched = False
        self._taking = True
        self._closed = threading.Event()

    @property
    def here(self) -> int:
        """How many calls are here, those included that wait for a thread, or without one."""
        return len(self._jobs) + len(self._busy) + self._begun

    @property
    def resting(self) -> int:
        """How many threads have nothing to do, and are not needed for those that may run."""
        return len(self._rested)

    @property
    def looked_after(self) -> bool:
        """Whether somebody looks for calls that stand still; where nothing happens, nobody does."""
        return self._looking

    def submit(self, job: Callable[..., object], /, *args: Any) -> Future[None] | None:
        """Have it carried out, or refused: then :meth:`check` raises within it.

        gRPC asks for a future only to count calls, under a lock that all of them take. Here it counts those alone that
        are refused; what is beyond its own limit it turns away by itself.
        """
        future = None
        if self._taking and self.here < self._most:
            self._jobs.append((job, args))
        else:
            future = Future[None]()
            self._jobs.append((self._refused, (future, job, args)))
        if self._free and not self._waking:  # with more cores than one, waking all costs more than it gains
            self._wake_free()
        if self._active < self._running:
            self._add()
        if not self._looking:
            self._looking = True
            self._look.set()
        return future

    def check(self) -> None:
        """In a call: whether it may be served. Raises :class:`gateway.errors.Overloaded`, or ``Draining``."""
        if self._mine.refused:
            raise self._refusal()

    def room(self) -> None:
        """Whether there is any for one more. Raises :class:`gateway.errors.Overloaded`, or ``Draining``."""
        if not self._taking or self.here >= self._most:
            raise self._refusal()

    def take_no_more(self) -> None:
        """Refuse calls from now on; those that are here go on."""
        self._taking = False

    def begin(self) -> None:
        """A call begins that needs no thread to wait for DIS, but counts like those that do, until :meth:`end`.

        Raises :class:`gateway.errors.Overloaded`, or ``Draining``.
        """
        with self._lock:
            self.room()
            if self._away + self._begun >= self._most_away:
                raise _too_many_wait()
            self._begun += 1

    def end(self) -> None:
        """Such a call has its answer."""
        with self._lock:
            self._begun -= 1

    def waiting(self) -> AbstractContextManager[None]:
        """While a call waits: another may run. Raises :class:`gateway.errors.Overloaded` where too many wait."""
        return _Waiting(self, self._mine.worker)

    def leave(self, worker: _Worker) -> None:
        """It waits from now on. Raises :class:`gateway.errors.Overloaded` where too many do."""
        with self._lock:
            if not worker.away and not self._leave(worker):
                raise _too_many_wait()
        if self._jobs:
            self._wake_free()
            self._add()

    def shutdown(self) -> None:
        """Let the threads go, and return when they have gone; no calls come any more."""
        with self._lock:
            self._closed.set()
        self._look.set()
        place = 0
        while place < len(self._threads):  # a call that ends may still need another thread
            while self._free:
                self._wake_free()
            with self._lock:
                while self._rested:
                    self._active += 1
                    self._rested.pop().wake()
            self._threads[place].join()
            place += 1

    def _add(self) -> None:
        """Wake or start a thread, if one is missing."""
        with self._lock:
            if self._active >= self._running:
                return
            self._active += 1
            if self._rested:
                self._rested.pop().wake()
            elif not self._start(self._work):
                self._active -= 1  # those that there are carry it out, or the next one
            if not self._watched:
                self._watched = self._start(self._watch)

    def _start(self, work: Callable[[], None]) -> bool:
        thread = threading.Thread(target=work, name=self._name, daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # the system gives no more
            log.warning("thread_not_started", threads=len(self._threads))
            return False
        self._threads.append(thread)
        return True

    def _wake_free(self) -> None:
        try:
            worker = self._free.pop()
        except IndexError:  # it has found something to do, or another was quicker
            return
        self._waking = True
        worker.wake()

    def _work(self) -> None:
        let_others_go_on()
        me = self._mine.worker = _Worker()
        self._mine.refused = False
        while True:
            if self._active > self._running and self._may_rest(me):
                if self._jobs:  # it may have been woken for one, which is another's then
                    self._wake_free()
                me.sleep()
                continue
            try:
                job = self._jobs.popleft()
            except IndexError:
                if self._closed.is_set():
                    return
                self._wait(me)
                continue
            me.turn += 1
            self._busy.add(me)
            self._carry_out(*job)
            del job  # what belongs to the call goes with it
            self._busy.discard(me)
            if me.away:
                self.come_back(me)

    def _wait(self, me: _Worker) -> None:
        """Until there may be something to do."""
        self._free.append(me)
        if self._jobs or self._closed.is_set():  # it came before it could see that this one is free
            try:
                self._free.remove(me)
            except ValueError:  # it was woken
                pass
            else:
                return
        me.sleep()
        self._waking = False

    def _may_rest(self, me: _Worker) -> bool:
        with self._lock:
            if self._active <= self._running or self._closed.is_set():
                return False
            self._active -= 1
            self._rested.append(me)
            return True

    def _leave(self, worker: _Worker) -> bool:
        """Take its place among those that run from a thread. Needs the lock."""
        if self._away + self._begun >= self._most_away:
            return False
        self._away += 1
        self._active -= 1
        worker.away = True
        return True

    def come_back(self, worker: _Worker) -> None:
        """It waits no longer."""
        with self._lock:
            if worker.away:
                worker.away = False
                self._away -= 1
                self._active += 1

    def _watch(self) -> None:
        """Find calls that hold a thread and do not run, while others wait for one."""
        seen: dict[_Worker, int] = {}
        idle = 0
        while not self._closed.is_set():
            self._look.wait()
            if not self._jobs:
                seen, idle = {}, idle + 1
                if idle > _IDLE_LOOKS:
                    idle = 0
                    self._look.clear()
                    self._looking = False
                    if self._jobs or self._closed.is_set():  # it came before it could see that nobody looks
                        self._looking = True
                        self._look.set()
                    continue
            else:
                idle = 0
                seen = self._look_at(seen)
            self._closed.wait(LOOK_SECONDS)

    def _look_at(self, seen: dict[_Worker, int]) -> dict[_Worker, int]:
        with self._lock:
            now = {worker: worker.turn for worker in self._busy.copy() if not worker.away}
            stuck = [worker for worker, turn in now.items() if seen.get(worker) == turn and worker in self._busy]
            for worker in stuck:
                self._leave(worker)
        for worker in stuck:
            if worker.turn != now[worker] or worker not in self._busy:  # its call has ended meanwhile
                self.come_back(worker)
        for _ in stuck:
            self._add()
        return now

    def _refusal(self) -> GatewayError:
        if not self._taking:
            return Draining("the gateway is stopping; nothing was sent", retry_after=1.0)
        return Overloaded(f"{self._most} calls are under way, and no more are taken", retry_after=1.0)

    def _refused(self, future: Future[None], job: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._mine.refused = True
        try:
            job(*args)
        finally:
            self._mine.refused = False
            future.set_result(None)

    @staticmethod
    def _carry_out(job: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            job(*args)
        except BaseException:
            log.exception("call_failed_unexpectedly")


def _too_many_wait() -> Overloaded:
    return Overloaded("as many calls wait for DIS as may (server.workers)", retry_after=1.0)
