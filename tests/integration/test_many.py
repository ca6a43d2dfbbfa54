"""Batches, lists, streams and watches through real gRPC, against the emulator."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import msgspec
import pytest
import urllib3
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from prometheus_client.parser import text_string_to_metric_families

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway._gen.disgateway.v1 import checkpoint_pb2_grpc as pb_grpc
from gateway.config import Config, ServerConfig
from gateway.emulator import Emulator
from gateway.rpc import server as rpc_server
from gateway.rpc import streamed
from tests.support import APP, STREAM, Client, Running, config_for, key, upstream_of, wait_until

Start = Callable[[Config], Running]


def reason(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason)


def field(status: status_pb2.Status) -> str:
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    return str(bad.field_violations[0].field)


def commit(number: object, partition: str = "0", **fields: Any) -> pb.CommitCheckpointRequest:
    return pb.CommitCheckpointRequest(key=key(partition), sequence_number=str(number), **fields)


def batch_get(client: Client, *keys: pb.CheckpointKey, **fields: Any) -> list[pb.BatchGetCheckpointsResult]:
    return list(client.stub.BatchGetCheckpoints(pb.BatchGetCheckpointsRequest(keys=keys, **fields), timeout=20).results)


def batch_commit(client: Client, *commits: pb.CommitCheckpointRequest) -> list[pb.BatchCommitCheckpointsResult]:
    return list(
        client.stub.BatchCommitCheckpoints(pb.BatchCommitCheckpointsRequest(commits=commits), timeout=20).results
    )


class Commits:
    """An open ``StreamCommits``: requests go in one by one, answers are taken one by one."""

    def __init__(self, client: Client) -> None:
        self._requests: queue.SimpleQueue[pb.StreamCommitsRequest | None] = queue.SimpleQueue()
        self.call = client.stub.StreamCommits(iter(self._requests.get, None), timeout=50)

    def send(self, number: int, request: pb.CommitCheckpointRequest) -> None:
        self._requests.put(pb.StreamCommitsRequest(id=number, commit=request))

    def close(self) -> None:
        self._requests.put(None)

    def answers(self, count: int) -> dict[int, pb.StreamCommitsResponse]:
        return {answer.id: answer for answer in (next(self.call) for _ in range(count))}


def test_a_batch_reads_each_key_in_its_place_and_fails_only_what_is_wrong(emulator: Emulator, client: Client) -> None:
    emulator.set_checkpoint(STREAM, APP, 1, 7)
    results = batch_get(client, key("0"), key("1"), key("x"), key("1", stream="nowhere"), key("shardId-0000000001"))
    assert [result.WhichOneof("result") for result in results] == [
        "response",
        "response",
        "status",
        "status",
        "response",
    ]
    assert (results[0].response.found, results[1].response.checkpoint.sequence_number) == (False, "7")
    assert (reason(results[2].status), field(results[2].status)) == ("FIELD_INVALID", "keys[2].partition_id")
    assert (reason(results[3].status), results[3].status.code) == ("STREAM_NOT_FOUND", 5)
    assert results[4].response.checkpoint.sequence_number == "7"
    assert batch_get(client, key("1"))[0].response.source == pb.CHECKPOINT_SOURCE_CACHE
    fresh = batch_get(client, key("1"), read_mode=pb.READ_MODE_FRESH)[0].response
    assert fresh.source == pb.CHECKPOINT_SOURCE_UPSTREAM


def test_a_batch_commits_side_by_side_and_fails_only_what_is_wrong(emulator: Emulator, client: Client) -> None:
    results = batch_commit(client, commit(5, "0"), commit("x", "1"), commit(6, "1"), commit(1, "7"), commit("y", "1"))
    assert results[0].response.result == pb.COMMIT_RESULT_COMMITTED
    assert field(results[1].status) == "commits[1].sequence_number"
    assert results[2].response.effective.sequence_number == "6"
    assert reason(results[3].status) == "PARTITION_NOT_FOUND"
    assert field(results[4].status) == "commits[4].sequence_number"
    assert emulator.checkpoint(STREAM, APP, 0) == ("5", "")
    assert emulator.checkpoint(STREAM, APP, 1) == ("6", "")


def test_the_commits_of_one_key_in_a_batch_keep_their_order(emulator: Emulator, client: Client) -> None:
    emulator.inject("hold", method="POST")
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(batch_commit, client, commit(5), commit(6), commit(2, allow_rewind=True), commit(3))
        emulator.wait_for_held(1)
        emulator.release()
        results = pending.result(30)
    assert [result.response.effective.sequence_number for result in results] == ["5", "6", "2", "3"]
    assert emulator.checkpoint(STREAM, APP, 0) == ("3", "")


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_that_is_empty_or_too_large_is_refused_as_a_whole(
    emulator: Emulator, client: Client, count: int
) -> None:
    for call, name, request in (
        (client.stub.BatchGetCheckpoints, "keys", pb.BatchGetCheckpointsRequest(keys=[key()] * count)),
        (client.stub.BatchCommitCheckpoints, "commits", pb.BatchCommitCheckpointsRequest(commits=[commit(1)] * count)),
    ):
        assert client.failure(call, request, timeout=20).field == name
    with_age = pb.BatchGetCheckpointsRequest(keys=[key()], max_age=Duration(seconds=-1))
    assert client.failure(client.stub.BatchGetCheckpoints, with_age, timeout=20).field == "max_age"
    assert emulator.request_count() == 0


def listed(client: Client, **fields: Any) -> pb.ListCheckpointsResponse:
    request = pb.ListCheckpointsRequest(**{"stream_name": STREAM, "app_name": APP, **fields})
    return client.stub.ListCheckpoints(request, timeout=20)


def test_a_list_has_every_partition_with_its_lag(emulator: Emulator, client: Client) -> None:
    emulator.set_checkpoint(STREAM, APP, 1, 40, "page 3")
    emulator.set_offsets(STREAM, 1, 10, 100)
    emulator.set_offsets(STREAM, 2, 5, 25)
    answer = listed(client)
    assert answer.next_page_token == ""
    assert [one.checkpoint.key.partition_id for one in answer.partitions] == [f"shardId-000000000{n}" for n in range(3)]
    assert [one.found for one in answer.partitions] == [False, True, False]
    assert [one.checkpoint.sequence_number for one in answer.partitions] == ["", "40", ""]
    assert [one.lag for one in answer.partitions] == [0, 60, 20]
    one = answer.partitions[1]
    assert (one.earliest_sequence_number, one.latest_sequence_number, one.status) == ("10", "100", "ACTIVE")


def test_a_list_comes_in_pages(client: Client) -> None:
    first = listed(client, page_size=2)
    assert len(first.partitions) == 2
    second = listed(client, page_size=2, page_token=first.next_page_token)
    assert [one.checkpoint.key.partition_id for one in second.partitions] == ["shardId-0000000002"]
    assert second.next_page_token == ""


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"stream_name": ""}, "stream_name"),
        ({"app_name": "a" * 51}, "app_name"),
        ({"page_size": 1001}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "next"}, "page_token"),
    ],
)
def test_a_wrong_list_is_refused(emulator: Emulator, client: Client, fields: dict[str, Any], name: str) -> None:
    request = pb.ListCheckpointsRequest(**{"stream_name": STREAM, "app_name": APP, **fields})
    assert client.failure(client.stub.ListCheckpoints, request, timeout=20).field == name
    assert emulator.request_count() == 0


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        '{"partition_consuming_states":[{"partition_id":"x","sequence_number":"1"}]}',
        '{"partition_consuming_states":[{"partition_id":"0"}]}',
        '{"partition_consuming_states":[{"partition_id":"0","sequence_number":"1","latest_offset":"many"}]}',
    ],
)
def test_a_list_that_makes_no_sense_is_an_error(emulator: Emulator, client: Client, body: str) -> None:
    emulator.inject("body", body=body)
    assert client.failure(lambda: listed(client)).reason == "UPSTREAM_INVALID_ANSWER"


def test_a_list_of_bare_numbers_is_read(emulator: Emulator, client: Client) -> None:
    state = '{"partition_id":1,"sequence_number":40,"latest_offset":"100","earliest_offset":9}'
    emulator.inject("body", body=f'{{"partition_consuming_states":[{state}],"has_more":false}}')
    one = listed(client).partitions[0]
    assert (one.checkpoint.key.partition_id, one.checkpoint.sequence_number, one.lag) == (
        "shardId-0000000001",
        "40",
        60,
    )


def test_what_a_list_shows_to_be_outdated_is_served_no_more(emulator: Emulator, client: Client) -> None:
    client.commit(10)
    emulator.set_checkpoint(STREAM, APP, 0, 25, "elsewhere")
    assert client.get().checkpoint.sequence_number == "10"
    listed(client)
    assert client.get().checkpoint.metadata == "elsewhere"


def test_every_id_of_a_stream_is_answered_once_and_a_half_close_answers_all(emulator: Emulator, client: Client) -> None:
    stream = Commits(client)
    for number in range(1000):
        stream.send(number, commit(number, str(number % 3)))
    stream.close()
    answers = list(stream.call)
    assert sorted(answer.id for answer in answers) == list(range(1000))
    results = {answer.response.result for answer in answers}
    assert results <= {pb.COMMIT_RESULT_COMMITTED, pb.COMMIT_RESULT_SUPERSEDED}
    assert [emulator.checkpoint(STREAM, APP, n) for n in range(3)] == [("999", ""), ("997", ""), ("998", "")]
    assert emulator.request_count("POST") < 1000


def test_a_stream_answers_only_what_dis_has(emulator: Emulator, client: Client) -> None:
    client.get()
    emulator.inject("hold", method="POST")
    stream = Commits(client)
    stream.send(1, commit(5))
    emulator.wait_for_held(1)
    stream.send(2, commit(6, "1"))  # another key is not held up
    assert list(stream.answers(1)) == [2]
    assert emulator.checkpoint(STREAM, APP, 0) is None
    emulator.release()
    assert stream.answers(1)[1].response.effective.sequence_number == "5"
    stream.close()
    assert list(stream.call) == []


def test_a_wrong_commit_in_a_stream_fails_alone(client: Client) -> None:
    stream = Commits(client)
    stream.send(1, commit("x"))
    stream._requests.put(pb.StreamCommitsRequest(id=2))
    stream.send(3, commit(1, "7"))
    stream.send(4, commit(1))
    stream.close()
    answers = {answer.id: answer for answer in stream.call}
    assert field(answers[1].status) == "commit.sequence_number"
    assert field(answers[2].status) == "commit"
    assert reason(answers[3].status) == "PARTITION_NOT_FOUND"
    assert answers[4].response.result == pb.COMMIT_RESULT_COMMITTED


def test_bytes_that_are_no_message_end_a_stream_after_its_answers(emulator: Emulator, client: Client) -> None:
    call = client.channel.stream_stream(
        "/disgateway.v1.CheckpointService/StreamCommits",
        response_deserializer=pb.StreamCommitsResponse.FromString,
    )
    good = pb.StreamCommitsRequest(id=1, commit=commit(5)).SerializeToString()
    answers: list[int] = []
    failure = client.failure(lambda: answers.extend(one.id for one in call(iter([good, b"\xff\xff"]), timeout=20)))
    assert (failure.code, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, "request")
    assert answers == [1]
    assert emulator.checkpoint(STREAM, APP, 0) == ("5", "")


def test_a_client_that_breaks_a_stream_off_does_not_stop_what_was_sent(emulator: Emulator, client: Client) -> None:
    emulator.inject("hold", method="POST")
    stream = Commits(client)
    stream.send(1, commit(5))
    emulator.wait_for_held(1)
    stream.call.cancel()
    emulator.release()
    assert client.commit(6).effective.sequence_number == "6"  # the lane is not stuck
    assert [msgspec.json.decode(one.body)["sequence_number"] for one in emulator.requests()] == ["5", "6"]


def test_what_a_stream_that_is_broken_off_has_not_sent_is_not_sent(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator, upstream=msgspec.structs.replace(upstream_of(emulator), pool_size=1)))
    client, service = running.client, running.gateway.service
    emulator.inject("hold", method="POST", times=1)
    stream = Commits(client)
    stream.send(1, commit(5))
    emulator.wait_for_held(1)
    stream.send(2, commit(6))  # waits in its lane,
    stream.send(3, commit(7, "1"))  # and this one for the connection
    wait_until(lambda: service.depth() == 1 and sum(lane.carried for lane in service.lanes(9)) == 2)
    stream.call.cancel()
    wait_until(lambda: service.depth() == 0 and sum(lane.carried for lane in service.lanes(9)) == 1)
    emulator.release()
    assert client.commit(8, "1").result == pb.COMMIT_RESULT_COMMITTED
    writes = [one for one in emulator.requests() if one.method == "POST"]
    assert [msgspec.json.decode(one.body)["sequence_number"] for one in writes] == ["5", "8"]


def test_a_stream_takes_no_more_than_its_backlog(emulator: Emulator, client: Client) -> None:
    emulator.inject("hold", method="POST", path_contains="checkpoints")
    taken = 0

    def requests() -> Iterator[pb.StreamCommitsRequest]:
        nonlocal taken
        for number in range(100_000):
            taken = number
            yield pb.StreamCommitsRequest(id=number, commit=commit(number))

    call = client.stub.StreamCommits(requests(), timeout=50)
    emulator.wait_for_held(1)
    settled = threading.Event()
    last = -1
    while taken < 1000 or taken != last:  # it comes to a stand, while nothing is answered
        last = taken
        settled.wait(0.5)
    assert 1000 <= taken < 20_000  # what was not taken waits with its sender, but for some KiB
    call.cancel()
    emulator.release()


def test_a_stream_that_had_no_room_goes_on_when_answers_leave(
    emulator: Emulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "MAX_UNANSWERED", 3)
    emulator.inject("hold", method="POST", path_contains="checkpoints")
    requests = [pb.StreamCommitsRequest(id=number, commit=commit(number)) for number in range(50)]
    call = client.stub.StreamCommits(iter(requests), timeout=20)
    emulator.wait_for_held(1)
    emulator.release()
    assert sorted(answer.id for answer in call) == list(range(50))
    assert emulator.checkpoint(STREAM, APP, 0) == ("49", "")


def test_a_stream_takes_twice_as_many_keys_as_there_are_connections_and_then_others_as_they_are_answered(
    emulator: Emulator, start: Start
) -> None:
    emulator.create_stream("wide", partitions=20)
    upstream = msgspec.structs.replace(upstream_of(emulator), pool_size=2)
    running = start(config_for(emulator, upstream=upstream))
    client = running.client
    client.commit(1)
    emulator.inject("hold", method="POST", times=2)
    stream = Commits(client)
    for number in range(20):
        request = pb.CommitCheckpointRequest(key=key(str(number % 10), stream="wide"), sequence_number="7")
        stream.send(number, request)
    stream.close()
    emulator.wait_for_held(2)
    wait_until(lambda: running.gateway.service.active() == 4)
    assert client.failure(client.get, "x").reason == "FIELD_INVALID"  # what came before has been looked at
    assert running.gateway.service.active() == 4
    emulator.release()
    assert sorted(answer.id for answer in stream.call) == list(range(20))


def test_a_stream_is_counted_once_by_how_it_ended(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    stream = Commits(running.client)
    stream.send(1, commit(1))
    stream.close()
    assert len(list(stream.call)) == 1
    call = running.client.channel.stream_stream("/disgateway.v1.CheckpointService/StreamCommits")
    running.client.failure(lambda: list(call(iter([b"\xff"]), timeout=20)))
    wait_until(lambda: streams_by_code(running) == {"OK": 1.0, "INVALID_ARGUMENT": 1.0})
    wait_until(lambda: "disgw_streams_open 0.0" in metrics_text(running))
    running.client.commit(2)  # gRPC has heard of all that happened before
    assert streams_by_code(running) == {"OK": 1.0, "INVALID_ARGUMENT": 1.0}


def metrics_text(running: Running) -> str:
    return running.gateway.metrics.text().decode()


def streams_by_code(running: Running) -> dict[str, float]:
    found = re.findall(r'disgw_rpcs_total{code="(\w+)",method="StreamCommits"} (\S+)', metrics_text(running))
    return {code: float(count) for code, count in found}


@pytest.mark.parametrize("held", [False, True], ids=["nothing under way", "a commit under way"])
def test_a_stream_that_its_client_breaks_off_is_counted_as_such_and_makes_room(
    emulator: Emulator, start: Start, held: bool
) -> None:
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="", max_streams=1)
    running = start(config_for(emulator, server=server))
    for number in range(1, 6):
        stream = Commits(running.client)
        stream.send(1, commit(number))
        stream.answers(1)
        if held:
            emulator.inject("hold", times=1)
            stream.send(2, commit(number, "1"))
            emulator.wait_for_held(1)
        stream.call.cancel()
        wait_until(lambda number=number: sum(streams_by_code(running).values()) == number)
        emulator.release()
    counted = streams_by_code(running)
    if rpc_server.inner_parts() is not None:  # grpcio's own way may take a break for a half-close, for a moment
        assert counted == {"CANCELLED": 5.0, "OK": 0.0}
    assert set(counted) == {"CANCELLED", "OK"}


def test_a_watch_gives_the_present_values_and_then_the_changes(emulator: Emulator, client: Client) -> None:
    client.commit(10, "0")
    request = pb.WatchCheckpointsRequest(keys=[key("0"), key("shardId-0000000001")])
    watch = client.stub.WatchCheckpoints(request, timeout=50)
    present = {one.key.partition_id[-1]: one for one in (next(watch), next(watch))}
    assert (present["0"].checkpoint.sequence_number, present["0"].found) == ("10", True)
    assert (present["1"].found, present["1"].HasField("checkpoint")) == (False, False)
    client.commit(11, "1")
    change = next(watch)
    assert (change.key.partition_id, change.checkpoint.sequence_number) == ("shardId-0000000001", "11")
    client.delete("1")
    assert not next(watch).found
    emulator.set_checkpoint(STREAM, APP, 0, 20)  # elsewhere: heard of when this gateway reads it
    client.get("0", read_mode=pb.READ_MODE_FRESH)
    assert next(watch).checkpoint.sequence_number == "20"
    watch.cancel()


def test_a_watch_that_cannot_read_a_present_value_fails(client: Client) -> None:
    request = pb.WatchCheckpointsRequest(keys=[key("0"), key("9")])
    failure = client.failure(lambda: list(client.stub.WatchCheckpoints(request, timeout=20)))
    assert failure.reason == "PARTITION_NOT_FOUND"
    empty = pb.WatchCheckpointsRequest()
    assert client.failure(lambda: list(client.stub.WatchCheckpoints(empty, timeout=20))).field == "keys"
    wrong = pb.WatchCheckpointsRequest(keys=[key("0"), key("-1")])
    failure = client.failure(lambda: list(client.stub.WatchCheckpoints(wrong, timeout=20)))
    assert failure.field == "keys[1].partition_id"


def test_more_streams_than_workers_do_not_starve_unary_calls_and_their_number_is_bounded(
    emulator: Emulator, start: Start
) -> None:
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="", workers=2, max_streams=10)
    client = start(config_for(emulator, server=server)).client
    client.commit(1)
    request = pb.WatchCheckpointsRequest(keys=[key()])
    watches = [client.stub.WatchCheckpoints(request, timeout=50) for _ in range(5)]
    streams = [Commits(client) for _ in range(5)]
    for watch in watches:
        assert next(watch).found
    for number, stream in enumerate(streams):
        stream.send(1, commit(10 + number))
        stream.answers(1)
    for number in range(20):
        assert client.commit(100 + number).effective.sequence_number == str(100 + number)
        assert client.get().found
    refused = client.failure(lambda: next(client.stub.WatchCheckpoints(request, timeout=20)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "GATEWAY_OVERLOADED")
    streams[0].close()
    assert list(streams[0].call) == []
    again = client.stub.WatchCheckpoints(request, timeout=20, wait_for_ready=True)
    for call in (*watches, *(stream.call for stream in streams[1:]), again):
        call.cancel()


def test_a_stop_answers_what_streams_have_sent_and_ends_them(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    running.client.commit(1, "2")
    emulator.inject("hold", method="POST")
    stream = Commits(running.client)
    stream.send(1, commit(5))
    watch = running.client.stub.WatchCheckpoints(pb.WatchCheckpointsRequest(keys=[key("1")]), timeout=50)
    next(watch)
    emulator.wait_for_held(1)
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(running.gateway.stop, 20.0)
        assert running.client.failure(lambda: next(watch)).reason == "GATEWAY_DRAINING"
        for number in range(1, 20):  # their connections stay for as long, so that they hear of it
            assert running.client.failure(running.client.commit, number, "2").reason == "GATEWAY_DRAINING"
        assert running.client.get("2").source == pb.CHECKPOINT_SOURCE_CACHE
        emulator.release()
        assert stream.answers(1)[1].response.effective.sequence_number == "5"
        failure = running.client.failure(lambda: next(stream.call))
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "GATEWAY_DRAINING")
        stopped.result(30)


def test_an_expired_partition_does_not_keep_the_others_from_being_deleted(emulator: Emulator, start: Start) -> None:
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="", admin_service=True)
    admin = start(config_for(emulator, server=server)).client
    for partition in range(3):
        emulator.set_checkpoint(STREAM, APP, partition, 5)
    emulator.set_offsets(STREAM, 0, 0, 9, status="EXPIRED")
    request = pb.DeleteAppCheckpointsRequest(stream_name=STREAM, app_name=APP)
    stub = pb_grpc.CheckpointAdminServiceStub(admin.channel)
    assert admin.failure(stub.DeleteAppCheckpoints, request, timeout=20).reason == "PARTITION_EXPIRED"
    assert [emulator.checkpoint(STREAM, APP, n) for n in (1, 2)] == [None, None]


def test_a_list_keeps_to_its_deadline(emulator: Emulator, client: Client) -> None:
    emulator.inject("hold", method="GET")
    request = pb.ListCheckpointsRequest(stream_name=STREAM, app_name=APP)
    with pytest.raises(grpc.RpcError) as caught:
        client.stub.ListCheckpoints(request, timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    emulator.release()


def test_the_admin_service_is_off_unless_configured(emulator: Emulator, client: Client, start: Start) -> None:
    request = pb.DeleteAppCheckpointsRequest(stream_name=STREAM, app_name=APP)
    with pytest.raises(grpc.RpcError) as caught:
        pb_grpc.CheckpointAdminServiceStub(client.channel).DeleteAppCheckpoints(request, timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="", admin_service=True)
    admin = start(config_for(emulator, server=server)).client
    emulator.create_app("other")
    for app, partition in ((APP, 0), (APP, 2), ("other", 0)):
        emulator.set_checkpoint(STREAM, app, partition, 5)
    assert admin.get("0").found
    answer = pb_grpc.CheckpointAdminServiceStub(admin.channel).DeleteAppCheckpoints(request, timeout=20)
    assert answer.deleted_partitions == 2
    assert not admin.get("0").found
    assert [emulator.checkpoint(STREAM, APP, n) for n in range(3)] == [None] * 3
    assert emulator.checkpoint(STREAM, "other", 0) == ("5", "")
    assert all("partition_id=" in one.query for one in emulator.requests() if one.method == "DELETE")


def metrics_of(running: Running) -> dict[str, float]:
    with urllib3.PoolManager() as http:
        answer = http.request("GET", f"http://{running.gateway.admin_address}/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.data.decode())
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_lag_folds_and_conflicts_can_be_seen_in_the_metrics(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    client = running.client
    emulator.inject("hold", method="POST")
    stream = Commits(client)
    stream.send(0, commit(10))
    emulator.wait_for_held(1)
    for number in range(1, 4):
        stream.send(number, commit(10 + number))
    wait_until(lambda: metrics_of(running)["disgw_writes_waiting"] == 3)
    emulator.release()
    stream.answers(4)
    stream.close()
    client.get()
    client.failure(client.commit, 5)
    client.commit(6, allow_rewind=True)
    emulator.inject("cut_after", method="POST")
    client.failure(client.commit, 7)
    emulator.set_offsets(STREAM, 0, 0, 100)
    listed(client)
    seen = metrics_of(running)
    assert seen["disgw_commits_folded_total"] == 2
    assert seen["disgw_cache_reads_total hit"] == 1
    assert seen["disgw_commits_below_total refused"] == 1
    assert seen["disgw_commits_below_total rewound"] == 1
    assert seen["disgw_writes_unknown_total"] == 1
    assert seen[f"disgw_lag_records {APP} shardId-0000000000 {STREAM}"] == 93
    assert seen["disgw_writes_waiting"] == 0
    assert seen["disgw_cache_entries"] == 1
    assert any(name.startswith("disgw_build_info") for name in seen)
