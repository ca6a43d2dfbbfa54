"""What becomes of calls between grpcio and the pool, with parts of grpcio that do what a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
import structlog.testing

from gateway.errors import Overloaded
from gateway.rpc.arrivals import Arrivals, InnerParts
from gateway.rpc.handlers import UnaryMethod
from gateway.rpc.pool import CallPool

OVER = ("over", ())
GOES_ON = (None, ())


class Pool:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Any, ...]] = []
        self.full = False

    def submit(self, *job: Any) -> None:
        self.jobs.append(job)

    def room(self) -> None:
        if self.full:
            raise Overloaded("full")


class Method(UnaryMethod[Any]):
    """Begins calls as it is told to."""

    def __init__(self) -> None:
        self.begins: bool | Exception = True
        self.came: list[bytes] = []

    def arrived(self, data: bytes, reply: Any) -> bool:
        self.came.append(data)
        if isinstance(self.begins, Exception):
            raise self.begins
        return self.begins


class Call:
    """One call, with its state, of which the message comes when a test says so."""

    def __init__(self) -> None:
        self.call = self
        self.condition = threading.RLock()
        self.due: set[str] = set()
        self.request: bytes | None = None
        self.trailing_metadata: Any = None
        self.code: Any = None
        self.details: Any = None
        self.ended: Any = GOES_ON
        self.active = True
        self.broken = False
        self.failed = False
        self.come: Callable[[Any], Any] = lambda message: None

    def start_server_batch(self, operations: Any, tag: Callable[[Any], Any]) -> None:
        if self.broken:
            raise ValueError("broken")
        self.come = tag

    def is_active(self) -> bool:
        return self.active

    def message(self, data: bytes | None) -> Any:
        return self.come(data)


def receive(state: Call, call: Call, deserializer: None) -> Callable[[Any], Any]:
    def received(data: bytes | None) -> Any:
        state.due.discard("message")
        state.request = data
        return state.ended

    return received


def in_pool(*arguments: Any) -> None:
    """grpcio's own way."""


def abort(state: Call, call: Call, code: Any, details: bytes) -> None:
    state.failed = True


PARTS = InnerParts(
    in_pool,
    cast(Any, receive),
    lambda event, state, data: None,
    cast(Any, abort),
    lambda event, state, deserializer: event,
    lambda flags: "receive",
    "message",
    "unknown",
)


class Rig:
    def __init__(self, most: int = 2) -> None:
        self.pool = Pool()
        self.method = Method()
        self.arrivals = Arrivals(PARTS, cast(CallPool, self.pool), most)

    def submit(self, call: Call | None = None) -> Call:
        call = call or Call()
        self.arrivals.submit(self.run, in_pool, call, call, self.method, self.thunk, None, None)
        return call

    def run(self, *arguments: Any) -> None:
        """In the context of a call."""

    def thunk(self) -> str:
        return "grpcio waits for the message"


def test_a_call_begins_with_its_message_and_needs_no_thread() -> None:
    rig = Rig()
    call = rig.submit()
    assert call.due == {"message"}
    assert not rig.method.came
    assert call.message(b"request") == GOES_ON
    assert rig.method.came == [b"request"]
    assert not rig.pool.jobs
    assert call.request is None


def test_what_needs_a_thread_gets_one_with_its_message() -> None:
    rig = Rig()
    rig.method.begins = False
    call = rig.submit()
    call.message(b"request")
    ((run, job, event, state, method, thunk, *_),) = rig.pool.jobs
    assert (run, job, event, state, method) == (rig.run, in_pool, call, call, rig.method)
    assert thunk() == b"request"
    call.active = False
    assert thunk() is None  # its caller has gone while it waited for the thread


def test_no_more_calls_than_may_wait_for_their_message_here_and_room_comes_again() -> None:
    rig = Rig(most=2)
    calls = [rig.submit() for _ in range(3)]
    assert len(rig.pool.jobs) == 1
    assert rig.pool.jobs[0][5] == rig.thunk
    for _ in range(5):
        calls[0].message(b"request")
        calls[0] = rig.submit()
    assert len(rig.pool.jobs) == 1
    rig.submit()
    assert len(rig.pool.jobs) == 2


def test_a_call_that_is_over_when_its_message_comes_is_not_begun() -> None:
    rig = Rig()
    call = rig.submit()
    call.ended = OVER
    assert call.message(b"request") == OVER
    assert not rig.method.came
    assert not rig.pool.jobs


@pytest.mark.parametrize("full", [False, True])
def test_a_call_without_a_message_is_left_to_grpcio_where_there_is_room(full: bool) -> None:
    rig = Rig()
    rig.pool.full = full
    call = rig.submit()
    assert call.message(None) == GOES_ON
    assert call.failed is full
    assert [job[5] for job in rig.pool.jobs] == ([] if full else [rig.thunk])


def test_no_failure_of_a_method_reaches_the_thread_that_looks_after_all() -> None:
    rig = Rig()
    rig.method.begins = RuntimeError("broken")
    call = rig.submit()
    with structlog.testing.capture_logs() as logs:
        assert call.message(b"request") == GOES_ON
    assert [one["event"] for one in logs] == ["call_failed_unexpectedly"]
    assert rig.pool.jobs[0][5]() == b"request"


def test_where_grpcio_refuses_to_give_a_message_the_call_takes_its_own_way() -> None:
    rig = Rig(most=1)
    call = Call()
    call.broken = True
    with structlog.testing.capture_logs() as logs:
        rig.submit(call)
    assert [one["event"] for one in logs] == ["call_failed_unexpectedly"]
    assert rig.pool.jobs[0][5] == rig.thunk
    assert not call.due
    rig.submit()
    assert len(rig.pool.jobs) == 1  # and its place was not taken


def test_where_grpcio_hands_calls_over_in_another_way_the_log_says_so_once() -> None:
    rig = Rig()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            rig.arrivals.submit(rig.run, "something", "else")
    assert [one["event"] for one in logs] == ["grpc_not_known"]
    assert rig.pool.jobs == [(rig.run, "something", "else")] * 3
