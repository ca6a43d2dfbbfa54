"""The threads of unary calls: few run, those that wait are made up for, and none is lost."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

import pytest

from gateway.errors import Draining, Overloaded
from gateway.rpc.pool import LOOK_SECONDS, CallPool, _Worker
from tests.support import wait_until

ResultT = TypeVar("ResultT")
SECONDS = 10
STANDS_STILL = 3 * SECONDS
"""longer than anybody waits for it"""


@pytest.fixture
def make() -> Iterator[Callable[..., CallPool]]:
    pools: list[CallPool] = []

    def begin(waiting: int = 8, most: int = 1000, running: int = 2) -> CallPool:
        pools.append(CallPool(waiting, most, "test", running))
        return pools[-1]

    yield begin
    assert all(ends(pool) for pool in pools)


class Jobs:
    """Jobs that stand still until they are let go, with or without their place."""

    def __init__(self, pool: CallPool) -> None:
        self.pool = pool
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.refused = threading.Event()
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()

    def run(self) -> None:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.begun.release()
        assert self.go.wait(STANDS_STILL)
        with self.lock:
            self.running -= 1

    def wait(self) -> None:
        try:
            with self.pool.waiting():
                self.begun.release()
                assert self.go.wait(STANDS_STILL)
        except Overloaded:
            self.refused.set()

    def submit(self, job: Callable[[], None], count: int) -> None:
        for _ in range(count):
            self.pool.submit(job)

    def begin(self, count: int) -> None:
        for _ in range(count):
            if not self.begun.acquire(timeout=SECONDS):
                self.go.set()
                pytest.fail("it has not begun")


class Busy:
    """Jobs that let others run, and never stand still for long."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.most = 0

    def run(self) -> None:
        self.running.add(threading.get_ident())
        self.most = max(self.most, len(self.running))
        time.sleep(0.0001)
        self.running.discard(threading.get_ident())


def test_no_more_run_at_once_than_may(make: Callable[..., CallPool]) -> None:
    pool, busy = make(running=2), Busy()
    for _ in range(200):
        pool.submit(busy.run)
    wait_until(lambda: pool.here == 0)
    assert busy.most <= 2


def test_one_that_waits_leaves_its_place_to_another(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=5, running=1)
    waiting, running = Jobs(pool), Jobs(pool)
    waiting.submit(waiting.wait, 5)
    waiting.begin(5)
    running.submit(running.run, 1)
    running.begin(1)
    running.go.set()
    waiting.go.set()


def test_it_is_made_up_for_while_others_are_in_the_queue_already(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=1, running=1)
    here, queued, go = threading.Event(), threading.Event(), threading.Event()
    done: list[bool] = []

    def first() -> None:
        here.set()
        assert queued.wait(SECONDS)
        with pool.waiting():
            done.append(go.wait(STANDS_STILL))  # which only the second one lets go

    pool.submit(first)
    assert here.wait(SECONDS)
    pool.submit(go.set)
    queued.set()
    wait_until(lambda: done == [True])


def test_those_that_stand_still_without_a_word_are_made_up_for(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=5, running=2)
    jobs, other = Jobs(pool), threading.Event()
    jobs.submit(jobs.run, 5)
    jobs.begin(5)
    pool.submit(other.set)
    assert other.wait(SECONDS)
    jobs.go.set()
    wait_until(lambda: pool.here == 0)
    after = Jobs(pool)
    after.submit(after.run, 1)
    after.begin(1)
    after.go.set()


def test_they_are_made_up_for_as_far_as_calls_may_wait(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=1, running=1)
    jobs = Jobs(pool)
    jobs.submit(jobs.run, 4)
    jobs.begin(2)
    assert not jobs.begun.acquire(timeout=5 * LOOK_SECONDS)
    jobs.go.set()
    jobs.begin(2)


def test_those_that_have_waited_do_not_run_beside_too_many_for_long(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=6, running=2)
    waiting = Jobs(pool)
    waiting.submit(waiting.wait, 6)
    waiting.begin(6)
    waiting.go.set()
    wait_until(lambda: pool.here == 0)
    wait_until(lambda: pool.resting >= 4)
    busy = Busy()
    for _ in range(200):
        pool.submit(busy.run)
    wait_until(lambda: pool.here == 0)
    assert busy.most <= 2


def test_a_call_is_not_left_to_one_that_rests(make: Callable[..., CallPool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rpc.pool.LOOK_SECONDS", STANDS_STILL)  # nobody finds it out
    pool = make(waiting=1, running=2)
    away, back, go = threading.Event(), threading.Event(), threading.Event()

    def come_back() -> None:
        with pool.waiting():
            away.set()
            assert back.wait(STANDS_STILL)
        back.clear()
        assert go.wait(STANDS_STILL)

    pool.submit(come_back)
    assert away.wait(SECONDS)
    others = Jobs(pool)
    others.submit(others.run, 2)
    others.begin(2)
    others.go.set()
    wait_until(lambda: pool.here == 1)
    back.set()
    wait_until(lambda: not back.is_set())  # it runs, beside two that have nothing to do
    done = threading.Event()
    pool.submit(done.set)
    assert done.wait(SECONDS)
    go.set()


def test_more_than_may_wait_are_refused_and_keep_no_place(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=1, running=1)
    jobs = Jobs(pool)
    jobs.submit(jobs.wait, 1)
    jobs.begin(1)
    jobs.submit(jobs.wait, 1)
    assert jobs.refused.wait(SECONDS)
    jobs.go.set()
    again = Jobs(pool)
    wait_until(lambda: pool.here == 0)
    again.submit(again.wait, 1)
    again.begin(1)
    again.go.set()


def test_with_too_many_here_further_ones_are_refused_and_are_counted_by_who_hands_them_over(
    make: Callable[..., CallPool],
) -> None:
    pool = make(most=3, running=1, waiting=1)
    jobs = Jobs(pool)
    assert [pool.submit(jobs.run) for _ in range(3)] == [None] * 3
    told: list[str] = []

    def ask() -> None:
        try:
            pool.check()
            told.append("served")
        except Overloaded as error:
            told.append(error.message)

    refused = pool.submit(ask)
    assert refused is not None
    jobs.go.set()
    refused.result(SECONDS)
    assert told == ["3 calls are under way, and no more are taken"]
    wait_until(lambda: pool.here == 0)
    assert pool.submit(ask) is None
    wait_until(lambda: len(told) == 2)
    assert told[1] == "served"


def test_a_pool_that_takes_no_more_says_so_to_those_who_come_and_lets_the_others_go_on(
    make: Callable[..., CallPool],
) -> None:
    pool = make(waiting=2, running=1)
    jobs = Jobs(pool)
    jobs.submit(jobs.wait, 1)
    jobs.begin(1)
    pool.take_no_more()
    heard: SimpleQueue[str] = SimpleQueue()

    def ask() -> None:
        try:
            pool.check()
        except Draining as error:
            heard.put(error.reason)

    refused = pool.submit(ask)
    assert refused is not None
    refused.result(SECONDS)
    assert heard.get_nowait() == "GATEWAY_DRAINING"
    for comes in (pool.room, pool.begin):
        with pytest.raises(Draining):
            comes()
    jobs.go.set()
    wait_until(lambda: pool.here == 0)
    assert not jobs.refused.is_set()


def test_calls_that_wait_without_a_thread_count_with_those_that_have_one(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=3, running=2)
    jobs = Jobs(pool)
    pool.begin()
    jobs.submit(jobs.wait, 2)
    jobs.begin(2)
    with pytest.raises(Overloaded, match="as many calls wait for DIS as may"):
        pool.begin()
    jobs.submit(jobs.wait, 1)
    assert jobs.refused.wait(SECONDS)
    pool.end()
    pool.begin()
    assert pool.here == 3
    jobs.go.set()
    wait_until(lambda: pool.here == 1)
    pool.begin()
    pool.begin()
    with pytest.raises(Overloaded, match="as many calls wait for DIS as may"):
        pool.begin()


def test_no_more_calls_begin_without_a_thread_than_may_be_here(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=100, most=2)
    pool.begin()
    pool.begin()
    with pytest.raises(Overloaded, match="2 calls are under way"):
        pool.begin()
    refused = pool.submit(lambda: None)
    assert refused is not None
    refused.result(SECONDS)
    pool.end()
    assert pool.submit(lambda: None) is None


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_a_job_that_fails_costs_no_thread(make: Callable[..., CallPool], error: BaseException) -> None:
    pool = make(running=1)

    def fail() -> None:
        raise error

    for _ in range(3):
        pool.submit(fail)
    jobs = Jobs(pool)
    jobs.submit(jobs.run, 1)
    jobs.begin(1)
    jobs.go.set()


def test_a_shutdown_carries_out_what_was_taken(make: Callable[..., CallPool]) -> None:
    pool = make(running=2)
    done: list[int] = []
    for number in range(50):
        pool.submit(done.append, number)
    pool.shutdown()
    assert sorted(done) == list(range(50))


def test_an_idle_pool_in_which_nobody_looks_any_more_ends(
    make: Callable[..., CallPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.rpc.pool.LOOK_SECONDS", 0.0001)
    pool = make()
    done = threading.Event()
    pool.submit(done.set)
    assert done.wait(SECONDS)
    wait_until(lambda: not pool.looked_after)
    assert ends(pool)
    late = threading.Event()
    pool = make(running=1)
    stuck = Jobs(pool)
    wait_until(lambda: not pool.looked_after)
    stuck.submit(stuck.run, 1)
    stuck.begin(1)
    wait_until(lambda: not pool.looked_after)
    pool.submit(late.set)
    assert late.wait(SECONDS), "they look again"
    stuck.go.set()


def test_short_calls_that_take_turns_are_not_taken_for_one_that_stands_still(
    make: Callable[..., CallPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.rpc.pool.LOOK_SECONDS", 1000.0)  # nobody looks but this test
    pool, begun = make(running=1), threading.Semaphore(0)
    ends = [threading.Event() for _ in range(2)]

    def call(end: threading.Event) -> None:
        begun.release()
        end.wait(SECONDS)

    for end in ends:
        pool.submit(call, end)
    assert begun.acquire(timeout=SECONDS)
    seen = pool._look_at({})
    ends[0].set()
    assert begun.acquire(timeout=SECONDS)  # the next one, by the same thread
    seen = pool._look_at(seen)
    assert [worker.away for worker in pool._busy] == [False]
    pool._look_at(seen)
    assert [worker.away for worker in pool._busy] == [True]
    ends[1].set()


def test_a_call_that_ends_while_it_is_found_out_costs_no_place(
    make: Callable[..., CallPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, ended, looked = threading.Event(), threading.Event(), threading.Event()
    leave, look_at = CallPool._leave, CallPool._look_at

    def late(pool: CallPool, worker: _Worker) -> bool:
        found.set()
        assert ended.wait(SECONDS)
        return leave(pool, worker)

    def last(pool: CallPool, seen: dict[_Worker, int]) -> dict[_Worker, int]:
        now = look_at(pool, seen)
        if found.is_set():
            monkeypatch.setattr("gateway.rpc.pool.LOOK_SECONDS", STANDS_STILL)  # nobody looks again
            looked.set()
        return now

    monkeypatch.setattr(CallPool, "_leave", late)
    monkeypatch.setattr(CallPool, "_look_at", last)
    pool = make(running=1)
    jobs, after = Jobs(pool), Jobs(pool)
    jobs.submit(jobs.run, 2)
    jobs.begin(1)
    assert found.wait(SECONDS)
    jobs.go.set()
    wait_until(lambda: pool.here == 0)
    ended.set()
    assert looked.wait(SECONDS)
    after.submit(after.run, 1)
    after.begin(1)
    after.submit(after.run, 1)
    assert not after.begun.acquire(timeout=0.2)
    after.go.set()
    after.begin(1)


class Slow:
    """What a pool has, but whoever touches it dawdles before and after: what may come between does."""

    class List(list[Any]):
        def append(self, one: object) -> None:
            dawdle(lambda: list.append(self, one))

        def pop(self, *place: Any) -> object:
            return dawdle(lambda: list.pop(self, *place))

        def remove(self, one: object) -> None:
            dawdle(lambda: list.remove(self, one))

    class Deque(deque[Any]):
        def append(self, one: object) -> None:
            dawdle(lambda: deque.append(self, one))

        def popleft(self) -> object:
            return dawdle(lambda: deque.popleft(self))


def dawdle(act: Callable[[], ResultT]) -> ResultT:
    try:
        time.sleep(random.choice((0, 0, 0.0002)))
        return act()
    finally:
        time.sleep(random.choice((0, 0, 0.0002)))


@pytest.mark.parametrize("running", [1, 2])
def test_no_call_is_lost_whatever_comes_between(
    make: Callable[..., CallPool], monkeypatch: pytest.MonkeyPatch, running: int
) -> None:
    monkeypatch.setattr("gateway.rpc.pool.LOOK_SECONDS", STANDS_STILL)  # nobody finds out what was lost
    pool = make(waiting=3, running=running)
    pool._free, pool._rested, pool._jobs = Slow.List(), Slow.List(), Slow.Deque()
    done: SimpleQueue[None] = SimpleQueue()

    def wait() -> None:
        try:
            with pool.waiting():
                time.sleep(0)
        except Overloaded:
            pass
        done.put(None)

    for turn in range(400):
        jobs = [wait] * (turn % 3) + [lambda: done.put(None)] * (turn % 2 + 1)
        for job in jobs:
            pool.submit(job)
        for _ in jobs:
            done.get(timeout=SECONDS)
    assert ends(pool)


def ends(pool: CallPool) -> bool:
    stop = threading.Thread(target=pool.shutdown, daemon=True)
    stop.start()
    stop.join(SECONDS)
    return not stop.is_alive()


def test_those_who_look_begin_later_where_no_thread_can_be_started_for_them(
    make: Callable[..., CallPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = threading.Thread.start, list[bool]()

    def second_fails(thread: threading.Thread) -> None:
        started.append(True)
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    pool = make(running=2)
    jobs, late = Jobs(pool), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", second_fails)
        jobs.submit(jobs.run, 2)
        jobs.begin(2)
    pool.submit(late.set)
    assert late.wait(SECONDS)
    jobs.go.set()


def test_a_thread_that_cannot_be_started_takes_no_place(
    make: Callable[..., CallPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make(running=1)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    done = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        pool.submit(done.set)
    assert not done.is_set()
    again = threading.Event()
    pool.submit(again.set)
    assert done.wait(SECONDS)
    assert again.wait(SECONDS)


def test_a_shutdown_waits_for_threads_that_are_needed_after_it_has_begun(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=1, running=1)
    here, closing = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        here.set()
        assert closing.wait(SECONDS)
        with pool.waiting():
            wait_until(lambda: done == ["second"])
        done.append("first")

    pool.submit(first)
    assert here.wait(SECONDS)
    pool.submit(done.append, "second")
    stop = threading.Thread(target=pool.shutdown, daemon=True)
    stop.start()
    closing.set()
    stop.join(SECONDS)
    assert not stop.is_alive()
    assert done == ["second", "first"]


def test_a_shutdown_wakes_those_that_rest(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=6, running=1)
    jobs = Jobs(pool)
    jobs.submit(jobs.wait, 6)
    jobs.begin(6)
    jobs.go.set()
    wait_until(lambda: pool.resting >= 5)
    assert ends(pool)


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="the kernel knows no such threads")
@pytest.mark.parametrize("refused", [False, True])
def test_its_threads_let_those_go_on_who_wake_them_if_the_system_lets_them(
    make: Callable[..., CallPool], monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    if refused:
        monkeypatch.setattr(os, "sched_setscheduler", raising(PermissionError))
    found: SimpleQueue[int] = SimpleQueue()
    make().submit(lambda: found.put(os.sched_getscheduler(0)))
    assert found.get(timeout=SECONDS) == (os.SCHED_OTHER if refused else os.SCHED_BATCH)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "that of others stays"


def raising(problem: type[Exception]) -> Callable[..., None]:
    def call(*args: object) -> None:
        raise problem

    return call
