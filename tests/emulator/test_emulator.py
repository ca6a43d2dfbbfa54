"""The emulator over real HTTP, from a client that signs by itself and knows nothing of the gateway's DIS client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from gateway.dis import signing
from gateway.dis.error_table import ERROR_ROWS
from gateway.dis.signing import SigningDialect, SigningScope
from gateway.emulator import Emulator, Kind
from tests.support import ACCESS_KEY, APP, PROJECT, REGION, SECRET_KEY, STREAM

NOW = 1_760_000_000.0
KEY = {"stream_name": STREAM, "app_name": APP, "partition_id": "0", "checkpoint_type": "LAST_READ"}
SCOPE = SigningScope(REGION)
BASE = f"/v2/{PROJECT}"


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json.get("errorCode") or self.json.get("error_code")


class Dis:
    """Signs in ``scoped`` unless told otherwise; ``change`` may spoil the headers after signing."""

    def __init__(self, endpoint: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> None:
        self.http = urllib3.PoolManager(retries=False)
        self.endpoint = endpoint
        self.access_key, self.secret_key = access_key, secret_key

    def __call__(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: object = None,
        *,
        at: float = NOW,
        dialect: SigningDialect = SigningDialect.SCOPED,
        scope: SigningScope = SCOPE,
        signed_host: str | None = None,
        change: Callable[[dict[str, str]], object] = lambda headers: None,
    ) -> Answer:
        path = path if path.startswith("/v2") else BASE + path
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        date = signing.format_date(datetime.fromtimestamp(at, UTC))
        headers = {"Host": signed_host or self.endpoint.removeprefix("http://"), "X-Sdk-Date": date}
        canonical = signing.canonical_request(method, path, list((query or {}).items()), headers, data)
        to_sign = signing.string_to_sign(canonical, date, scope, dialect)
        key = signing.signing_key(self.access_key, self.secret_key, date, scope, dialect)
        headers["Authorization"] = signing.authorization(
            self.access_key, date, scope, dialect, signing.signed_headers(headers), signing.signature(key, to_sign)
        )
        headers["Host"] = self.endpoint.removeprefix("http://")
        change(headers)
        url = self.endpoint + path + ("?" + signing.canonical_query((query or {}).items()) if query else "")
        response = self.http.request(method, url, body=data or None, headers=headers)
        return Answer(response.status, response.data, dict(response.headers))

    def control(self, method: str, path: str, body: object = None) -> Answer:
        data = None if body is None else json.dumps(body)
        response = self.http.request(method, f"{self.endpoint}/_emulator{path}", body=data)
        return Answer(response.status, response.data, dict(response.headers))


@pytest.fixture
def make() -> Iterator[Callable[..., Emulator]]:
    running: list[Emulator] = []

    def begin(**options: Any) -> Emulator:
        emulator = Emulator(**{"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "clock": lambda: NOW, **options})
        emulator.start()
        running.append(emulator)
        return emulator

    yield begin
    for emulator in running:
        emulator.stop()


@pytest.fixture
def emulator(make: Callable[..., Emulator]) -> Emulator:
    emulator = make()
    emulator.create_stream(STREAM, 2)
    emulator.create_app(APP)
    return emulator


@pytest.fixture
def dis(emulator: Emulator) -> Dis:
    return Dis(emulator.endpoint)


def test_a_checkpoint_is_stored_read_and_deleted(dis: Dis) -> None:
    assert dis("GET", "/checkpoints", KEY).json == {"sequence_number": "-1", "metadata": ""}
    stored = dis("POST", "/checkpoints", body={**KEY, "sequence_number": "41", "metadata": "ü😀"})
    assert (stored.status, stored.body) == (201, b"")
    found = dis("GET", "/checkpoints", {**KEY, "partition_id": "shardId-0000000000"})
    assert (found.status, found.json) == (200, {"sequence_number": "41", "metadata": "ü😀"})
    deleted = dis("DELETE", "/checkpoints", KEY)
    assert (deleted.status, deleted.body) == (204, b"")
    assert dis("GET", "/checkpoints", KEY).json["sequence_number"] == "-1"


def test_a_delete_without_partition_deletes_every_checkpoint_of_the_app_on_the_stream_and_no_other(
    emulator: Emulator, dis: Dis
) -> None:
    emulator.create_app("other")
    for app, partition in ((APP, 0), (APP, 1), ("other", 0)):
        emulator.set_checkpoint(STREAM, app, partition, 5)
    assert dis("DELETE", "/checkpoints", {name: KEY[name] for name in ("stream_name", "app_name")}).status == 204
    assert emulator.checkpoint(STREAM, APP, 0) is None
    assert emulator.checkpoint(STREAM, APP, 1) is None
    assert emulator.checkpoint(STREAM, "other", 0) == ("5", "")


def test_dis_lets_a_checkpoint_go_back(emulator: Emulator, dis: Dis) -> None:
    for number in ("41", "40"):
        assert dis("POST", "/checkpoints", body={**KEY, "sequence_number": number}).status == 201
    assert emulator.checkpoint(STREAM, APP, "0") == ("40", "")


@pytest.mark.parametrize("path", ["/checkpoints", "/checkpoints/"])
def test_a_slash_at_the_end_is_let_pass(dis: Dis, path: str) -> None:
    assert dis("GET", path, KEY).status == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"stream_name": "nowhere"}, "DIS.4301"),
        ({"app_name": "nobody"}, "DIS.4332"),
        ({"partition_id": "2"}, "DIS.4302"),
        ({"partition_id": "shardId-1"}, "DIS.4201"),
        ({"partition_id": ""}, "DIS.4201"),
        ({"checkpoint_type": "LATEST"}, "DIS.4200"),
        ({"checkpoint_type": ""}, "DIS.4200"),
        ({"stream_name": "a/b"}, "DIS.4200"),
        ({"app_name": ""}, "DIS.4200"),
    ],
)
def test_a_wrong_key_is_refused_by_read_and_commit_alike(dis: Dis, change: dict[str, str], code: str) -> None:
    for answer in (
        dis("GET", "/checkpoints", {**KEY, **change}),
        dis("POST", "/checkpoints", body={**KEY, **change, "sequence_number": "1"}),
    ):
        assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "DIS.4202"),
        (b"{", "DIS.4200"),
        ([], "DIS.4200"),
        (b"\xff", "DIS.4200"),
        ({**KEY}, "DIS.4216"),
        ({**KEY, "sequence_number": "-1"}, "DIS.4216"),
        ({**KEY, "sequence_number": "9223372036854775808"}, "DIS.4216"),
        ({**KEY, "sequence_number": "1", "metadata": "m" * 1001}, "DIS.4200"),
    ],
)
def test_a_wrong_commit_is_refused(emulator: Emulator, dis: Dis, body: object, code: str) -> None:
    assert dis("POST", "/checkpoints", body=body).code == code
    assert emulator.checkpoint(STREAM, APP, 0) is None


def test_a_body_over_the_limit_is_refused(dis: Dis) -> None:
    assert dis("POST", "/checkpoints", body=b"x" * 2_000_000).status == 413


def test_what_is_no_call_of_dis_is_said_not_to_exist(dis: Dis) -> None:
    for method, path in (("GET", "/records"), ("PUT", "/checkpoints"), ("GET", "/v3/x")):
        answer = dis(method, path)
        assert (answer.status, answer.code) == (404, "APIGW.0101")
        assert answer.json["request_id"]


def test_streams_are_created_listed_described_and_deleted(emulator: Emulator, dis: Dis) -> None:
    created = dis("POST", "/streams", body={"stream_name": "new", "partition_count": 3, "data_duration": 48})
    assert (created.status, created.body) == (201, b"")
    assert dis("POST", "/streams", body={"stream_name": "new"}).code == "DIS.4200"
    listed = dis("GET", "/streams", {"limit": "1"}).json
    assert (listed["stream_names"], listed["has_more_streams"], listed["total_number"]) == (["new"], True, 2)
    assert dis("GET", "/streams", {"start_stream_name": "new"}).json["stream_names"] == [STREAM]
    described = dis("GET", "/streams/new", {"limit_partitions": "2"}).json
    assert described["retention_period"] == 48
    assert [one["partition_id"] for one in described["partitions"]] == ["shardId-0000000000", "shardId-0000000001"]
    assert described["has_more_partitions"] is True
    dis("POST", "/checkpoints", body={**KEY, "stream_name": "new", "sequence_number": "1"})
    assert dis("GET", f"/apps/{APP}").json["commit_checkpoint_stream_names"] == ["new"]
    assert dis("DELETE", "/streams/new").status == 204
    assert dis("GET", "/streams/new").code == "DIS.4301"
    assert dis("GET", "/checkpoints", {**KEY, "stream_name": "new"}).code == "DIS.4301"
    emulator.create_stream("new")
    assert emulator.checkpoint("new", APP, 0) is None  # the old one's checkpoints went with it


def test_apps_are_created_listed_described_and_deleted(emulator: Emulator, dis: Dis) -> None:
    assert dis("POST", "/apps", body={"app_name": "zz"}).status == 201
    assert dis("POST", "/apps", body={"app_name": "zz"}).code == "DIS.4330"
    listed = dis("GET", "/apps", {"limit": "1"}).json
    assert ([one["app_name"] for one in listed["apps"]], listed["has_more_app"], listed["total_number"]) == (
        [APP],
        True,
        2,
    )
    emulator.set_checkpoint(STREAM, "zz", 0, 5)
    assert dis("DELETE", "/apps/zz").status == 204
    assert dis("GET", "/apps/zz").code == "DIS.4332"
    emulator.create_app("zz")
    assert emulator.checkpoint(STREAM, "zz", 0) is None


def test_the_consumer_state_has_offsets_and_pages(emulator: Emulator, dis: Dis) -> None:
    emulator.set_checkpoint(STREAM, APP, 1, 7)
    emulator.set_offsets(STREAM, 1, 3, 99)
    path = f"/apps/{APP}/streams/{STREAM}"
    first = dis("GET", path, {"checkpoint_type": "LAST_READ", "limit": "1"}).json
    assert first["has_more"] is True
    assert first["partition_consuming_states"][0]["sequence_number"] == "-1"
    after = first["partition_consuming_states"][0]["partition_id"]
    second = dis("GET", path, {"checkpoint_type": "LAST_READ", "start_partition_id": after}).json
    assert second["has_more"] is False
    assert second["partition_consuming_states"] == [
        {
            "partition_id": "shardId-0000000001",
            "sequence_number": "7",
            "latest_offset": 99,
            "earliest_offset": 3,
            "checkpoint_type": "LAST_READ",
            "status": "ACTIVE",
        }
    ]
    assert dis("GET", path, {"checkpoint_type": "LAST_READ", "limit": "1001"}).code == "DIS.4200"
    assert dis("GET", path).code == "DIS.4200"


def test_an_expired_partition_is_refused(emulator: Emulator, dis: Dis) -> None:
    emulator.set_offsets(STREAM, 0, 0, 9, status="EXPIRED")
    assert dis("GET", "/checkpoints", KEY).code == "DIS.4319"
    assert dis("POST", "/checkpoints", body={**KEY, "sequence_number": "1"}).code == "DIS.4319"


def spoil(**headers: str | None) -> Callable[[dict[str, str]], object]:
    def change(sent: dict[str, str]) -> None:
        for name, value in headers.items():
            header = name.replace("_", "-")
            if value is None:
                sent.pop(header)
            else:
                sent[header] = value

    return change


def replaced(old: str, new: str) -> Callable[[dict[str, str]], object]:
    return lambda headers: headers.update(Authorization=headers["Authorization"].replace(old, new))


DATE = "20251009T085320Z"  # NOW

REJECTED = {
    "no signature": (spoil(Authorization=None), "DIS.4101"),
    "another scheme": (spoil(Authorization="Basic dXNlcjpwYXNz"), "DIS.4102"),
    "a field twice": (replaced("SignedHeaders=", "Signature=1, SignedHeaders="), "DIS.4102"),
    "a scope too short": (replaced("/dis/", "/"), "DIS.4102"),
    "no date": (spoil(X_Sdk_Date=None), "DIS.4103"),
    "a date that is none": (spoil(X_Sdk_Date="yesterday"), "DIS.4104"),
    "no access key": (replaced(ACCESS_KEY, ""), "DIS.4106"),
    "another access key": (replaced(ACCESS_KEY, "SOMEBODYELSE"), "DIS.4107"),
    "no service": (replaced("/dis/", "//"), "DIS.4108"),
    "no credential": (replaced("Credential", "Who"), "DIS.4109"),
    "no signed headers": (replaced("SignedHeaders", "Headers"), "DIS.4109"),
    "an empty signature": (lambda h: h.update(Authorization=h["Authorization"].rpartition("=")[0] + "="), "DIS.4110"),
    "another service": (replaced("/dis/", "/obs/"), "DIS.4112"),
    "another day": (replaced("/20251009/", "/20251008/"), "DIS.4112"),
    "a date that is not signed": (replaced("SignedHeaders=host;x-sdk-date", "SignedHeaders=host"), "DIS.4112"),
    "a header less than was signed": (replaced("SignedHeaders=host;", "SignedHeaders="), "DIS.4100"),
    "a signed header that is missing": (replaced("SignedHeaders=host;", "SignedHeaders=host;x-none;"), "DIS.4112"),
    "another second": (spoil(X_Sdk_Date="20251009T085321Z"), "DIS.4100"),
    "another host": (spoil(Host="dis.example.com"), "DIS.4100"),
    "a security token of nobody": (spoil(X_Security_Token="t"), "DIS.4107"),
    "an empty token": (spoil(X_Auth_Token=""), "DIS.4113"),
    "a token of nobody": (spoil(X_Auth_Token="t"), "DIS.4114"),
}


@pytest.mark.parametrize(("change", "code"), REJECTED.values(), ids=REJECTED)
def test_a_wrong_signature_is_rejected_with_dis_own_code_and_nothing_is_stored(
    emulator: Emulator, dis: Dis, change: Callable[[dict[str, str]], object], code: str
) -> None:
    answer = dis("POST", "/checkpoints", body={**KEY, "sequence_number": "1"}, change=change)
    assert (answer.status, answer.code) == (441, code)
    assert emulator.checkpoint(STREAM, APP, 0) is None


def test_a_signature_is_for_one_request(emulator: Emulator, dis: Dis) -> None:
    taken: dict[str, str] = {}
    dis("GET", "/checkpoints", KEY, change=taken.update)
    assert dis("GET", "/checkpoints", KEY, change=lambda headers: headers.update(taken)).status == 200
    for method, path, query, body in (
        ("DELETE", "/checkpoints", KEY, None),
        ("GET", "/streams", KEY, None),
        ("GET", "/checkpoints", {**KEY, "partition_id": "1"}, None),
        ("GET", "/checkpoints", KEY, {"more": 1}),
    ):
        answer = dis(method, path, query, body, change=lambda headers: headers.update(taken))
        assert answer.code == "DIS.4100"


@pytest.mark.parametrize("dialect", SigningDialect)
def test_each_dialect_is_verified(dis: Dis, emulator: Emulator, dialect: SigningDialect) -> None:
    assert dis("GET", "/checkpoints", KEY, dialect=dialect).status == 200
    assert Dis(emulator.endpoint, secret_key="wrong")("GET", "/checkpoints", KEY, dialect=dialect).code == "DIS.4100"


def test_the_host_may_be_signed_without_its_port(dis: Dis) -> None:
    assert dis("GET", "/checkpoints", KEY, signed_host="127.0.0.1").status == 200
    assert dis("GET", "/checkpoints", KEY, signed_host="127.0.0.2").code == "DIS.4100"


@pytest.mark.parametrize("minutes", [-15, 15])
def test_clocks_may_differ_by_fifteen_minutes_and_no_more(dis: Dis, minutes: int) -> None:
    assert dis("GET", "/checkpoints", KEY, at=NOW + minutes * 60).status == 200
    late = dis("GET", "/checkpoints", KEY, at=NOW + minutes * 60 + (1 if minutes > 0 else -1))
    assert late.code == "DIS.4105"
    assert late.headers["Date"] == "Thu, 09 Oct 2025 08:53:20 GMT"


def test_any_region_and_project_is_taken_unless_one_is_named(make: Callable[..., Emulator]) -> None:
    free = Dis(make().endpoint)
    assert free("GET", "/v2/anything/streams", scope=SigningScope("mars")).status == 200
    bound = Dis(make(project=PROJECT, region=REGION).endpoint)
    assert bound("GET", "/streams").status == 200
    assert bound("GET", "/streams", scope=SigningScope("mars")).code == "DIS.4111"
    assert bound("GET", "/v2/anything/streams").code == "DIS.4117"


def test_a_security_token_may_be_added_after_signing_but_must_be_there(make: Callable[..., Emulator]) -> None:
    dis = Dis(make(security_token="temporary").endpoint)
    assert dis("GET", "/streams", change=spoil(X_Security_Token="temporary")).status == 200
    assert dis("GET", "/streams").code == "DIS.4107"


def test_a_token_goes_instead_of_a_signature(make: Callable[..., Emulator]) -> None:
    dis = Dis(make(token="iam").endpoint)
    assert dis("GET", "/streams", change=spoil(X_Auth_Token="iam", Authorization=None)).status == 200
    assert dis("GET", "/streams", change=spoil(X_Auth_Token="iam2", Authorization=None)).code == "DIS.4114"


def test_auto_create_makes_what_is_named(make: Callable[..., Emulator]) -> None:
    emulator = make(auto_create=True)
    dis = Dis(emulator.endpoint)
    assert dis("GET", "/checkpoints", {**KEY, "partition_id": "3"}).json["sequence_number"] == "-1"
    assert len(dis("GET", f"/streams/{STREAM}").json["partitions"]) == 4
    assert dis("GET", "/checkpoints", {**KEY, "partition_id": "9999999999"}).code == "DIS.4302"


def test_a_file_outlives_the_emulator(make: Callable[..., Emulator], tmp_path: Path) -> None:
    db = str(tmp_path / "dis.db")
    first = make(db=db, auto_create=True)
    first.set_checkpoint(STREAM, APP, 0, 41, "page 3")
    first.stop()
    assert make(db=db).checkpoint(STREAM, APP, 0) == ("41", "page 3")


def test_a_port_in_use_is_an_error(make: Callable[..., Emulator]) -> None:
    port = int(make().endpoint.rpartition(":")[2])
    other = Emulator(access_key="a", secret_key="b", port=port)
    with pytest.raises(OSError, match="in use"):
        other.start()
    other.stop()


@pytest.mark.parametrize("row", ERROR_ROWS, ids=lambda row: row.code)
def test_every_error_of_the_table_can_be_injected(emulator: Emulator, dis: Dis, row: Any) -> None:
    emulator.inject("error", code=row.code, retry_after="7")
    answer = dis("GET", "/checkpoints", KEY)
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (row.http_status, row.code, "7")
    assert dis("GET", "/checkpoints", KEY).status == 200


def test_both_shapes_of_an_error_can_be_had(emulator: Emulator, dis: Dis) -> None:
    emulator.inject("error", code="DIS.4303", shape="apig", message="slow down", status=429)
    answer = dis("GET", "/checkpoints", KEY)
    assert (answer.status, answer.json["error_code"], answer.json["error_msg"]) == (429, "DIS.4303", "slow down")
    emulator.inject("error", code="APIGW.0308", shape="dis")
    assert dis("GET", "/checkpoints", KEY).json["errorCode"] == "APIGW.0308"


def test_a_fault_hits_as_often_and_where_it_was_meant_to(emulator: Emulator, dis: Dis) -> None:
    emulator.inject("error", code="DIS.4303", times=2, method="post", path_contains="/checkpoints")
    emulator.inject("error", code="DIS.5000", times=0, path_contains="/streams")
    body = {**KEY, "sequence_number": "1"}
    assert dis("GET", "/checkpoints", KEY).status == 200
    assert [dis("POST", "/checkpoints", body=body).status for _ in range(3)] == [400, 400, 201]
    assert [dis("GET", "/streams").status for _ in range(5)] == [500] * 5
    emulator.clear_faults()
    assert dis("GET", "/streams").status == 200


@pytest.mark.parametrize(("kind", "applied"), [("cut_before", False), ("cut_after", True), ("truncate", True)])
def test_a_connection_can_be_cut_before_and_after_the_commit_is_applied(
    emulator: Emulator, dis: Dis, kind: str, applied: bool
) -> None:
    emulator.inject(kind)
    with pytest.raises(urllib3.exceptions.HTTPError):
        dis("POST", "/checkpoints", body={**KEY, "sequence_number": "1"})
    assert emulator.checkpoint(STREAM, APP, 0) == (("1", "") if applied else None)
    assert emulator.request_count("POST") == 1


def test_an_answer_can_be_anything(emulator: Emulator, dis: Dis) -> None:
    emulator.inject("body", status=200, body="<html>", content_type="text/html")
    answer = dis("GET", "/checkpoints", KEY)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"<html>", "text/html")
    emulator.inject("content_type", content_type="text/plain")
    answer = dis("GET", "/checkpoints", KEY)
    assert (answer.json["sequence_number"], answer.headers["Content-Type"]) == ("-1", "text/plain")


def test_a_latency_goes_together_with_another_fault(emulator: Emulator, dis: Dis) -> None:
    emulator.inject("latency", seconds=0.001)
    emulator.inject("error", code="DIS.4303")
    assert dis("GET", "/checkpoints", KEY).code == "DIS.4303"
    assert dis("GET", "/checkpoints", KEY).status == 200


@pytest.mark.parametrize(("kind", "applied"), [("hold", False), ("hold_answer", True)])
def test_a_request_can_be_held_and_released(emulator: Emulator, dis: Dis, kind: str, applied: bool) -> None:
    from concurrent.futures import ThreadPoolExecutor

    emulator.inject(kind, method="POST")
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(dis, "POST", "/checkpoints", None, {**KEY, "sequence_number": "1"})
        emulator.wait_for_held(1)
        assert emulator.checkpoint(STREAM, APP, 0) == (("1", "") if applied else None)
        assert not pending.done()
        assert emulator.release() == 1
        assert pending.result(20).status == 201
    assert emulator.checkpoint(STREAM, APP, 0) == ("1", "")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "earthquake"},
        {"kind": "error", "time": 1},
        {"kind": "error", "times": -1},
        {"kind": "body", "status": 7},
    ],
)
def test_a_fault_with_a_mistake_is_refused(emulator: Emulator, dis: Dis, fault: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        emulator.inject(**fault)
    assert dis.control("POST", "/faults", fault).status == 400
    assert dis.control("GET", "/faults").json == []


def test_the_control_api_does_what_the_methods_do(emulator: Emulator, dis: Dis) -> None:
    assert dis.control("PUT", "/streams/s2", {"partitions": 2}).status == 204
    assert dis.control("PUT", "/apps/a2").status == 204
    checkpoint = {"stream": "s2", "app": "a2", "partition": "1", "sequence_number": "7"}
    assert dis.control("PUT", "/checkpoints", checkpoint).status == 204
    offsets = {"stream": "s2", "partition": "1", "earliest": 1, "latest": 9}
    assert dis.control("PUT", "/offsets", offsets).status == 204
    assert dis.control("POST", "/faults", {"kind": "error", "times": 2, "path_contains": "/apps"}).status == 204
    assert dis("GET", "/streams/s2").json["partitions"][1]["sequence_number_range"] == "[1 : 9]"
    assert dis("GET", "/apps").status == 500
    summary = dis.control("GET", "/").json
    assert summary["streams"]["s2"] == {"partitions": 2, "checkpoints": {"a2": {"shardId-0000000001": "7"}}}
    assert summary["requests"] == 2
    assert [fault["kind"] for fault in summary["faults"]] == [Kind.ERROR]
    assert dis.control("GET", "/faults").json[0]["times"] == 1
    assert [one["status"] for one in dis.control("GET", "/requests").json] == [200, 500]
    assert dis.control("DELETE", "/requests").status == 204
    assert emulator.request_count() == 0
    assert dis.control("POST", "/reset").status == 204
    assert dis("GET", "/streams").json["total_number"] == 0
    assert dis.control("GET", "/faults").json == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/streams/a b", None, 400),
        ("PUT", "/streams/s2", {"partitions": 0}, 400),
        ("PUT", "/streams/s2", {"partition": 1}, 400),
        ("PUT", f"/streams/{STREAM}", None, 409),
        ("PUT", f"/apps/{APP}", None, 409),
        ("PUT", "/offsets", {"stream": "no", "partition": "0", "earliest": 0, "latest": 1}, 404),
        ("PUT", "/offsets", {"stream": STREAM, "partition": "x", "earliest": 0, "latest": 1}, 400),
        ("PUT", "/checkpoints", {"stream": STREAM, "app": APP, "partition": "0", "sequence_number": "x"}, 400),
        ("POST", "/faults", None, 400),
        ("GET", "/nothing", None, 404),
        ("GET", "", None, 404),
    ],
)
def test_a_wrong_control_request_gets_words(dis: Dis, method: str, path: str, body: object, status: int) -> None:
    answer = dis.control(method, path.replace(" ", "%20"), body)
    assert answer.status == status
    assert answer.json["error"]


def test_requests_are_recorded_as_they_came(emulator: Emulator, dis: Dis) -> None:
    dis("POST", "/checkpoints", body={**KEY, "sequence_number": "1"})
    dis("GET", "/checkpoints", KEY)
    posted, got = emulator.requests()
    assert (posted.method, posted.path, json.loads(posted.body)["sequence_number"]) == (
        "POST",
        BASE + "/checkpoints",
        "1",
    )
    assert posted.status == 201
    assert "partition_id=0" in got.query
    assert (emulator.request_count(), emulator.request_count("GET")) == (2, 1)
