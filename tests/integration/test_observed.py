"""What a whole gateway counts and logs of its calls and of its requests to DIS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config, CredentialsConfig, LogConfig, LogLevel, RetryConfig, ServerConfig
from gateway.emulator import Emulator
from tests.support import STREAM, Running, config_for, key, wait_until

Start = Callable[[Config], Running]


@pytest.fixture
def running(emulator: Emulator, start: Start) -> Running:
    return start(config_for(emulator))


def value(running: Running, name: str, **labels: str) -> float:
    return running.gateway.metrics.registry.get_sample_value(name, labels) or 0.0


def commit(number: int, partition: str = "0") -> pb.CommitCheckpointRequest:
    return pb.CommitCheckpointRequest(key=key(partition), sequence_number=str(number))


def test_calls_are_counted_and_timed_by_method_and_code(running: Running) -> None:
    running.client.commit(10)
    running.client.get()
    running.client.get()
    running.client.failure(running.client.commit, 9)
    running.client.failure(running.client.commit, "x")
    assert value(running, "disgw_rpcs_total", method="GetCheckpoint", code="OK") == 2
    assert value(running, "disgw_rpc_seconds_count", method="GetCheckpoint") == 2
    assert value(running, "disgw_rpcs_total", method="CommitCheckpoint", code="OK") == 1
    assert value(running, "disgw_rpcs_total", method="CommitCheckpoint", code="FAILED_PRECONDITION") == 1
    assert value(running, "disgw_rpcs_total", method="CommitCheckpoint", code="INVALID_ARGUMENT") == 1
    assert value(running, "disgw_rpc_seconds_count", method="CommitCheckpoint") == 3
    assert value(running, "disgw_cache_age_seconds_count") == 2
    assert value(running, "disgw_cache_reads_total", result="hit") == 2


def test_each_element_of_a_batch_is_counted_by_its_code(running: Running) -> None:
    answer = running.client.stub.BatchCommitCheckpoints(
        pb.BatchCommitCheckpointsRequest(commits=[commit(10), commit(1, "x"), commit(11, "1")]), timeout=20
    )
    assert len(answer.results) == 3
    running.client.stub.BatchGetCheckpoints(pb.BatchGetCheckpointsRequest(keys=[key(), key("1")]), timeout=20)
    assert value(running, "disgw_rpcs_total", method="BatchCommitCheckpoints", code="OK") == 1
    assert value(running, "disgw_items_total", method="BatchCommitCheckpoints", code="OK") == 2
    assert value(running, "disgw_items_total", method="BatchCommitCheckpoints", code="INVALID_ARGUMENT") == 1
    assert value(running, "disgw_items_total", method="BatchGetCheckpoints", code="OK") == 2


def test_a_stream_is_counted_once_and_each_of_its_commits_timed(running: Running) -> None:
    requests = [
        pb.StreamCommitsRequest(id=1, commit=commit(10)),
        pb.StreamCommitsRequest(id=2, commit=commit(1, "x")),
        pb.StreamCommitsRequest(id=3, commit=commit(11, "1")),
    ]
    assert len(list(running.client.stub.StreamCommits(iter(requests), timeout=20))) == 3
    wait_until(lambda: value(running, "disgw_rpcs_total", method="StreamCommits", code="OK") == 1)
    assert value(running, "disgw_items_total", method="StreamCommits", code="OK") == 2
    assert value(running, "disgw_items_total", method="StreamCommits", code="INVALID_ARGUMENT") == 1
    assert value(running, "disgw_rpc_seconds_count", method="StreamCommits") == 2
    wait_until(lambda: value(running, "disgw_streams_open") == 0)


def test_a_stream_that_its_client_leaves_is_open_until_then_and_counted_as_cancelled(running: Running) -> None:
    watch = running.client.stub.WatchCheckpoints(pb.WatchCheckpointsRequest(keys=[key()]))
    next(watch)
    assert value(running, "disgw_streams_open") == 1
    watch.cancel()
    wait_until(lambda: value(running, "disgw_rpcs_total", method="WatchCheckpoints", code="CANCELLED") == 1)
    wait_until(lambda: value(running, "disgw_streams_open") == 0)


def test_a_stream_that_is_refused_is_counted_by_its_code(emulator: Emulator, start: Start) -> None:
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="", max_streams=1)
    running = start(config_for(emulator, server=server))
    watch = running.client.stub.WatchCheckpoints(pb.WatchCheckpointsRequest(keys=[key()]))
    next(watch)
    with pytest.raises(grpc.RpcError):
        next(running.client.stub.WatchCheckpoints(pb.WatchCheckpointsRequest(keys=[key()]), timeout=20))
    assert value(running, "disgw_rpcs_total", method="WatchCheckpoints", code="RESOURCE_EXHAUSTED") == 1
    watch.cancel()


def test_every_request_to_dis_is_counted_with_how_it_ended(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator, retry=RetryConfig(attempts=3, base_seconds=0.001, max_seconds=0.01)))
    emulator.inject("error", code="DIS.4303", times=1)
    running.client.commit(10)
    running.client.get("1")
    running.client.delete("1")
    running.client.stub.ListCheckpoints(pb.ListCheckpointsRequest(stream_name=STREAM, app_name="app-1"), timeout=20)
    emulator.inject("cut_after", method="POST")
    running.client.failure(running.client.commit, 11)

    def attempts(operation: str, result: str) -> float:
        return value(running, "disgw_upstream_attempts_total", operation=operation, result=result)

    assert attempts("commit", "400") == 1
    assert attempts("commit", "201") == 1
    assert attempts("commit", "lost") == 1
    assert attempts("read", "200") == 1
    assert attempts("delete", "204") == 1
    assert attempts("list", "200") == 1
    assert value(running, "disgw_upstream_seconds_count", operation="commit") == 3


def test_the_time_of_the_last_commit_stands_for_each_partition_that_dis_has_stored(
    emulator: Emulator, running: Running
) -> None:
    before = datetime.now(UTC).timestamp()
    running.client.commit(10)
    emulator.inject("error", code="DIS.5000", method="POST")
    running.client.failure(running.client.commit, 1, "1")
    commits = running.gateway.metrics.last_commits()
    assert [labels[2] for labels in commits] == ["shardId-0000000000"]
    assert before <= next(iter(commits.values())) <= datetime.now(UTC).timestamp()
    running.client.delete()
    assert not running.gateway.metrics.last_commits()


def test_credentials_that_do_not_expire_have_no_expiry(running: Running) -> None:
    assert b"\ndisgw_credentials_expiry_timestamp_seconds " not in running.gateway.metrics.text()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


def test_a_failed_call_is_one_line_and_a_good_one_none(emulator: Emulator, start: Start, lines: list[Any]) -> None:
    running = start(config_for(emulator, credentials=CredentialsConfig(access_key="AK", secret_key="wrong")))
    running.client.failure(running.client.commit, 10)
    failed = [line for line in lines if line["event"] == "rpc_failed"]
    assert len(failed) == 1
    assert failed[0]["log_level"] == "warning"
    assert failed[0]["reason"] == "UPSTREAM_CREDENTIALS_REJECTED"
    assert failed[0]["key"] == "stream-1/app-1/0"
    assert failed[0]["dis_error_code"] == "DIS.4107"
    assert failed[0]["dis_request_id"]
    assert "secret key" in failed[0]["do"]
    assert [line["event"] for line in lines if line["log_level"] != "debug"] == ["breaker_opened", "rpc_failed"]


def test_good_calls_leave_no_line_even_if_dis_was_asked_twice(
    emulator: Emulator, start: Start, lines: list[Any]
) -> None:
    running = start(config_for(emulator, retry=RetryConfig(attempts=3, base_seconds=0.001, max_seconds=0.01)))
    emulator.inject("error", code="DIS.5000", method="GET")
    running.client.get("1")
    running.client.commit(10)
    assert emulator.request_count() == 3
    assert [line for line in lines if line["log_level"] != "debug"] == []


def test_at_debug_each_good_call_is_a_line_and_a_cached_read_too(
    emulator: Emulator, start: Start, lines: list[Any]
) -> None:
    running = start(config_for(emulator, log=LogConfig(level=LogLevel.DEBUG)))
    running.client.commit(10)
    for _ in range(3):
        running.client.get()
    ended = [line["method"] for line in lines if line["event"] == "rpc_ended"]
    assert ended == ["CommitCheckpoint"] + ["GetCheckpoint"] * 3


def test_what_a_caller_did_wrong_is_one_quiet_line(running: Running, lines: list[Any]) -> None:
    running.client.commit(10)
    running.client.failure(running.client.commit, 9)
    running.client.failure(running.client.get, "a\nb")
    told = [(line["event"], line["log_level"], line["reason"], line["key"]) for line in lines]
    assert told == [
        ("rpc_failed", "info", "CHECKPOINT_REGRESSION", "stream-1/app-1/0"),
        ("rpc_failed", "info", "FIELD_INVALID", r"'stream-1/app-1/a\nb'"),
    ]


def test_a_failed_commit_of_a_stream_is_one_line(running: Running, lines: list[Any]) -> None:
    running.client.commit(10)
    requests = [pb.StreamCommitsRequest(id=1, commit=commit(9)), pb.StreamCommitsRequest(id=2, commit=commit(11))]
    list(running.client.stub.StreamCommits(iter(requests), timeout=20))
    assert [(line["event"], line["method"], line["reason"], line["key"]) for line in lines] == [
        ("item_failed", "StreamCommits", "CHECKPOINT_REGRESSION", "stream-1/app-1/shardId-0000000000")
    ]
