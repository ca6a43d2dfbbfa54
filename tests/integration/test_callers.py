"""Callers and their rights through real gRPC: by token, certificate and item; what is refused does not reach DIS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import grpc
import msgspec
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway._gen.disgateway.v1 import checkpoint_pb2_grpc as pb_grpc
from gateway.config import CallersConfig, Config, ServerConfig, SocketPolicy
from gateway.emulator import Emulator
from gateway.errors import ConfigurationError
from gateway.rpc.callers import digest
from tests.certificates import Authority, Issued, replace
from tests.support import APP, STREAM, Call, Client, Running, config_for, key

Start = Callable[[Config], Running]
Metadata = list[tuple[str, str]]

TOKENS = {name: f"token-of-{name}-that-nothing-may-show" for name in ("writer", "reader", "admin", "narrow", "none")}
SPIFFE = "spiffe://example.org/ns/shop/sa/billing"


def bearer(name: str) -> Metadata:
    return [("authorization", f"Bearer {TOKENS[name]}")]


def caller(name: str, *lines: str, streams: str = "stream-*", apps: str = "*") -> str:
    known = f'token_sha256 = ["{digest(TOKENS[name].encode()).hex()}"]\n' if name in TOKENS else ""
    more = "\n".join(lines)
    return f'[[caller]]\nname = "{name}"\n{known}streams = ["{streams}"]\napps = ["{apps}"]\n{more}\n'


FILE = "".join(
    (
        caller("writer", 'access = "write"'),
        caller("reader", 'access = "read"'),
        caller("admin", 'access = "admin"'),
        caller("narrow", 'access = "write"', streams=STREAM, apps="app-1"),
        caller("by-uri", f'identities = ["{SPIFFE}"]', 'access = "write"'),
        caller("by-name", 'identities = ["reports.example.org", "reports"]', 'access = "read"'),
    )
)


class Door:
    """A gateway with callers."""

    def __init__(self, emulator: Emulator, start: Start, directory: Path, text: str = FILE, **server: object) -> None:
        self.emulator = emulator
        self.file = replace(directory / "callers.toml", text)
        self.start = start
        self.directory = directory
        self.running = start(self.config(**server))
        self.client = self.running.client
        self.stub = self.client.stub

    def config(self, unix: SocketPolicy = SocketPolicy.ALLOW, **server: object) -> Config:
        serving = ServerConfig(listen="127.0.0.1:0", admin_listen="", admin_service=True)
        return config_for(
            self.emulator,
            server=msgspec.structs.replace(serving, **server),
            callers=CallersConfig(file=str(self.file), unix_socket=unix),
        )


@pytest.fixture
def door(emulator: Emulator, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setattr("gateway.watched.CHECK_SECONDS", 0.0)  # files are looked at each time
    return Door(emulator, start, tmp_path)


def failure(call: Callable[..., object], request: object, metadata: Metadata) -> Call:
    with pytest.raises(grpc.RpcError) as caught:
        first_answer(call, request, metadata)
    return Call.of(caught.value)


def first_answer(call: Callable[..., object], request: object, metadata: Metadata) -> object:
    answer = call(request, metadata=metadata, timeout=20)
    if not isinstance(answer, Iterator):
        return answer
    first = next(answer)
    answer.cancel()  # type: ignore[attr-defined]
    return first


def commit_of(partition: str = "0", number: int = 1, **names: str) -> pb.CommitCheckpointRequest:
    return pb.CommitCheckpointRequest(key=key(partition, **names), sequence_number=str(number))


def unary_calls(
    stub: pb_grpc.CheckpointServiceStub, channel: grpc.Channel
) -> dict[str, tuple[Callable[..., object], object]]:
    """Each method with a request for stream-1 and app-1."""
    admin = pb_grpc.CheckpointAdminServiceStub(channel)
    return {
        "GetCheckpoint": (stub.GetCheckpoint, pb.GetCheckpointRequest(key=key())),
        "CommitCheckpoint": (stub.CommitCheckpoint, commit_of()),
        "DeleteCheckpoint": (stub.DeleteCheckpoint, pb.DeleteCheckpointRequest(key=key())),
        "ListCheckpoints": (stub.ListCheckpoints, pb.ListCheckpointsRequest(stream_name=STREAM, app_name=APP)),
        "BatchGetCheckpoints": (stub.BatchGetCheckpoints, pb.BatchGetCheckpointsRequest(keys=[key()])),
        "BatchCommitCheckpoints": (
            stub.BatchCommitCheckpoints,
            pb.BatchCommitCheckpointsRequest(commits=[commit_of()]),
        ),
        "DeleteAppCheckpoints": (
            admin.DeleteAppCheckpoints,
            pb.DeleteAppCheckpointsRequest(stream_name=STREAM, app_name=APP),
        ),
        "StreamCommits": (
            lambda request, **fields: stub.StreamCommits(iter([request]), **fields),
            pb.StreamCommitsRequest(id=1, commit=commit_of()),
        ),
        "WatchCheckpoints": (stub.WatchCheckpoints, pb.WatchCheckpointsRequest(keys=[key()])),
    }


READING = {"GetCheckpoint", "ListCheckpoints", "BatchGetCheckpoints", "WatchCheckpoints"}


@pytest.mark.parametrize(
    ("who", "refused"),
    [
        ("reader", {"CommitCheckpoint", "DeleteCheckpoint", "BatchCommitCheckpoints", "StreamCommits"}),
        ("writer", set()),
        ("admin", set()),
    ],
)
def test_a_caller_may_use_the_methods_of_its_access_and_no_other(door: Door, who: str, refused: set[str]) -> None:
    if who != "admin":
        refused = refused | {"DeleteAppCheckpoints"}
    for name, (call, request) in unary_calls(door.stub, door.client.channel).items():
        if name in refused:
            before = door.emulator.request_count()
            failed = failure(call, request, bearer(who))
            assert (failed.code, failed.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
            assert dict(failed.info.metadata) == {"caller": who, "rpc": name}
            assert door.emulator.request_count() == before
        else:
            first_answer(call, request, bearer(who))


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        bearer("none"),
        [("authorization", TOKENS["writer"])],
        [("authorization", "Bearer ")],
        [("authorization", f"Basic {TOKENS['writer']}")],
        bearer("writer") * 2,
        [("authorization", f"Bearer {digest(TOKENS['writer'].encode()).hex()}")],
    ],
)
def test_who_is_not_known_is_let_into_nothing(door: Door, metadata: Metadata) -> None:
    for name, (call, request) in unary_calls(door.stub, door.client.channel).items():
        failed = failure(call, request, metadata)
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CALLER_UNKNOWN"), name
        assert not any(token in str(failed.status) for token in TOKENS.values())
    assert door.emulator.request_count() == 0


def test_the_scheme_is_read_in_any_case(door: Door) -> None:
    lower = [("authorization", f"bearer {TOKENS['writer']}")]
    assert door.stub.CommitCheckpoint(commit_of(), metadata=lower, timeout=20).effective.sequence_number == "1"


@pytest.mark.parametrize(
    ("names", "what"), [({"stream": "stream-2"}, {"stream": "stream-2"}), ({"app": "app-2"}, {"app": "app-2"})]
)
def test_other_streams_and_apps_are_refused_by_name_in_every_method(
    door: Door, names: dict[str, str], what: dict[str, str]
) -> None:
    other, about = key(**names), {"stream_name": names.get("stream", STREAM), "app_name": names.get("app", APP)}
    stub = door.stub
    calls: list[tuple[Callable[..., object], object]] = [
        (stub.GetCheckpoint, pb.GetCheckpointRequest(key=other)),
        (stub.CommitCheckpoint, commit_of(**names)),
        (stub.DeleteCheckpoint, pb.DeleteCheckpointRequest(key=other)),
        (stub.ListCheckpoints, pb.ListCheckpointsRequest(**about)),
        (stub.WatchCheckpoints, pb.WatchCheckpointsRequest(keys=[key(), other])),
    ]
    for call, request in calls:
        failed = failure(call, request, bearer("narrow"))
        assert failed.code is grpc.StatusCode.PERMISSION_DENIED
        assert dict(failed.info.metadata) == {"caller": "narrow", **what}
    assert door.emulator.request_count() == 0


def test_an_admin_deletes_only_what_its_names_allow(door: Door) -> None:
    admin = pb_grpc.CheckpointAdminServiceStub(door.client.channel)
    request = pb.DeleteAppCheckpointsRequest(stream_name="other", app_name=APP)
    assert failure(admin.DeleteAppCheckpoints, request, bearer("admin")).reason == "CALLER_NOT_ALLOWED"
    assert door.emulator.request_count() == 0


def test_an_item_of_a_batch_that_is_not_allowed_fails_alone(door: Door) -> None:
    wrong = {"stream": "stream-2"}
    commits = [commit_of("0", 1), commit_of("0", 1, **wrong), commit_of("1", 2), commit_of("1", 3, app="app-2")]
    answer = door.stub.BatchCommitCheckpoints(
        pb.BatchCommitCheckpointsRequest(commits=commits), metadata=bearer("narrow"), timeout=20
    )
    assert [one.WhichOneof("result") for one in answer.results] == ["response", "status", "response", "status"]
    assert dict(info_of(answer.results[1].status).metadata) == {"caller": "narrow", **wrong}
    assert dict(info_of(answer.results[3].status).metadata) == {"caller": "narrow", "app": "app-2"}
    read = door.stub.BatchGetCheckpoints(
        pb.BatchGetCheckpointsRequest(keys=[key("0", **wrong), key("1")]), metadata=bearer("narrow"), timeout=20
    )
    assert info_of(read.results[0].status).metadata["stream"] == "stream-2"
    assert read.results[1].response.checkpoint.sequence_number == "2"
    assert not any("stream-2" in f"{one.query}{one.body}" for one in door.emulator.requests())


def test_a_commit_of_a_stream_that_is_not_allowed_fails_alone(door: Door) -> None:
    requests = [
        pb.StreamCommitsRequest(id=1, commit=commit_of("0", 1, app="app-2")),
        pb.StreamCommitsRequest(id=2, commit=commit_of("0", 1)),
    ]
    answers = {one.id: one for one in door.stub.StreamCommits(iter(requests), metadata=bearer("narrow"), timeout=20)}
    assert dict(info_of(answers[1].status).metadata) == {"caller": "narrow", "app": "app-2"}
    assert answers[2].response.result == pb.COMMIT_RESULT_COMMITTED


def info_of(status: object) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)  # type: ignore[attr-defined]
    return info


def test_health_and_reflection_are_open_to_all(door: Door) -> None:
    health = health_pb2_grpc.HealthStub(door.client.channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=20).status == health_pb2.HealthCheckResponse.SERVING
    assert reflected(door.client)


def test_reflection_can_be_turned_off(emulator: Emulator, start: Start) -> None:
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="", reflection=False)
    with pytest.raises(grpc.RpcError) as caught:
        reflected(start(config_for(emulator, server=server)).client)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def reflected(client: Client) -> list[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(iter(stub.ServerReflectionInfo(iter([request]), timeout=20)))
    return [service.name for service in answer.list_services_response.service]


def test_on_a_unix_socket_everybody_may_do_everything_unless_it_is_checked(
    emulator: Emulator, start: Start, tmp_path: Path
) -> None:
    text = FILE + caller("beside", "unix = true", 'rpcs = ["GetCheckpoint"]')
    open_door = Door(emulator, start, tmp_path, listen=f"unix://{tmp_path}/open.sock")
    assert open_door.client.commit(1).effective.sequence_number == "1"
    checked = Door(emulator, start, tmp_path, text, listen=f"unix://{tmp_path}/s.sock", unix=SocketPolicy.CHECK)
    assert checked.client.get().checkpoint.sequence_number == "1"
    failed = failure(checked.stub.CommitCheckpoint, commit_of(), [])
    assert dict(failed.info.metadata) == {"caller": "beside", "rpc": "CommitCheckpoint"}
    assert checked.stub.CommitCheckpoint(commit_of(number=2), metadata=bearer("writer"), timeout=20)
    assert failure(checked.stub.GetCheckpoint, pb.GetCheckpointRequest(key=key()), bearer("none")).reason == (
        "CALLER_UNKNOWN"
    )


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.parametrize(
    ("names", "who"),
    [
        ({"uris": (SPIFFE,)}, "by-uri"),
        ({"uris": ("spiffe://example.org/other", SPIFFE), "dns": ("reports.example.org",)}, "by-uri"),
        ({"uris": ("spiffe://example.org/other",), "dns": ("reports.example.org",)}, "by-name"),
        ({"cn": "reports"}, "by-name"),
        ({"cn": "reports", "dns": ("other.example.org",)}, "by-name"),
        ({"cn": "other", "uris": (f"{SPIFFE}/",)}, None),
        ({"emails": ("reports@reports",), "dns": ("x.reports.example.org",)}, None),
        ({"cn": SPIFFE.removeprefix("spiffe://")}, None),
    ],
)
def test_a_certificate_names_its_caller_by_uri_then_dns_then_cn(
    emulator: Emulator, start: Start, tmp_path: Path, authority: Authority, names: dict[str, object], who: str | None
) -> None:
    cert, private = authority.server().write(tmp_path)
    tls = {
        "tls_cert_file": str(cert),
        "tls_key_file": str(private),
        "tls_client_ca_file": str(replace(tmp_path / "ca", authority.cert)),
    }
    door = Door(emulator, start, tmp_path, **tls)
    client = by_tls(door, authority, authority.issue(**names))  # type: ignore[arg-type]
    if who is None:
        assert failure(client.stub.CommitCheckpoint, commit_of(), []).reason == "CALLER_UNKNOWN"
    elif who == "by-uri":
        assert client.stub.CommitCheckpoint(commit_of(), timeout=20).effective.sequence_number == "1"
    else:
        assert failure(client.stub.CommitCheckpoint, commit_of(), []).info.metadata["caller"] == who
    # a token goes before the certificate, for better or worse
    assert client.stub.CommitCheckpoint(commit_of(), metadata=bearer("writer"), timeout=20)
    assert failure(client.stub.GetCheckpoint, pb.GetCheckpointRequest(key=key()), bearer("none")).reason == (
        "CALLER_UNKNOWN"
    )
    client.channel.close()


def by_tls(door: Door, authority: Authority, own: Issued) -> Client:
    credentials = grpc.ssl_channel_credentials(authority.cert, own.key, own.cert)
    return Client(door.running.gateway.bound[0].address, credentials)


def test_a_token_that_is_taken_away_holds_no_longer_and_a_new_one_does(door: Door) -> None:
    door.stub.CommitCheckpoint(commit_of(), metadata=bearer("writer"), timeout=20)
    replace(door.file, FILE.replace(digest(TOKENS["writer"].encode()).hex(), digest(TOKENS["none"].encode()).hex()))
    assert failure(door.stub.CommitCheckpoint, commit_of(), bearer("writer")).reason == "CALLER_UNKNOWN"
    door.stub.CommitCheckpoint(commit_of(), metadata=bearer("none"), timeout=20)


def test_what_is_cached_is_for_those_who_may_read_it_and_as_long_as_they_may(door: Door) -> None:
    request = pb.GetCheckpointRequest(key=key())
    text = FILE + caller("none", 'access = "read"', apps="app-2")
    replace(door.file, text)

    def reads(name: str) -> str:
        return str(door.stub.GetCheckpoint(request, metadata=bearer(name), timeout=20).checkpoint.sequence_number)

    door.stub.CommitCheckpoint(commit_of(number=1), metadata=bearer("writer"), timeout=20)
    asked = door.emulator.request_count()
    for _ in range(2):
        assert [reads("writer"), reads("reader")] == ["1", "1"]
        assert dict(failure(door.stub.GetCheckpoint, request, bearer("none")).info.metadata)["app"] == APP
    replace(door.file, text.replace('apps = ["*"]', 'apps = ["app-2"]'))
    for name in ("writer", "reader"):
        assert dict(failure(door.stub.GetCheckpoint, request, bearer(name)).info.metadata)["app"] == APP
    replace(door.file, text)
    assert reads("writer") == "1"
    assert door.emulator.request_count() == asked


def test_a_broken_file_is_told_once_and_the_callers_stay(door: Door) -> None:
    with capture_logs() as logs:
        replace(door.file, "[[caller]]\nname = 'x'\n")
        for _ in range(3):
            door.stub.CommitCheckpoint(commit_of(), metadata=bearer("writer"), timeout=20)
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert [line["event"] for line in warned] == ["callers_not_reloaded"]
    assert "missing required field `streams`" in warned[0]["problem"]


def test_a_stream_that_is_open_follows_the_callers_as_they_change(door: Door) -> None:
    outgoing: SimpleQueue[pb.StreamCommitsRequest | None] = SimpleQueue()
    answers = door.stub.StreamCommits(iter(outgoing.get, None), metadata=bearer("writer"), timeout=50)
    watched = door.stub.WatchCheckpoints(
        pb.WatchCheckpointsRequest(keys=[key()]), metadata=bearer("reader"), timeout=50
    )
    next(watched)
    outgoing.put(pb.StreamCommitsRequest(id=1, commit=commit_of(number=1)))
    assert next(answers).response.result == pb.COMMIT_RESULT_COMMITTED
    assert next(watched).checkpoint.sequence_number == "1"
    replace(door.file, caller("narrow", 'access = "write"'))
    outgoing.put(pb.StreamCommitsRequest(id=2, commit=commit_of(number=2)))
    assert info_of(next(answers).status).reason == "CALLER_UNKNOWN"
    outgoing.put(None)
    door.stub.CommitCheckpoint(commit_of(number=3), metadata=bearer("narrow"), timeout=20)
    with pytest.raises(grpc.RpcError) as caught:
        next(watched)
    assert Call.of(caught.value).reason == "CALLER_UNKNOWN"
    assert door.emulator.checkpoint(STREAM, APP, 0) == ("3", "")


def test_a_file_that_is_broken_at_the_start_is_an_error(emulator: Emulator, start: Start, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Door(emulator, start, tmp_path, "[[caller]]\n")
    assert caught.value.key == "callers.file"
