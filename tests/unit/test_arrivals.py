"""What becomes of calls between grpcio and the pool, with parts of grpcio that do what a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import structlog.testing

from gateway.errors import Draining, Overloaded
from gateway.rpc.arrivals import Arrivals
from gateway.rpc.channels import Channel, StreamMethod
from gateway.rpc.handlers import UnaryMethod
from gateway.rpc.inner import InnerParts
from gateway.rpc.pool import CallPool
from gateway.rpc.turns import Turns

OVER = ("over", ())
GOES_ON = (None, ())


class Pool:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Any, ...]] = []
        self.full: Overloaded | Draining | None = None

    def submit(self, *job: Any) -> None:
        self.jobs.append(job)

    def room(self) -> None:
        if self.full is not None:
            raise self.full


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
        self.cancelled = False
        self.initial_metadata_allowed = True
        self.client = "open"
        self.over = 0
        self.batches: list[Any] = []
        self.callbacks: list[Callable[[], None]] = []
        self.come: Callable[[Any], Any] = lambda message: None
        self.left: Callable[[Any], Any] = lambda event: None

    def start_server_batch(self, operations: Any, tag: Callable[[Any], Any]) -> None:
        if self.broken:
            raise ValueError("broken")
        self.batches.append(operations)
        if operations == ("receive",):
            self.come = tag
        else:
            self.left = tag

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self.callbacks.append(callback)
        return True

    def cancel(self) -> None:
        self.cancelled = True

    def status(self) -> None:
        self.over += 1
        self.active = False

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


def sent(state: Call, token: str) -> Callable[[Any], Any]:
    def left(event: Any) -> Any:
        state.due.discard(token)
        return state.ended

    return left


def in_pool(*arguments: Any) -> None:
    """grpcio's own way."""


def streams_in_pool(*arguments: Any) -> None:
    """That of streams."""


def abort(state: Call, call: Call, code: Any, details: bytes) -> None:
    state.failed = True


PARTS = InnerParts(
    in_pool=in_pool,
    streams_in_pool=streams_in_pool,
    receive=cast(Any, receive),
    sent=cast(Any, sent),
    active=lambda state: state.active,
    status=lambda event, state, data: state.status(),
    abort=cast(Any, abort),
    context=lambda event, state, deserializer: event,
    metadata=lambda state, metadata: "metadata",
    receipt=lambda flags: "receive",
    message=lambda message, flags: message,
    receive_token="message",
    send_token="sent",
    cancelled="cancelled",
    unknown="unknown",
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


@pytest.mark.parametrize("full", [None, Overloaded("full"), Draining("over")])
def test_a_call_without_a_message_is_left_to_grpcio_where_there_is_room(full: Overloaded | Draining | None) -> None:
    rig = Rig()
    rig.pool.full = full
    call = rig.submit()
    assert call.message(None) == GOES_ON
    assert call.failed is (full is not None)
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


class Heard:
    """Takes the messages of a stream, and answers each."""

    def __init__(self) -> None:
        self.came_in: list[bytes | None] = []
        self.left = 0
        self.problem: Exception | None = None

    def came(self, message: bytes | None) -> None:
        self.came_in.append(message)
        if self.problem is not None:
            raise self.problem

    def sent(self) -> None:
        self.left += 1
        if self.problem is not None:
            raise self.problem

    def broke(self, problem: Exception) -> None:
        raise problem


class Streams:
    def __init__(self) -> None:
        self.rig = Rig()
        self.call = Call()
        self.heard = Heard()
        self.channels: list[Channel] = []
        self.pool = Pool()
        self.ends = False
        self.method = StreamMethod(self.opened, cast(ThreadPoolExecutor, self.pool))

    def opened(self, channel: Channel) -> Heard | None:
        self.channels.append(channel)
        return None if self.ends else self.heard

    def submit(self, how: Callable[..., None] = streams_in_pool) -> Call:
        rig, call = self.rig, self.call
        rig.arrivals.submit(rig.run, how, call, call, self.method, rig.thunk, None, None)
        return call


def test_a_stream_begins_at_once_without_a_thread_and_takes_a_message_when_it_wants_one() -> None:
    streams = Streams()
    call = streams.submit()
    assert call.batches == [("receive",)]
    assert not streams.rig.pool.jobs
    call.message(b"one")
    assert streams.heard.came_in == [b"one"]
    assert call.batches == [("receive",)]
    (channel,) = streams.channels
    channel.want()
    assert call.batches == [("receive",)] * 2
    assert call.due == {"message"}
    call.message(None)
    assert streams.heard.came_in == [b"one", None]
    channel.end()
    assert call.over == 1


def test_a_stream_that_was_ended_when_it_began_takes_nothing() -> None:
    streams = Streams()
    streams.ends = True
    assert not streams.submit().batches


def test_of_what_a_stream_sends_one_leaves_after_the_other() -> None:
    streams = Streams()
    call = streams.submit()
    (channel,) = streams.channels
    for message in (b"1", b"2", b"3"):
        channel.send(message)
    sent = call.batches[1:]
    assert sent == [("metadata", b"1")]
    for _ in range(3):
        assert call.left(None) == GOES_ON
    assert call.batches[1:] == [("metadata", b"1"), (b"2",), (b"3",)]
    assert streams.heard.left == 3
    channel.send(b"4")
    assert call.batches[-1] == (b"4",)


def test_a_stream_that_is_over_sends_and_takes_nothing_and_is_let_go() -> None:
    streams = Streams()
    call = streams.submit()
    (channel,) = streams.channels
    channel.send(b"1")
    channel.send(b"2")
    call.active, call.ended, call.client = False, OVER, "cancelled"
    assert call.left(None) == OVER
    channel.send(b"3")
    channel.want()
    assert call.batches == [("receive",), ("metadata", b"1")]
    assert channel.broken
    for callback in call.callbacks:
        callback()
    assert call.message(None) == OVER
    assert not streams.heard.came_in
    assert streams.heard.left == 1


def test_a_message_of_a_stream_that_is_over_is_not_taken_and_its_end_comes_once() -> None:
    streams = Streams()
    call = streams.submit()
    call.active, call.ended, call.client = False, OVER, "cancelled"
    assert call.message(b"one") == OVER
    assert not streams.heard.came_in
    streams.channels[0].end()
    assert not call.over


@pytest.mark.parametrize("where", ["opened", "receive", "came", "sent"])
def test_no_failure_of_a_stream_reaches_the_thread_that_looks_after_all(where: str) -> None:
    streams = Streams()
    streams.call.broken = where == "receive"
    if where == "opened":
        streams.method.opened = cast(Any, None)
    with structlog.testing.capture_logs() as logs:
        call = streams.submit()
        if where in ("came", "sent"):
            streams.heard.problem = RuntimeError("broken")
            streams.channels[0].send(b"1")
            (call.message if where == "came" else call.left)(b"request")
    assert [one["event"] for one in logs] == ["call_failed_unexpectedly"]
    assert call.cancelled


def test_a_stream_that_grpcio_hands_over_in_another_way_has_the_threads_of_its_method() -> None:
    streams = Streams()
    with structlog.testing.capture_logs() as logs:
        streams.submit(how=in_pool)
        streams.rig.arrivals.submit(streams.rig.run, streams.method)
    assert [one["event"] for one in logs] == ["grpc_not_known"]
    assert len(streams.pool.jobs) == 2
    assert not streams.rig.pool.jobs


def test_what_a_stream_takes_and_sends_goes_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[Callable[[], None]] = []
    monkeypatch.setattr(Turns, "take", lambda turns, step: waiting.append(step))
    streams = Streams()
    call = streams.submit()
    (channel,) = streams.channels
    assert not call.batches
    waiting.pop()()
    assert call.batches == [("receive",)]
    channel.send(b"1")
    channel.send(b"2")
    channel.send(b"3")
    call.left(None)
    channel.send(b"4")
    assert call.batches[1:] == [("metadata", b"1")]
    waiting.pop()()
    assert call.batches[2:] == [(b"2",)]
    assert not waiting
