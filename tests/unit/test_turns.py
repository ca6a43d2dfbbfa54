"""Streams take turns: with a loop of events as gRPC has one, which looks at its sockets when no event is left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

import pytest
import structlog.testing

from gateway.rpc.turns import Turns

SECONDS = 10


class Loop:
    """A stream in whose buffer there is always a message: it comes as soon as it is wanted."""

    def __init__(self, turns: Turns, streams: int = 1) -> None:
        self._turns = turns
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.looks = 0
        for _ in range(streams):
            self._events.put(self._message)

    def _message(self) -> None:
        self._turns.take(lambda: self._events.put(self._message))

    def run(self, events: int) -> None:
        for _ in range(events):
            try:
                event = self._events.get_nowait()
            except Empty:
                self.looks += 1
                self._turns._next()  # as its thread, which would have the interpreter now
                event = self._events.get_nowait()
            event()


def test_sockets_are_looked_at_however_much_streams_have_in_their_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    for streams in (1, 30):
        turns = Turns()
        monkeypatch.setattr(turns, "_start", lambda: True)
        loop = Loop(turns, streams)
        loop.run(1000)
        assert loop.looks >= 1000 // (8 + streams) - 1


def test_what_is_done_now_and_then_is_done_at_once() -> None:
    turns = Turns()
    done: list[str] = []
    for _ in range(8):
        turns.take(lambda: done.append(threading.current_thread().name))
    assert done == [threading.current_thread().name] * 8
    assert not turns._started


def test_what_fails_in_its_turn_is_told_and_the_others_are_done() -> None:
    turns = Turns()
    done = threading.Event()

    def broken() -> None:
        raise RuntimeError("broken")

    for _ in range(8):
        turns.take(lambda: None)
    with structlog.testing.capture_logs() as logs:
        turns.take(broken)
        turns.take(done.set)
        assert done.wait(SECONDS)
    assert [one["event"] for one in logs] == ["call_failed_unexpectedly"]
    turns.close()


def test_where_there_is_no_thread_all_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    turns = Turns()
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(threading.Thread, "start", none)
        loop = Loop(turns)
        loop.run(20)
    assert not loop.looks
    assert {one["event"] for one in logs} == {"thread_not_started"}
    assert len(logs) == 2  # it is not tried each time,
    for _ in range(9):  # but in the next row
        turns.take(lambda: None)
    assert turns._started
    turns.close()


def test_a_stop_does_what_waits() -> None:
    turns = Turns()
    done: SimpleQueue[int] = SimpleQueue()
    for number in range(20):
        turns.take(lambda number=number: done.put(number))  # type: ignore[misc]
    turns.close()
    assert sorted(done.get(timeout=SECONDS) for _ in range(20)) == list(range(20))
