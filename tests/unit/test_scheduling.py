"""Threads that this process wakes let those go on who wake them; those that the network wakes do not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import cast

import grpc
import pytest

from gateway.checkpoints.core import CoreSettings
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.workers import Later, Workers
from gateway.rpc.admission import Admission
from gateway.rpc.channels import StreamMethod
from gateway.rpc.deadlines import Deadlines
from gateway.rpc.handlers import THREADS, Shared
from gateway.rpc.messages import MessageReader
from gateway.rpc.pool import CallPool
from gateway.rpc.streams import StreamServicer
from gateway.scheduling import go_on_at_once, let_others_go_on
from tests.unit.test_quick import Store

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="the kernel knows no such threads")
SECONDS = 10


def policy() -> int:
    return os.sched_getscheduler(0)


@pytest.fixture
def patient() -> Iterator[ThreadPoolExecutor]:
    """A thread that lets others go on, as those are that unary calls have."""
    with ThreadPoolExecutor(1, initializer=let_others_go_on) as pool:
        assert pool.submit(policy).result(SECONDS) == os.SCHED_BATCH
        yield pool


@pytest.fixture
def service() -> CheckpointService:
    return CheckpointService(Store(), CoreSettings(), 10, time.monotonic)


def test_what_waits_for_dis_does_not_wait_for_others_though_a_patient_thread_has_started_it(
    patient: ThreadPoolExecutor,
) -> None:
    found: SimpleQueue[int] = SimpleQueue()
    workers, later = Workers(1, "test"), Later(time.monotonic, "test")

    def put() -> None:
        workers.put(lambda: found.put(policy()))
        later.put(0.0, lambda: found.put(policy()))

    patient.submit(put).result(SECONDS)
    assert [found.get(timeout=SECONDS) for _ in range(2)] == [os.SCHED_OTHER] * 2
    workers.close()
    later.close()


def test_the_threads_of_a_stream_let_others_go_on(service: CheckpointService) -> None:
    shared = Shared(1000, time.monotonic, CallPool(1, 1, "test"), Deadlines(time.monotonic))
    streams = StreamServicer(service, MessageReader(), shared, Admission(), 1)
    behaviours = streams.handlers(threads=True)
    for behaviour in (behaviours["StreamCommits"].stream_stream, behaviours["WatchCheckpoints"].unary_stream):
        assert getattr(behaviour, THREADS).submit(policy).result(SECONDS) == os.SCHED_BATCH
    streams.close()

    found: SimpleQueue[int] = SimpleQueue()

    def requests() -> Iterator[bytes]:
        found.put(policy())
        yield from ()

    class Reads:
        def came(self, message: bytes | None) -> None:
            """It is not asked for."""

        def sent(self) -> None:
            """Nothing is."""

        def broke(self, problem: Exception) -> None:
            raise problem

    with ThreadPoolExecutor(1) as pool:
        StreamMethod(lambda channel: Reads(), pool)(requests(), cast(grpc.ServicerContext, None))
        assert found.get(timeout=SECONDS) == os.SCHED_BATCH


@pytest.mark.parametrize(("change", "own"), [(let_others_go_on, "SCHED_FIFO"), (go_on_at_once, "SCHED_IDLE")])
def test_what_somebody_has_chosen_stays(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], own: str) -> None:
    changed: list[object] = []
    monkeypatch.setattr(os, "sched_getscheduler", lambda process: getattr(os, own))
    monkeypatch.setattr(os, "sched_setscheduler", lambda *args: changed.append(args))
    change()
    assert not changed
