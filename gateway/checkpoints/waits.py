"""Callers and their calls: who waits, for how long, how they want to read, and what takes their answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from gateway.checkpoints.work import Call, CommitCall, DeleteCall, ReadCall, Result
from gateway.trace import Trace


class Waiting:
    """Some calls of one caller; :meth:`wait` returns when all are answered, or its time is over."""

    def __init__(self, count: int) -> None:
        self.results: list[Result | None] = [None] * count
        self._left = count
        self._lock = threading.Lock()
        self._all = threading.Lock()
        """free once all answers have come: an Event does the same, and takes four times as long"""
        self._all.acquire()

    def answer(self, place: int, result: Result) -> None:
        """Take an answer."""
        self.answer_all((place,), result)

    def answer_all(self, places: Sequence[int], result: Result) -> None:
        """Take the answer to several."""
        with self._lock:
            for place in places:
                self.results[place] = result
            self._left -= len(places)
            if not self._left:
                self._all.release()

    def no_more_than(self, count: int) -> None:
        """There are only so many calls."""
        if count == len(self.results):
            return
        with self._lock:
            self._left -= len(self.results) - count
            del self.results[count:]
            if not self._left:
                self._all.release()

    @property
    def done(self) -> bool:
        """Whether all answers have come."""
        return not self._left

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the last answer; tells whether it has come."""
        return self.done or self._all.acquire(timeout=max(0.0, min(seconds, threading.TIMEOUT_MAX)))


def _nobody(place: int, result: Result) -> None:
    """Takes an answer that nobody waits for."""


@dataclass(slots=True, eq=False)
class AwaitedRead(ReadCall):
    """A read whose answer goes to its place."""

    answer: Callable[[int, Result], None] = _nobody
    place: int = 0

    def answered(self, result: Result) -> None:
        self.answer(self.place, result)


@dataclass(slots=True, eq=False)
class AwaitedCommit(CommitCall):
    """A commit whose answer goes to its place among those that wait."""

    waiting: Waiting
    place: int

    def answered(self, result: Result) -> None:
        self.waiting.answer(self.place, result)


def _told(result: Result) -> None:
    """In the place of one that was told."""


class _Submitted:
    """A call that nobody waits for. Who is told, once, is let go: DIS may have a job, and its calls, for long."""

    __slots__ = ()
    answer: Callable[[Result], None]

    def answered(self, result: Result) -> None:
        answer, self.answer = self.answer, _told
        answer(result)


@dataclass(slots=True, eq=False)
class SubmittedCommit(_Submitted, CommitCall):
    """A commit that nobody waits for: whoever is told goes on meanwhile."""

    answer: Callable[[Result], None]


@dataclass(slots=True, eq=False)
class SubmittedRead(_Submitted, ReadCall):
    """A read that nobody waits for."""

    answer: Callable[[Result], None] = _told


@dataclass(slots=True, eq=False)
class SubmittedDelete(_Submitted, DeleteCall):
    """A delete that nobody waits for."""

    answer: Callable[[Result], None]


@dataclass(slots=True, eq=False)
class AwaitedDelete(DeleteCall):
    """A delete that stands alone."""

    waiting: Waiting

    def answered(self, result: Result) -> None:
        self.waiting.answer(0, result)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who waits. ``deadline`` is on the service's clock, in seconds.

    ``on_gone`` takes what is to be done when the caller goes away before it is answered. ``trace`` is its place in a
    trace, if it has one. ``waiting`` surrounds the time in which it waits, so that its thread can be made up for; it
    raises :class:`gateway.errors.Overloaded` where too many wait.
    """

    deadline: float
    on_gone: Callable[[Callable[[], None]], object] = lambda leave: None
    trace: Trace | None = None
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True, slots=True)
class ReadWish:
    """How a caller wants to read: ``fresh`` asks DIS, ``max_age`` (seconds) bounds what the cache has."""

    fresh: bool = False
    max_age: float | None = None
    allow_stale: bool = False


CACHED = ReadWish()


def answer_calls(calls: Sequence[Call], result: Result) -> None:
    """Tell the callers how their calls ended: those of one batch that stand together at once."""
    waiting: Waiting | None = None
    places: list[int] = []
    for call in calls:
        if not isinstance(call, AwaitedCommit):
            call.answered(result)
            continue
        if call.waiting is not waiting:
            if waiting is not None:
                waiting.answer_all(places, result)
            waiting, places = call.waiting, []
        places.append(call.place)
    if waiting is not None:
        waiting.answer_all(places, result)
