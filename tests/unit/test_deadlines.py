"""Calls give up at their time: with a clock of the tests' own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from gateway.rpc import deadlines
from gateway.rpc.deadlines import Deadlines
from tests.support import wait_until


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Waiter:
    step = 0

    def __init__(self, deadline: float, clock: Clock) -> None:
        self.deadline = deadline
        self._clock = clock
        self.gave_up: list[float] = []

    def give_up(self) -> None:
        self.gave_up.append(self._clock())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waits(clock: Clock) -> Iterator[Deadlines]:
    one = Deadlines(clock)
    yield one
    one.close()


def steps_of(waits: Deadlines) -> int:
    return len(waits._waiters)


@pytest.mark.parametrize("seconds", [0.001, 0.3, 1.9, 2.0, 2.1, 30.0, 3600.0])
def test_each_gives_up_at_its_time_and_not_before(waits: Deadlines, clock: Clock, seconds: float) -> None:
    waiter, later = Waiter(clock.now + seconds, clock), Waiter(clock.now + seconds + 0.1, clock)
    before = Waiter(clock.now + seconds - 0.01, clock)
    for one in (waiter, later, before):
        waits.add(one)
    clock.now += seconds - 0.0099
    wait_until(lambda: bool(before.gave_up) or seconds < 0.01)
    assert seconds < 0.01 or not waiter.gave_up
    clock.now += 0.0099
    wait_until(lambda: bool(waiter.gave_up))
    assert not later.gave_up
    clock.now += 0.1
    wait_until(lambda: bool(later.gave_up))
    assert len(waiter.gave_up) == 1


def test_who_was_answered_does_not_give_up_and_leaves_nothing(waits: Deadlines, clock: Clock) -> None:
    answered = [Waiter(clock.now + seconds, clock) for seconds in (0.1, 1.0, 5.0, 5.0, 60.0)]
    for waiter in answered:
        waits.add(waiter)
    for waiter in answered:
        waits.remove(waiter)
    last = Waiter(clock.now + 100, clock)
    waits.add(last)
    clock.now += 99.0
    wait_until(lambda: steps_of(waits) == 1)
    clock.now += 2.0
    wait_until(lambda: bool(last.gave_up))
    assert not any(waiter.gave_up for waiter in answered)
    wait_until(lambda: steps_of(waits) == 0)


def test_one_that_is_answered_while_it_is_looked_at_does_not_come_back(waits: Deadlines, clock: Clock) -> None:
    waits._started = True  # the thread is this test
    waiter = Waiter(clock.now + 30.0, clock)
    waits.add(waiter)
    clock.now += 29.0
    looked_at = waits._waiters.pop(deadlines.heappop(waits._steps))
    waits.remove(waiter)
    assert waits._look_at(looked_at)
    assert not waits._steps
    assert not waiter.gave_up


def test_those_who_wait_for_ever_so_long_have_few_steps(waits: Deadlines, clock: Clock) -> None:
    waits._started = True
    for seconds in range(10_000):
        waits.add(Waiter(clock.now + 3.0 + seconds, clock))
    assert steps_of(waits) < 100


def test_one_that_comes_when_nobody_has_been_there_for_long_is_looked_at(
    waits: Deadlines, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "_IDLE_LOOKS", 0)
    for _ in range(3):
        waiter = Waiter(clock.now + 0.01, clock)
        waits.add(waiter)
        clock.now += 1.0
        wait_until(lambda waiter=waiter: bool(waiter.gave_up))
        wait_until(lambda: waits._looks_at == float("inf"))


def test_one_that_fails_stops_nobody_else(waits: Deadlines, clock: Clock) -> None:
    class Broken(Waiter):
        def give_up(self) -> None:
            super().give_up()
            raise RuntimeError("broken")

    with structlog.testing.capture_logs() as logs:
        broken, other = Broken(clock.now + 0.1, clock), Waiter(clock.now + 0.2, clock)
        waits.add(broken)
        waits.add(other)
        clock.now += 1.0
        wait_until(lambda: bool(other.gave_up))
    assert len(broken.gave_up) == 1
    assert [one["event"] for one in logs] == ["call_failed_unexpectedly"]


def test_a_thread_that_cannot_be_started_is_tried_again(
    waits: Deadlines, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    first, second = Waiter(clock.now + 0.1, clock), Waiter(clock.now + 0.2, clock)
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(threading.Thread, "start", refused)
        waits.add(first)
    assert [one["event"] for one in logs] == ["thread_not_started"]
    waits.add(second)
    clock.now += 1.0
    wait_until(lambda: bool(first.gave_up and second.gave_up))


def test_after_the_end_nobody_gives_up(clock: Clock) -> None:
    waits = Deadlines(clock)
    waiter = Waiter(clock.now + 0.1, clock)
    waits.add(waiter)
    waits.close()
    wait_until(lambda: not any(thread.name == "deadlines" and thread.is_alive() for thread in threading.enumerate()))
    assert not waiter.gave_up


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=30), st.lists(st.floats(0, 3), max_size=30))
def test_whoever_waits_gives_up_once_and_within_a_step(calls: list[tuple[float, bool]], passing: list[float]) -> None:
    """Without a thread: what it would do is done here, after each passing of time."""
    clock = Clock()
    waits = Deadlines(clock)
    waits._started = True
    waiters = [Waiter(clock.now + seconds, clock) for seconds, _ in calls]
    for waiter in waiters:
        waits.add(waiter)
    for waiter, (_, answered) in zip(waiters, calls, strict=True):
        if answered:
            waits.remove(waiter)
    for seconds in [*passing, 100.0]:
        clock.now += seconds
        for _ in range(100):
            if not (waits._steps and waits._steps[0] / deadlines._STEPS <= clock.now):
                break
            waits._look_at(waits._waiters.pop(deadlines.heappop(waits._steps)))
        for waiter, (_, answered) in zip(waiters, calls, strict=True):
            late = waiter.deadline <= clock.now
            assert len(waiter.gave_up) in ({0} if answered else {1} if late else {0, 1})
            assert all(at >= waiter.deadline - 1 / deadlines._STEPS for at in waiter.gave_up)
    assert not waits._steps
