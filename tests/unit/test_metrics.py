"""The series: exact whatever the number of threads, bounded whatever the number of partitions."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.checkpoints.work import Event
from gateway.dis.attempts import Operation
from gateway.dis.http import AnswerLost, AnswerTooLarge, HttpAnswer, HttpRequest, NotSent, TransportError
from gateway.errors import GatewayError
from gateway.model import CheckpointKey, PartitionState, SequenceNumber
from gateway.telemetry import partitions
from gateway.telemetry.attempts import Attempts
from gateway.telemetry.calls import Calls
from gateway.telemetry.metrics import LAG_KEPT_SECONDS, Metrics
from gateway.telemetry.tally import Tally
from gateway.trace import untraced


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def key(number: int) -> CheckpointKey:
    return CheckpointKey("stream", "app", str(number))


def listed(number: int, latest: int = 10) -> PartitionState:
    return PartitionState(key(number), SequenceNumber(1), 0, latest, "ACTIVE")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_what_many_threads_count_adds_up_exactly() -> None:
    metrics = Metrics("1")
    calls = Calls(metrics)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(lambda: [calls("GetCheckpoint").ended(0.75, None) for _ in range(2000)])
    assert value(metrics, "disgw_rpcs_total", method="GetCheckpoint", code="OK") == 16_000
    assert value(metrics, "disgw_rpc_seconds_count", method="GetCheckpoint") == 16_000
    assert value(metrics, "disgw_rpc_seconds_sum", method="GetCheckpoint") == 12_000
    assert value(metrics, "disgw_rpc_seconds_bucket", method="GetCheckpoint", le="0.5") == 0
    assert value(metrics, "disgw_rpc_seconds_bucket", method="GetCheckpoint", le="1.0") == 16_000


def test_a_counter_and_its_times_are_seen_together() -> None:
    tally = Tally((1.0, 2.0), ["OK"])
    over = threading.Event()

    def count() -> None:
        while not over.is_set():
            tally.add("OK", 1.5)

    counting = threading.Thread(target=count)
    counting.start()
    try:
        for _ in range(2000):
            kinds, within, seconds = tally.seen()
            assert within == [0, kinds["OK"], 0]
            assert seconds == 1.5 * kinds["OK"]
    finally:
        over.set()
        counting.join()


def test_many_that_count_at_once_lose_nothing_while_somebody_looks() -> None:
    tally = Tally((1.0, 2.0), ["OK"])
    over = threading.Event()

    def count(seconds: float) -> None:
        for _ in range(5000):
            tally.add("OK", seconds)

    def look() -> None:
        while not over.is_set():
            tally.seen()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(5) as pool:
            looking = pool.submit(look)
            for counting in [pool.submit(count, seconds) for seconds in (0.5, 1.0, 1.5, 2.5)]:
                counting.result()
            over.set()
            looking.result()
    finally:
        sys.setswitchinterval(interval)
    assert tally.seen()[:2] == ({"OK": 20_000}, [10_000, 5000, 5000])


def test_some_events_at_once_are_each_where_they_belong() -> None:
    one, all_at_once = Tally((1.0, 2.0), ["hit"]), Tally((1.0, 2.0), ["hit"])
    ages = [3.0, 0.0, 1.0, 1.0000001, 2.0, 0.5]
    for age in ages:
        one.add("hit", age)
    all_at_once.add_all("hit", ages)
    assert one.seen() == all_at_once.seen() == ({"hit": 6}, [3, 2, 1], sum(ages))


def test_series_of_what_has_not_happened_yet_are_there() -> None:
    metrics = Metrics("1")
    Calls(metrics)("GetCheckpoint")
    assert value(metrics, "disgw_rpcs_total", method="GetCheckpoint", code="OK") == 0
    assert value(metrics, "disgw_cache_reads_total", result="stale") == 0


def test_a_value_at_a_bound_lies_below_it() -> None:
    metrics = Metrics("1")
    for age in (1.0, 1.1):
        metrics.count(Event.CACHE_HIT, 1, age)
    metrics.count(Event.CACHE_MISS, 1)
    assert value(metrics, "disgw_cache_age_seconds_bucket", le="1.0") == 1
    assert value(metrics, "disgw_cache_age_seconds_bucket", le="+Inf") == 2
    assert value(metrics, "disgw_cache_age_seconds_count") == 2


def test_partitions_are_bounded_and_the_one_committed_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "PARTITIONS_MAX", 3)
    clock = Clock()
    metrics = Metrics("1", wall=clock)
    for number in (0, 1, 2, 0, 3):
        clock.now += 1
        metrics.wrote(key(number), True)
    assert [labels[2][-1] for labels in metrics.last_commits()] == ["3", "0", "2"]
    assert list(metrics.last_commits().values()) == [1005.0, 1004.0, 1003.0]
    assert metrics.text().count(b"disgw_last_commit_timestamp_seconds{") == 3


def test_a_deleted_checkpoint_has_no_last_commit() -> None:
    metrics = Metrics("1")
    metrics.wrote(key(0), True)
    metrics.wrote(key(0), False)
    metrics.wrote(key(1), False)
    assert metrics.last_commits() == {}


def test_a_lag_that_is_not_listed_any_more_is_shown_no_more() -> None:
    clock = Clock()
    metrics = Metrics("1", clock)
    metrics.listed([listed(0), listed(1)])
    clock.now += LAG_KEPT_SECONDS - 1
    metrics.listed([listed(1, latest=20)])
    assert list(metrics.lags().values()) == [19.0, 9.0]
    clock.now += 2
    assert list(metrics.lags().values()) == [19.0]
    assert b'disgw_lag_records{app="app",partition="shardId-0000000001",stream="stream"} 19.0' in metrics.text()
    assert b"shardId-0000000000" not in metrics.text()


def test_a_value_that_is_not_known_has_no_series() -> None:
    metrics, known = Metrics("1"), [None, 7.0]
    metrics.watch_if_known("disgw_some", "Some", lambda: known[0])
    assert b"\ndisgw_some " not in metrics.text()
    known.pop(0)
    assert b"\ndisgw_some 7.0\n" in metrics.text()


REQUEST = HttpRequest("GET", "https://dis.example.com/", {})


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (HttpAnswer(200, {}, b""), "200"),
        (HttpAnswer(441, {}, b""), "441"),
        (HttpAnswer(599, {}, b""), "other"),
        (HttpAnswer(7, {}, b""), "other"),
        (NotSent("no connection"), "not_sent"),
        (AnswerLost("it broke"), "lost"),
        (AnswerTooLarge("large", 200), "200"),
        (None, "lost"),
    ],
)
def test_each_way_that_a_request_ends_has_its_name(outcome: HttpAnswer | TransportError | None, result: str) -> None:
    clock = Clock()
    metrics = Metrics("1")
    attempt = Attempts(metrics, clock=clock).began(Operation.READ, REQUEST, 0, untraced)
    clock.now += 0.3
    attempt.ended(outcome)
    assert value(metrics, "disgw_upstream_attempts_total", operation="read", result=result) == 1
    assert value(metrics, "disgw_upstream_seconds_sum", operation="read") == pytest.approx(0.3)


def test_a_failed_call_is_counted_by_its_code() -> None:
    metrics = Metrics("1")
    Calls(metrics)("CommitCheckpoint").failed(0.1, GatewayError("oh"), "", (), None, "")
    assert value(metrics, "disgw_rpcs_total", method="CommitCheckpoint", code="INTERNAL") == 1
    assert value(metrics, "disgw_rpc_seconds_count", method="CommitCheckpoint") == 1
