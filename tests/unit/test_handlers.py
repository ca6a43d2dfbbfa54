"""Calls that are begun by the thread that brings them: there is one answer, whoever comes with one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc
import pytest
import structlog.testing

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.work import Deleted
from gateway.errors import Draining
from gateway.rpc.calls import Unseen
from gateway.rpc.deadlines import Deadlines
from gateway.rpc.handlers import Asked, Shared, UnaryMethod, Work
from gateway.rpc.pool import CallPool


class Counted(Unseen):
    """Keeps how calls ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def ended(self, *how: Any, cancelled: bool = False) -> None:
        self.ends.append("cancelled" if cancelled else "answered")

    def failed(self, seconds: float | None, error: Exception, *how: Any) -> None:
        self.ends.append(getattr(error, "reason", ""))


class Context:
    """Of a caller who is there, and has a minute."""

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return True

    def time_remaining(self) -> float:
        return 60.0

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer(self) -> str:
        return "unix:"


class Reply:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.context = Context()
        self.sent: list[bytes | grpc.StatusCode] = []

    def send(self, response: bytes) -> None:
        self.sent.append(response)

    def fail(self, status: grpc.Status) -> None:
        self.sent.append(status.code)


class Rig:
    def __init__(self) -> None:
        self.pool = CallPool(4, 10, "test")
        self.deadlines = Deadlines(time.monotonic)
        self.calls = Counted()

    def call(self, start: Callable[[Asked], Callable[[], None]]) -> Reply:
        def none(*_: Any) -> NoReturn:
            raise AssertionError("no thread is needed")

        shared: Any = Shared(1024, time.monotonic, self.pool, self.deadlines)
        work: Any = Work(lambda request, permit: start, lambda result: b"answer")
        method = UnaryMethod(shared, none, pb.DeleteCheckpointRequest, self.calls, work=work)
        reply: Any = Reply()
        assert method.arrived(b"", reply)
        return reply  # type: ignore[no-any-return]


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.deadlines.close()
    rig.pool.shutdown()


def test_what_is_answered_before_it_fails_to_begin_has_that_answer_alone(rig: Rig) -> None:
    def start(asked: Asked) -> Callable[[], None]:
        asked.answered(Deleted())
        raise RuntimeError("broken")

    for _ in range(3):
        assert rig.call(start).sent == [b"answer"]
    assert rig.calls.ends == ["answered"] * 3
    assert rig.pool.here == 0


def test_what_fails_to_begin_has_that_answer_alone(rig: Rig) -> None:
    asked: list[Asked] = []

    def start(one: Asked) -> Callable[[], None]:
        asked.append(one)
        raise Draining("over")

    reply = rig.call(start)
    asked[0].answered(Deleted())
    assert reply.sent == [grpc.StatusCode.UNAVAILABLE]
    assert rig.calls.ends == ["GATEWAY_DRAINING"]
    assert rig.pool.here == 0


def test_a_call_whose_time_cannot_be_kept_is_answered_and_keeps_no_place(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(waiter: object) -> None:
        raise MemoryError

    monkeypatch.setattr(rig.deadlines, "add", full)
    with structlog.testing.capture_logs():
        assert rig.call(lambda asked: lambda: None).sent == [grpc.StatusCode.INTERNAL]
    assert rig.pool.here == 0
