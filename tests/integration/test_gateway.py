"""The gateway as its callers see it: real gRPC in front, real signed HTTP to an emulator of DIS behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.waits import Caller
from gateway.config import CacheConfig, Config, CredentialsConfig, LimitsConfig, ServerConfig
from gateway.dis.signing import SigningDialect
from gateway.emulator import Emulator
from gateway.errors import Draining, ListenError
from gateway.model import Checkpoint, CheckpointKey, Commit, SequenceNumber
from gateway.rpc import handlers
from tests.support import (
    ACCESS_KEY,
    APP,
    SECRET_KEY,
    STREAM,
    Call,
    Client,
    Running,
    config_for,
    key,
    upstream_of,
    wait_until,
)

Start = Callable[[Config], Running]
LONG = "shardId-0000000000"


def test_a_commit_is_stored_in_dis_and_read_back(emulator: Emulator, client: Client) -> None:
    answer = client.commit(10, metadata="page 3")
    assert answer.result == pb.COMMIT_RESULT_COMMITTED
    assert answer.effective.sequence_number == "10"
    assert emulator.checkpoint(STREAM, APP, "0") == ("10", "page 3")
    found = client.get()
    assert found.found
    assert found.source == pb.CHECKPOINT_SOURCE_CACHE
    assert found.checkpoint.metadata == "page 3"
    assert found.checkpoint.key == pb.CheckpointKey(
        stream_name=STREAM, app_name=APP, partition_id=LONG, checkpoint_type="LAST_READ"
    )


def test_both_spellings_of_a_partition_are_one_checkpoint_and_one_cache_entry(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    running.client.commit(10, "0")
    found = running.client.get(LONG)
    assert (found.checkpoint.sequence_number, found.source) == ("10", pb.CHECKPOINT_SOURCE_CACHE)
    running.client.commit(11, LONG)
    assert running.client.get("0").checkpoint.sequence_number == "11"
    assert running.gateway.service.cached() == 1
    assert emulator.request_count("GET") == 0


def test_a_partition_without_checkpoint_is_found_false_and_no_error(emulator: Emulator, client: Client) -> None:
    found = client.get()
    assert not found.found
    assert not found.HasField("checkpoint")
    assert found.source == pb.CHECKPOINT_SOURCE_UPSTREAM
    client.get()
    assert emulator.request_count("GET") == 2  # "none" is not kept


def test_a_fresh_read_sees_what_another_program_wrote(emulator: Emulator, client: Client) -> None:
    client.commit(10)
    emulator.set_checkpoint(STREAM, APP, "0", "25")
    assert client.get().checkpoint.sequence_number == "10"
    fresh = client.get(read_mode=pb.READ_MODE_FRESH)
    assert (fresh.checkpoint.sequence_number, fresh.source) == ("25", pb.CHECKPOINT_SOURCE_UPSTREAM)


def test_a_max_age_of_zero_asks_dis(emulator: Emulator, client: Client) -> None:
    client.commit(10)
    assert client.get(max_age=Duration(seconds=0)).source == pb.CHECKPOINT_SOURCE_UPSTREAM
    assert client.get(max_age=Duration(seconds=60)).source == pb.CHECKPOINT_SOURCE_CACHE


def test_a_delete_removes_one_partition_and_no_other(emulator: Emulator, client: Client) -> None:
    client.commit(10, "0")
    client.commit(11, "1")
    client.delete("0")
    assert not client.get("0").found
    assert emulator.checkpoint(STREAM, APP, "0") is None
    assert emulator.checkpoint(STREAM, APP, "1") == ("11", "")


def test_deleting_what_does_not_exist_is_ok(client: Client) -> None:
    client.delete("2")


def test_a_thousand_astral_characters_come_back_the_same(emulator: Emulator, client: Client) -> None:
    text = "😀" * 1000
    client.commit(10, metadata=text)
    assert client.get(read_mode=pb.READ_MODE_FRESH).checkpoint.metadata == text


def test_a_commit_below_what_stands_is_refused_with_the_number(client: Client) -> None:
    client.commit(10)
    failure = client.failure(client.commit, 9)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CHECKPOINT_REGRESSION")
    assert failure.info.metadata["effective_sequence_number"] == "10"
    assert client.commit(9, allow_rewind=True).effective.sequence_number == "9"


def test_group_membership_reaches_dis_untouched(emulator: Emulator, client: Client) -> None:
    client.commit(10, client_id="c-1", generation_id="17")
    body = emulator.requests()[-1].body
    assert '"client_id":"c-1"' in body
    assert '"generation_id":"17"' in body


BAD_KEYS = {
    "no key": ({"key": None}, "key"),
    "no stream": ({"key": key(stream="")}, "key.stream_name"),
    "a long stream": ({"key": key(stream="s" * 65)}, "key.stream_name"),
    "a stream with a slash": ({"key": key(stream="a/b")}, "key.stream_name"),
    "no app": ({"key": key(app="")}, "key.app_name"),
    "a long app": ({"key": key(app="a" * 51)}, "key.app_name"),
    "an app with an umlaut": ({"key": key(app="ä")}, "key.app_name"),
    "no partition": ({"key": key("")}, "key.partition_id"),
    "a short shardId": ({"key": key("shardId-1")}, "key.partition_id"),
    "a negative partition": ({"key": key("-1")}, "key.partition_id"),
    "letters for a partition": ({"key": key("abc")}, "key.partition_id"),
    "eleven digits": ({"key": key("00000000001")}, "key.partition_id"),
    "padded digits": ({"key": key("00")}, "key.partition_id"),
    "another type": (
        {"key": pb.CheckpointKey(stream_name="s", app_name="a", partition_id="0", checkpoint_type="LATEST")},
        "key.checkpoint_type",
    ),
}
BAD_COMMITS = {
    **{
        f"sequence number {text!r}": ({"sequence_number": text}, "sequence_number")
        for text in ("", "-1", "1.5", " 10", "٣", "9223372036854775808", "1" * 30)
    },
    "1,001 characters": ({"metadata": "m" * 1001}, "metadata"),
    "a client_id with a newline": ({"client_id": "a\nb"}, "client_id"),
}
BAD_READS = {
    "an unknown read mode": ({"read_mode": 77}, "read_mode"),
    "a negative max_age": ({"max_age": Duration(seconds=-1)}, "max_age"),
}


@pytest.mark.parametrize(
    ("verb", "fields", "field"),
    [
        pytest.param(verb, *case, id=f"{verb} {name}")
        for verb in ("get", "commit", "delete")
        for name, case in BAD_KEYS.items()
    ]
    + [pytest.param("commit", *case, id=f"commit {name}") for name, case in BAD_COMMITS.items()]
    + [pytest.param("get", *case, id=f"get {name}") for name, case in BAD_READS.items()],
)
def test_bad_input_names_the_field_and_reaches_no_upstream(
    emulator: Emulator, client: Client, verb: str, fields: dict[str, object], field: str
) -> None:
    args = (1,) if verb == "commit" else ()
    failure = client.failure(getattr(client, verb), *args, **fields)
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (failure.field, failure.reason) == (field, "FIELD_INVALID")
    assert emulator.request_count() == 0


def test_the_longest_app_name_is_configurable(emulator: Emulator, start: Start) -> None:
    client = start(config_for(emulator, limits=LimitsConfig(app_name_max=200))).client
    failure = client.failure(client.get, key=key(app="a" * 60))
    assert failure.reason == "APP_NOT_FOUND"


def test_a_message_over_the_limit_is_refused_with_a_reason(emulator: Emulator, start: Start) -> None:
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="", max_message_bytes=2000)
    client = start(config_for(emulator, server=server)).client
    failure = client.failure(client.commit, 1, metadata="m" * 3000)
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    with pytest.raises(grpc.RpcError) as caught:
        client.commit(1, metadata="m" * 1_000_000)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert emulator.request_count() == 0


def test_bytes_that_are_no_message_are_refused(client: Client) -> None:
    call = client.channel.unary_unary("/disgateway.v1.CheckpointService/CommitCheckpoint")
    failure = client.failure(call, b"\xff\xff\xff", timeout=20)
    assert (failure.code, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, "request")


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"key": key(stream="nowhere")}, "DIS.4301", "STREAM_NOT_FOUND"),
        ({"key": key(app="nobody")}, "DIS.4332", "APP_NOT_FOUND"),
        ({"key": key("7")}, "DIS.4302", "PARTITION_NOT_FOUND"),
    ],
)
@pytest.mark.parametrize("verb", ["get", "commit"])
def test_what_does_not_exist_is_said_by_dis_itself(
    client: Client, verb: str, fields: dict[str, object], code: str, reason: str
) -> None:
    failure = client.failure(getattr(client, verb), *((1,) if verb == "commit" else ()), **fields)
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, reason)
    assert failure.info.metadata["dis_error_code"] == code
    assert failure.info.metadata["http_status"] == "400"
    assert failure.info.metadata["dis_request_id"]


@pytest.mark.parametrize(
    "body", ["<html>login</html>", "[]", "{}", '{"sequence_number":"x"}', '{"sequence_number":"1"', "x" * 10_485_760]
)
def test_an_answer_that_makes_no_sense_is_an_error_and_never_no_checkpoint(
    emulator: Emulator, client: Client, body: str
) -> None:
    emulator.inject("body", status=200, body=body)
    failure = client.failure(client.get)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "UPSTREAM_INVALID_ANSWER")


@pytest.mark.parametrize("kind", ["cut_before", "truncate"])
def test_a_read_that_breaks_off_is_an_error_and_never_no_checkpoint(
    emulator: Emulator, client: Client, kind: str
) -> None:
    emulator.set_checkpoint(STREAM, APP, "0", "10")
    emulator.inject(kind)
    failure = client.failure(client.get)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
    assert failure.retry_after == 1.0
    assert client.get().checkpoint.sequence_number == "10"


@pytest.mark.parametrize(("kind", "stands"), [("cut_before", "10"), ("cut_after", "20")])
def test_a_commit_that_breaks_off_is_unknown_and_dis_is_asked_next(
    emulator: Emulator, client: Client, kind: str, stands: str
) -> None:
    client.commit(10)
    emulator.inject(kind)
    failure = client.failure(client.commit, 20)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "COMMIT_OUTCOME_UNKNOWN")
    found = client.get()
    assert (found.checkpoint.sequence_number, found.source) == (stands, pb.CHECKPOINT_SOURCE_UPSTREAM)
    client.commit(20)  # what the client is told to do
    assert emulator.checkpoint(STREAM, APP, "0") == ("20", "")


@pytest.mark.parametrize("code", ["DIS.5000", "APIGW.0201"])
def test_a_server_error_to_a_commit_is_unknown_and_to_a_read_is_not(
    emulator: Emulator, client: Client, code: str
) -> None:
    emulator.inject("error", code=code, times=3)
    assert client.failure(client.commit, 20).reason == "COMMIT_OUTCOME_UNKNOWN"
    assert client.failure(client.delete).reason == "DELETE_OUTCOME_UNKNOWN"
    assert client.failure(client.get).reason == "UPSTREAM_UNAVAILABLE"


def test_a_commit_whose_answer_is_cut_after_the_201_is_stored(emulator: Emulator, client: Client) -> None:
    emulator.inject("truncate")
    assert client.commit(20).result == pb.COMMIT_RESULT_COMMITTED


def test_a_throttled_call_says_when_to_retry(emulator: Emulator, client: Client) -> None:
    emulator.inject("error", code="DIS.4303")
    failure = client.failure(client.commit, 20)
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPSTREAM_THROTTLED")
    assert failure.retry_after == 1.0


def test_a_wrong_content_type_with_the_right_bytes_is_read(emulator: Emulator, client: Client) -> None:
    emulator.set_checkpoint(STREAM, APP, "0", "10")
    emulator.inject("content_type", content_type="text/html")
    assert client.get().checkpoint.sequence_number == "10"


@pytest.mark.parametrize("dialect", SigningDialect)
def test_dis_accepts_the_signature_of_every_dialect(emulator: Emulator, start: Start, dialect: SigningDialect) -> None:
    client = start(config_for(emulator, upstream=upstream_of(emulator, signing=dialect))).client
    client.commit(10, metadata="ü😀")
    assert client.get(read_mode=pb.READ_MODE_FRESH).checkpoint.sequence_number == "10"
    client.delete()


def test_a_temporary_key_pair_sends_its_security_token(start: Start) -> None:
    with Emulator(
        access_key=ACCESS_KEY, secret_key=SECRET_KEY, security_token="tok/with+chars==", auto_create=True
    ) as emulator:
        keys = CredentialsConfig(access_key=ACCESS_KEY, secret_key=SECRET_KEY, security_token="tok/with+chars==")
        start(config_for(emulator, credentials=keys)).client.commit(10)
        assert emulator.checkpoint(STREAM, APP, "0") == ("10", "")


def test_a_token_is_sent_instead_of_a_signature(start: Start) -> None:
    with Emulator(access_key=ACCESS_KEY, secret_key=SECRET_KEY, token="iam-token", auto_create=True) as emulator:
        start(config_for(emulator, credentials=CredentialsConfig(token="iam-token"))).client.commit(10)
        assert emulator.checkpoint(STREAM, APP, "0") == ("10", "")


def test_credentials_are_read_from_a_mounted_directory(emulator: Emulator, start: Start, tmp_path: Path) -> None:
    (tmp_path / "access_key").write_text(ACCESS_KEY + "\n")
    (tmp_path / "secret_key").write_text(SECRET_KEY + "\n")
    start(config_for(emulator, credentials=CredentialsConfig(directory=str(tmp_path)))).client.commit(10)
    assert emulator.checkpoint(STREAM, APP, "0") == ("10", "")


def test_wrong_credentials_are_said_to_be_the_operators_to_mend_and_show_no_secret(
    emulator: Emulator, start: Start
) -> None:
    wrong = CredentialsConfig(access_key=ACCESS_KEY, secret_key="some-other-secret")
    client = start(config_for(emulator, credentials=wrong)).client
    failure = client.failure(client.commit, 10)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED")
    assert failure.info.metadata["dis_error_code"] == "DIS.4100"
    assert "some-other-secret" not in str(failure.status)
    assert emulator.request_count() == 1


def test_an_upstream_that_refuses_connections_is_unavailable_and_the_commit_was_not_sent(start: Start) -> None:
    with Emulator(access_key=ACCESS_KEY, secret_key=SECRET_KEY) as emulator:
        config = config_for(emulator)
    client = start(config).client
    for call in (client.get, lambda: client.commit(1), client.delete):
        failure = client.failure(call)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")


def test_with_the_cache_off_every_read_asks_dis(emulator: Emulator, start: Start) -> None:
    client = start(config_for(emulator, cache=CacheConfig(ttl_seconds=0.0))).client
    client.commit(10)
    assert client.get().source == pb.CHECKPOINT_SOURCE_UPSTREAM
    assert emulator.request_count("GET") == 1


def test_a_unix_socket_serves_beside_tcp(emulator: Emulator, start: Start, tmp_path: Path) -> None:
    server = ServerConfig(listen=f"127.0.0.1:0,unix://{tmp_path}/gateway.sock", admin_listen="")
    running = start(config_for(emulator, server=server))
    running.client.commit(10)
    other = Client(f"unix://{tmp_path}/gateway.sock")
    assert other.get().checkpoint.sequence_number == "10"
    other.channel.close()


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(emulator: Emulator, start: Start, tmp_path: Path) -> None:
    server = ServerConfig(listen=f"unix:{tmp_path}/gateway.sock", admin_listen="")
    running = start(config_for(emulator, server=server))
    with pytest.raises(ListenError, match="another process is listening"):
        start(config_for(emulator, server=server))
    running.client.commit(10)  # the first still serves
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ListenError, match="not a socket"):
        start(config_for(emulator, server=ServerConfig(listen=f"unix:{tmp_path}/file", admin_listen="")))
    assert (tmp_path / "file").read_text() == "mine"


def test_a_port_in_use_is_said(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    for fields in ({"listen": running.gateway.bound[0].address, "admin_listen": ""},):
        with pytest.raises(ListenError, match="address already in use"):
            start(config_for(emulator, server=ServerConfig(**fields)))
    with pytest.raises(ListenError, match="address already in use"):
        start(
            config_for(emulator, server=ServerConfig(listen="127.0.0.1:0", admin_listen=running.gateway.admin_address))
        )


@pytest.mark.parametrize("service", ["", "disgateway.v1.CheckpointService"])
def test_health_is_answered_per_service(client: Client, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(client.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_is_watched_until_the_end(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    watch = health_pb2_grpc.HealthStub(running.client.channel).Watch(health_pb2.HealthCheckRequest(), timeout=50)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    running.gateway.stop(0.5)
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_health_is_answered_while_every_worker_waits_for_dis(emulator: Emulator, start: Start) -> None:
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="", workers=3)
    client = start(config_for(emulator, server=server)).client
    client.get()
    emulator.inject("hold", times=2)
    waiting = [
        client.stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key(partition)), timeout=50)
        for partition in ("0", "1")
    ]
    emulator.wait_for_held(2)
    stub = health_pb2_grpc.HealthStub(client.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for call in waiting:
        call.cancel()  # a caller that goes away gives its worker back
    assert client.commit(1, "2").effective.sequence_number == "1"
    emulator.release()


def test_a_stop_ends_with_its_grace_and_says_what_was_not_sent(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    emulator.inject("hold", method="POST")
    sent = running.client.stub.CommitCheckpoint.future(
        pb.CommitCheckpointRequest(key=key(), sequence_number="1"), timeout=50
    )
    emulator.wait_for_held(1)
    with ThreadPoolExecutor(2) as pool:
        waits = pool.submit(
            running.gateway.service.commit,
            Commit.of(Checkpoint(CheckpointKey(STREAM, APP, "0"), SequenceNumber(2))),
            Caller(1e12),
        )
        wait_until(lambda: running.gateway.service.depth() == 1)
        stopped = pool.submit(running.gateway.stop, 0.1)
        with pytest.raises(Draining):
            waits.result(30)
        emulator.release()
        stopped.result(30)
    assert sent.exception(timeout=20) is not None  # cut off after the grace
    assert emulator.checkpoint(STREAM, APP, 0) == ("1", "")  # yet followed to its end
    assert emulator.request_count("POST") == 1


def test_reflection_lists_the_service(client: Client) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(iter(stub.ServerReflectionInfo(iter([request]), timeout=20)))
    assert "disgateway.v1.CheckpointService" in [s.name for s in answer.list_services_response.service]


@pytest.mark.parametrize(
    "symbol", ["CheckpointService", "CheckpointService.GetCheckpoint", "Checkpoint", "CommitResult"]
)
def test_reflection_finds_the_file_of_a_service_a_method_and_a_type(client: Client, symbol: str) -> None:
    answer = reflected(client, f"disgateway.v1.{symbol}")
    files = [FileDescriptorProto.FromString(one).name for one in answer.file_descriptor_response.file_descriptor_proto]
    assert "disgateway/v1/checkpoint.proto" in files


@pytest.mark.parametrize("symbol", ["", "nonsense", "disgateway.v1.CheckpointService.Nonsense"])
def test_reflection_says_that_there_is_no_such_symbol(client: Client, symbol: str) -> None:
    assert reflected(client, symbol).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def reflected(client: Client, symbol: str) -> reflection_pb2.ServerReflectionResponse:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    return next(iter(stub.ServerReflectionInfo(iter([request]), timeout=10)))


def test_what_is_cached_is_served_while_as_many_calls_as_may_wait_for_dis(emulator: Emulator, start: Start) -> None:
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="", workers=1)
    client = start(config_for(emulator, server=server)).client
    client.commit(5)
    emulator.inject("hold", times=0)
    waiting = client.stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key("1")), timeout=50)
    emulator.wait_for_held(1)
    assert client.get().checkpoint.sequence_number == "5"
    refused = client.failure(client.commit, 6)
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "GATEWAY_OVERLOADED")
    assert refused.retry_after is not None
    emulator.clear_faults()
    emulator.release()
    assert not waiting.result().found
    client.commit(6)
    assert emulator.checkpoint(STREAM, APP, 0) == ("6", "")


def test_a_call_without_a_deadline_gets_one(emulator: Emulator, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "DEFAULT_TIMEOUT", 2.0)
    client = start(config_for(emulator)).client
    client.commit(5)
    emulator.inject("hold", times=0)
    with pytest.raises(grpc.RpcError) as caught:
        client.stub.GetCheckpoint(pb.GetCheckpointRequest(key=key("1")))
    assert Call.of(caught.value).reason == "UPSTREAM_TOO_SLOW"
    emulator.release()
