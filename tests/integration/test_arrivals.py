"""Calls that begin with their message, and wait for DIS without a thread."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import grpc
import msgspec
import pytest
import structlog.testing
from grpc import _server

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config, LimitsConfig, RetryConfig, ServerConfig
from gateway.emulator import Emulator
from gateway.rpc import server
from gateway.rpc.inner import inner_parts
from gateway.telemetry import calls
from gateway.telemetry.metrics import Metrics
from tests.support import APP, STREAM, Call, Client, Running, config_for, key, wait_until

Start = Callable[[Config], Running]
SERVER = ServerConfig(listen="127.0.0.1:0", admin_listen="")


def test_these_are_the_inner_parts_of_this_grpc() -> None:
    """Where this fails after an update: see what has changed in ``grpc/_server.py``, and follow it in ``inner``."""
    assert inner_parts() is not None


def hits(client: Client, emulator: Emulator) -> None:
    client.commit(5)
    assert client.get().found


def misses(client: Client, emulator: Emulator) -> None:
    client.get(read_mode=pb.READ_MODE_FRESH)


def deletes(client: Client, emulator: Emulator) -> None:
    client.delete()


def batches(client: Client, emulator: Emulator) -> None:
    client.commit(5)
    stub = client.stub
    for _ in range(2):
        stub.BatchGetCheckpoints(pb.BatchGetCheckpointsRequest(keys=[key(), key("1")]), timeout=20)
    stub.BatchCommitCheckpoints(
        pb.BatchCommitCheckpointsRequest(
            commits=[pb.CommitCheckpointRequest(key=key(), sequence_number="6"), pb.CommitCheckpointRequest()]
        ),
        timeout=20,
    )


def lists(client: Client, emulator: Emulator) -> None:
    client.stub.ListCheckpoints(pb.ListCheckpointsRequest(stream_name=STREAM, app_name=APP), timeout=20)
    request = pb.ListCheckpointsRequest(stream_name="nowhere", app_name=APP)
    client.failure(client.stub.ListCheckpoints, request, timeout=20)


def wrong_requests(client: Client, emulator: Emulator) -> None:
    assert client.failure(client.get, "nonsense").field == "key.partition_id"
    assert client.failure(client.commit, "x").field == "sequence_number"
    request = pb.BatchGetCheckpointsRequest(max_age={"seconds": -1}, keys=[key()])
    client.failure(client.stub.BatchGetCheckpoints, request, timeout=20)


def refusals_of_dis(client: Client, emulator: Emulator) -> None:
    for call in (client.get, client.commit, client.delete):
        emulator.inject("error", code="DIS.5000", times=1)
        arguments = (7,) if call == client.commit else ()
        more = {"read_mode": pb.READ_MODE_FRESH} if call == client.get else {}
        client.failure(call, *arguments, **more)


def what_is_below(client: Client, emulator: Emulator) -> None:
    client.commit(9)
    assert client.failure(client.commit, 8).reason == "CHECKPOINT_REGRESSION"


def callers_who_leave(client: Client, emulator: Emulator) -> None:
    emulator.inject("hold", times=1)
    call = client.stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key("2")), timeout=50)
    emulator.wait_for_held(1)
    call.cancel()
    wait_until(lambda: committed(client, 4, "1"))  # there is room for it again
    emulator.inject("hold", times=1)
    late = client.stub.CommitCheckpoint.future(pb.CommitCheckpointRequest(key=key("1"), sequence_number="5"), timeout=1)
    assert late.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    emulator.release()


def too_many(client: Client, emulator: Emulator) -> None:
    emulator.inject("hold", times=1)
    waiting = client.stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key("2")), timeout=50)
    emulator.wait_for_held(1)
    assert client.failure(client.commit, 6, "1").reason == "GATEWAY_OVERLOADED"
    emulator.release()
    waiting.result()


def reads_cut_off(client: Client, emulator: Emulator) -> None:
    emulator.inject("cut_before", times=1)
    client.get(read_mode=pb.READ_MODE_FRESH)


def commits_cut_off(client: Client, emulator: Emulator) -> None:
    emulator.inject("cut_after", times=1)
    assert client.failure(client.commit, 5).reason == "COMMIT_OUTCOME_UNKNOWN"


def reads_tried_again(client: Client, emulator: Emulator) -> None:
    emulator.inject("error", code="DIS.5000", times=1)
    client.get(read_mode=pb.READ_MODE_FRESH)


def commits_tried_again(client: Client, emulator: Emulator) -> None:
    emulator.inject("error", code="DIS.4303", times=1)
    client.commit(7)


def nonsense(client: Client, emulator: Emulator) -> None:
    emulator.inject("body", status=200, body="nonsense", times=1)
    client.failure(client.get, read_mode=pb.READ_MODE_FRESH)


def writes_that_hang(client: Client, emulator: Emulator) -> None:
    """DIS has them still when this returns."""
    client.commit(4, "1")
    emulator.inject("hold", times=1)
    request = pb.CommitCheckpointRequest(key=key("1"), sequence_number="5")
    late = client.stub.CommitCheckpoint.future(request, timeout=1)
    assert Call.of(late.exception()).reason == "COMMIT_OUTCOME_UNKNOWN"


def streams(client: Client, emulator: Emulator) -> None:
    call = client.stub.StreamCommits(iter([streamed(1), streamed(2), pb.StreamCommitsRequest(id=3)]), timeout=20)
    assert len(list(call)) == 3


def streams_with_nonsense(client: Client, emulator: Emulator) -> None:
    call = client.channel.stream_stream("/disgateway.v1.CheckpointService/StreamCommits")
    client.failure(lambda: list(call(iter([streamed(1).SerializeToString(), b"\xff"]), timeout=20)))


def streams_broken_off(client: Client, emulator: Emulator) -> None:
    requests: SimpleQueue[pb.StreamCommitsRequest | None] = SimpleQueue()
    call = client.stub.StreamCommits(iter(requests.get, None), timeout=20)
    requests.put(streamed(1))
    next(call)
    emulator.inject("hold", times=1)
    requests.put(streamed(2))
    emulator.wait_for_held(1)
    call.cancel()
    requests.put(None)
    emulator.release()


def streams_broken_off_while_dis_hangs(client: Client, emulator: Emulator) -> None:
    """DIS has one commit still when this returns, and the stream is broken off in the middle of nonsense."""
    requests: SimpleQueue[bytes | None] = SimpleQueue()
    method = client.channel.stream_stream("/disgateway.v1.CheckpointService/StreamCommits")
    call = method(iter(requests.get, None), timeout=20)
    requests.put(streamed(1).SerializeToString())
    next(call)
    emulator.inject("hold", times=1)
    requests.put(streamed(2).SerializeToString())
    emulator.wait_for_held(1)
    requests.put(b"\xff")
    client.commit(1, "1")  # gRPC has brought what was sent before
    call.cancel()
    requests.put(None)


def too_many_streams(client: Client, emulator: Emulator) -> None:
    requests: SimpleQueue[pb.StreamCommitsRequest | None] = SimpleQueue()
    call = client.stub.StreamCommits(iter(requests.get, None), timeout=20)
    requests.put(streamed(1))
    next(call)
    failure = client.failure(lambda: list(client.stub.StreamCommits(iter(()), timeout=20)))
    assert failure.reason == "GATEWAY_OVERLOADED"
    requests.put(None)
    assert not list(call)


def streamed(number: int) -> pb.StreamCommitsRequest:
    commit = pb.CommitCheckpointRequest(key=key(), sequence_number=str(number))
    return pb.StreamCommitsRequest(id=number, commit=commit)


@pytest.mark.parametrize(
    "some",
    [
        hits,
        misses,
        deletes,
        batches,
        lists,
        wrong_requests,
        refusals_of_dis,
        what_is_below,
        callers_who_leave,
        too_many,
        reads_cut_off,
        commits_cut_off,
        reads_tried_again,
        commits_tried_again,
        nonsense,
        writes_that_hang,
        streams,
        streams_with_nonsense,
        streams_broken_off,
        streams_broken_off_while_dis_hangs,
        too_many_streams,
    ],
)
@pytest.mark.parametrize("own_way", [False, True], ids=["arrivals", "grpc's own way"])
@pytest.mark.usefixtures("without_collector")
def test_what_has_ended_is_gone_without_the_collector(
    emulator: Emulator,
    start: Start,
    some: Callable[[Client, Emulator], None],
    own_way: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gRPC refuses further calls of a connection while too many that ended are still there."""
    if own_way:
        monkeypatch.setattr(server, "inner_parts", lambda: None)
    before = len(states())
    attempts = 4 if "again" in some.__name__ or "cut" in some.__name__ else 1
    settings = {
        "server": msgspec.structs.replace(SERVER, workers=1, max_streams=1),
        "retry": RetryConfig(attempts=attempts),
    }
    client = start(config_for(emulator, **settings)).client
    some(client, emulator)
    try:
        gone(before)
    finally:
        emulator.release()


def gone(before: int) -> None:
    for _ in range(200):  # gRPC ends a call a little later than its caller knows
        if len(states()) <= before:
            return
        time.sleep(0.01)
    pytest.fail("calls that have ended are still there")


def states() -> list[Any]:
    return [one for one in gc.get_objects() if type(one) is _server._RPCState]


@pytest.mark.parametrize(
    "name",
    [
        "_status",
        "_receive_message",
        "_RECEIVE_MESSAGE_TOKEN",
        "_Context",
        "_RPCState",
        "_stream_response_in_pool",
        "_send_message",
        "_SEND_MESSAGE_TOKEN",
        "_is_rpc_state_active",
        "_get_initial_metadata_operation",
        "_CANCELLED",
    ],
)
def test_where_a_part_of_grpc_is_missing_it_is_not_known_and_the_log_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.delattr(_server, name)
        parts = inner_parts()
    assert parts is None
    assert [one["event"] for one in logs] == ["grpc_not_known"]
    assert name in logs[0]["problem"]


def test_where_a_part_of_grpc_takes_something_else_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "_abort", lambda state, code, details: None)
    assert inner_parts() is None


def test_who_leaves_makes_room_for_others_at_once(emulator: Emulator, start: Start) -> None:
    client = start(config_for(emulator, server=msgspec.structs.replace(SERVER, workers=1))).client
    client.commit(5)
    emulator.inject("hold", times=1)
    call = client.stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key("1")), timeout=50)
    emulator.wait_for_held(1)
    assert client.failure(client.commit, 6).reason == "GATEWAY_OVERLOADED"
    call.cancel()
    wait_until(lambda: committed(client, 6))
    emulator.release()


def test_who_leaves_is_counted_as_gone_and_not_as_late(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    client = running.client
    client.commit(5)
    emulator.inject("hold", times=2)
    read = client.stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key("1")), timeout=50)
    request = pb.CommitCheckpointRequest(key=key(), sequence_number="6")
    commit = client.stub.CommitCheckpoint.future(request, timeout=50)
    emulator.wait_for_held(2)
    read.cancel()
    commit.cancel()
    for method in ("GetCheckpoint", "CommitCheckpoint"):
        line = f'disgw_rpcs_total{{code="CANCELLED",method="{method}"}} 1.0'
        wait_until(lambda line=line: line in running.gateway.metrics.text().decode())
    emulator.release()


def test_what_is_wrong_or_cached_is_answered_while_as_many_calls_as_may_wait(emulator: Emulator, start: Start) -> None:
    app, stream = "a" * 200, "s" * 64
    emulator.create_stream(stream, partitions=1)
    emulator.create_app(app)
    limits, limited = LimitsConfig(app_name_max=200), msgspec.structs.replace(SERVER, workers=1)
    client = start(config_for(emulator, server=limited, limits=limits)).client
    long = key(stream=stream, app=app)
    client.commit(5, key=long)
    emulator.inject("hold", times=1)
    waiting = client.stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key("2")), timeout=50)
    emulator.wait_for_held(1)
    assert client.get(key=long).checkpoint.sequence_number == "5"
    assert client.failure(client.get, "nonsense").reason == "FIELD_INVALID"
    assert client.failure(client.commit, "x").reason == "FIELD_INVALID"
    assert client.failure(client.commit, 6).reason == "GATEWAY_OVERLOADED"
    emulator.release()
    waiting.result(20)


@pytest.mark.parametrize("partition", ["nonsense", "0"])
def test_who_counts_costs_no_caller_its_answer(
    emulator: Emulator, start: Start, partition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(config_for(emulator)).client

    def broken(*arguments: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(calls.Calls(Metrics("test"))("GetCheckpoint").__class__, "failed", broken)
    emulator.inject("error", code="DIS.5000", times=1)
    assert client.failure(client.get, partition).reason in {"FIELD_INVALID", "UPSTREAM_UNAVAILABLE", "UPSTREAM_ERROR"}


def test_what_fails_when_dis_may_have_it_has_an_unknown_outcome(
    emulator: Emulator, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(config_for(emulator, server=msgspec.structs.replace(SERVER, workers=1)))
    client = running.client
    client.commit(1)
    perform = running.gateway.service._perform

    def broken(effects: Any) -> None:
        perform(effects)
        raise RuntimeError("broken")

    emulator.inject("hold", times=2)
    with monkeypatch.context() as patch:
        patch.setattr(type(running.gateway.service), "_perform", lambda service, effects: broken(effects))
        assert client.failure(client.commit, 5).reason == "COMMIT_OUTCOME_UNKNOWN"
        assert client.failure(client.delete, "1").reason == "DELETE_OUTCOME_UNKNOWN"
    emulator.wait_for_held(2)
    emulator.release()
    for number in range(6, 9):  # its place is free again, once
        client.commit(number, "2")


def test_what_is_answered_before_it_fails_to_begin_is_answered_once(
    emulator: Emulator, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(config_for(emulator, server=msgspec.structs.replace(SERVER, workers=1)))
    client = running.client
    client.commit(1)
    perform, answered = running.gateway.service._perform, threading.Event()
    begun: list[int] = []

    def broken(effects: Any) -> None:
        begun.append(1)
        first = len(begun) == 1
        perform(effects)
        if first:
            assert answered.wait(20)
            raise RuntimeError("broken")
        answered.set()

    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(type(running.gateway.service), "_perform", lambda service, effects: broken(effects))
        assert client.commit(5).effective.sequence_number == "5"
        wait_until(lambda: "upstream_call_failed_unexpectedly" in [one["event"] for one in logs])
    for number in range(6, 9):
        client.commit(number, "2")  # its place is free again, once


def committed(client: Client, number: int, partition: str = "0") -> bool:
    try:
        client.commit(number, partition)
    except grpc.RpcError:
        return False
    return True


def test_a_call_without_a_message_is_told_so(client: Client) -> None:
    call = client.channel.stream_unary("/disgateway.v1.CheckpointService/GetCheckpoint")
    with pytest.raises(grpc.RpcError) as caught:
        call(iter(()), timeout=20)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "exactly one request message" in caught.value.details()


def test_more_calls_whose_message_does_not_come_than_calls_are_taken_hold_up_nobody(
    emulator: Emulator, start: Start
) -> None:
    most = 3
    client = start(config_for(emulator, server=msgspec.structs.replace(SERVER, max_concurrent_calls=most))).client
    client.commit(5)
    send = client.channel.stream_unary("/disgateway.v1.CheckpointService/GetCheckpoint")
    ends: list[SimpleQueue[bytes | None]] = [SimpleQueue() for _ in range(most)]
    silent = [send.future(iter(end.get, None), timeout=50) for end in ends]
    request = pb.GetCheckpointRequest(key=key()).SerializeToString()
    for number in range(6, 10):
        assert client.get().checkpoint.sequence_number == str(number - 1)
        client.commit(number)
    for end in ends:
        end.put(request)
        end.put(None)
    for call in silent:
        assert pb.GetCheckpointResponse.FromString(call.result(20)).checkpoint.sequence_number == "9"
