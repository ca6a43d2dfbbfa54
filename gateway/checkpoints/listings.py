"""Lists of a stream's partitions: asked of DIS for one caller each, by other threads than its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from gateway.checkpoints.store import CheckpointStore
from gateway.checkpoints.waits import Caller
from gateway.errors import DeadlineTooShort, Draining, GatewayError, ReadTimedOut, unexpected
from gateway.model import PartitionPage
from gateway.trace import Trace, untraced


class Listings:
    """Those that are under way. Thread-safe. ``put`` has a job carried out; deadlines are on ``clock``, in seconds."""

    def __init__(
        self, store: CheckpointStore, put: Callable[[Callable[[], None]], None], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._put = put
        self._clock = clock
        self._lock = threading.Lock()
        """for what follows"""
        self._under_way: set[Callable[[], None]] = set()
        self._draining = False

    def page(self, stream: str, app: str, after: str, limit: int, caller: Caller) -> PartitionPage:
        """At most ``limit`` partitions after the one called ``after``. Raises :class:`GatewayError`."""
        seconds = caller.deadline - self._clock()
        if seconds <= 0:
            raise DeadlineTooShort("no time was left to ask DIS; nothing was sent")
        traces = untraced if caller.trace is None else partial(_only, caller.trace)
        over, gone = threading.Event(), threading.Event()
        heard: list[PartitionPage | GatewayError] = []

        def leave() -> None:
            gone.set()
            over.set()

        def ask() -> None:
            try:
                until = partial(_unless, gone, caller.deadline)
                heard.append(self._store.partitions(stream, app, after, limit, until, traces))
            except GatewayError as error:
                heard.append(error)
            except Exception:
                heard.append(unexpected())
                raise  # its thread says more
            finally:
                over.set()

        with caller.waiting(), self._ended_by_drain(leave):
            self._put(ask)
            if caller.on_gone(leave) is False:
                leave()
            over.wait(min(seconds, threading.TIMEOUT_MAX))
        if not heard:
            leave()  # it is not sent any more
            if self._draining:
                raise Draining("the gateway is stopping", retry_after=1.0)
            raise ReadTimedOut("DIS did not answer within the time of the call", retry_after=1.0)
        page = heard[0]
        if isinstance(page, GatewayError):
            raise page
        return page

    def drain(self) -> None:
        """Answer those that wait, and take no more."""
        with self._lock:
            self._draining = True
            leaving = list(self._under_way)
        for leave in leaving:
            leave()

    @contextmanager
    def _ended_by_drain(self, leave: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            if self._draining:
                raise Draining("the gateway is stopping; nothing was sent", retry_after=1.0)
            self._under_way.add(leave)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(leave)


def _unless(gone: threading.Event, deadline: float) -> float:
    return 0.0 if gone.is_set() else deadline


def _only(trace: Trace) -> Sequence[Trace]:
    return (trace,)
