"""The threads of unary calls: few run, those that wait are made up for, and none is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from gateway.errors import Overloaded
from gateway.rpc.pool import CallPool
from tests.support import wait_until

SECONDS = 20


@pytest.fixture
def make() -> Iterator[Callable[..., CallPool]]:
    pools: list[CallPool] = []

    def begin(waiting: int = 8, most: int = 1000, running: int = 2) -> CallPool:
        pools.append(CallPool(waiting, most, "test", running))
        return pools[-1]

    yield begin
    for pool in pools:
        pool.shutdown()


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
        assert self.go.wait(SECONDS)
        with self.lock:
            self.running -= 1

    def wait(self) -> None:
        try:
            with self.pool.waiting():
                self.begun.release()
                assert self.go.wait(SECONDS)
        except Overloaded:
            self.refused.set()

    def submit(self, job: Callable[[], None], count: int) -> None:
        for _ in range(count):
            self.pool.submit(job)

    def begin(self, count: int) -> None:
        for _ in range(count):
            assert self.begun.acquire(timeout=SECONDS)


def test_no_more_run_at_once_than_may(make: Callable[..., CallPool]) -> None:
    jobs = Jobs(make(running=2))
    jobs.submit(jobs.run, 10)
    jobs.begin(2)
    assert not jobs.begun.acquire(blocking=False)
    jobs.go.set()
    jobs.begin(8)
    assert jobs.most == 2


def test_one_that_waits_leaves_its_place_to_another(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=5, running=1)
    waiting, running = Jobs(pool), Jobs(pool)
    waiting.submit(waiting.wait, 5)
    waiting.begin(5)
    running.submit(running.run, 1)
    running.begin(1)
    running.go.set()
    waiting.go.set()


def test_those_that_have_waited_do_not_run_beside_too_many_for_long(make: Callable[..., CallPool]) -> None:
    pool = make(waiting=6, running=2)
    waiting = Jobs(pool)
    waiting.submit(waiting.wait, 6)
    waiting.begin(6)
    waiting.go.set()
    wait_until(lambda: pool.here == 0)
    wait_until(lambda: pool.resting >= 4)
    after = Jobs(pool)
    after.submit(after.run, 8)
    after.begin(2)
    assert not after.begun.acquire(timeout=0.05)
    after.go.set()
    after.begin(6)
    assert after.most == 2


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


def test_it_is_full_with_those_that_have_no_thread_yet(make: Callable[..., CallPool]) -> None:
    pool = make(most=3, running=1)
    jobs = Jobs(pool)
    jobs.submit(jobs.run, 2)
    assert not pool.full
    jobs.submit(jobs.run, 1)
    assert pool.full
    jobs.go.set()
    wait_until(lambda: not pool.full)


def test_a_job_that_fails_is_over_and_costs_no_thread(make: Callable[..., CallPool]) -> None:
    pool = make(running=1)

    def fail() -> None:
        raise ValueError("no")

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
