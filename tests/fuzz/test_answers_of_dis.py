"""Random and mutated answers of DIS: never a crash, a hang, a wrong success, or more memory than the bound.

`make fuzz` tries 100,000 of them, `make test` some. What is right is said anew here, with another JSON reader.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from gateway.dis.breaker import Breaker, BreakerSettings
from gateway.dis.client import DisClient
from gateway.dis.credentials import KeyPair, StaticCredentials
from gateway.dis.http import HttpAnswer, HttpRequest, TransportError
from gateway.dis.pace import Pace
from gateway.dis.resilience import Resilience, RetrySettings
from gateway.dis.signer import DisEndpoint
from gateway.dis.signing import SigningScope
from gateway.dis.wire import PlainConnection
from gateway.errors import GatewayError, OutcomeUnknown, UpstreamError
from gateway.model import Checkpoint, CheckpointKey, Commit, PartitionPage, SequenceNumber

CASES = int(os.environ.get("FUZZ_CASES", "500"))
KEY = CheckpointKey("stream", "app", "0")
LARGEST = 2**63 - 1
fuzz = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=CASES < 10_000,
    database=None,
    suppress_health_check=list(HealthCheck),
)

TEMPLATES = [
    b'{"sequence_number":"10","metadata":"metadata"}',
    b'{"sequence_number":"-1","metadata":""}',
    b'{"sequence_number":9223372036854775807,"metadata":null}',
    b'{"errorCode":"DIS.4301","message":"The stream does not exist. x"}',
    b'{"error_code":"APIGW.0308","error_msg":"The throttling threshold has been reached.","request_id":"r"}',
    b'{"errorCode":"DIS.4375","message":"The app does not commit checkpoint"}',
    b'{"errorCode":"DIS.4105","message":"Invalid X-Sdk-Date header."}',
    (
        b'{"has_more":false,"partition_consuming_states":[{"partition_id":"0","sequence_number":"5",'
        b'"latest_offset":9,"earliest_offset":0,"checkpoint_type":"LAST_READ","status":"ACTIVE"}]}'
    ),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good answer with some bytes changed, removed, or put in."""
    data = bytearray(draw(st.sampled_from(TEMPLATES)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 3))
        data[place : place + cut] = draw(st.one_of(st.binary(max_size=3), st.sampled_from([b'"', b"{", b"-", b"1e9"])))
    return bytes(data)


bodies = st.one_of(st.binary(max_size=200), mutated())
statuses = st.one_of(st.sampled_from([200, 201, 204, 400, 401, 429, 441, 500]), st.integers(200, 999))
headers = st.dictionaries(
    st.sampled_from(["Date", "Retry-After", "X-Request-Id", "Content-Type"]),
    st.one_of(st.text(max_size=30), st.sampled_from(["Tue, 24 Nov 2026 09:00:00 GMT", "120", "-1", "9" * 400])),
    max_size=3,
)


class Scripted:
    """A transport that gives one answer for ever."""

    def __init__(self, answer: HttpAnswer) -> None:
        self.answer = answer
        self.sent = 0

    def send(self, request: HttpRequest, deadline: float) -> HttpAnswer:
        self.sent += 1
        return self.answer


def client(transport: Scripted) -> DisClient:
    passed = [0.0]

    def now() -> float:
        return passed[0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    resilience = Resilience(Breaker(BreakerSettings(), now), Pace(now), RetrySettings(attempts=2), now)
    return DisClient(
        DisEndpoint("https://dis.example.com", "0" * 32, SigningScope("eu-de", "dis")),
        StaticCredentials(KeyPair("access", "secret")),
        transport,
        lambda: datetime(2026, 11, 24, tzinfo=UTC),
        resilience,
        sleep,
    )


def outcome(call: Callable[[], object]) -> object:
    """What came of it; any exception but the one family that callers know is a crash."""
    try:
        return call()
    except GatewayError as error:
        failure = error
    assert len(failure.message) < 2000
    assert failure.message.isprintable()
    assert failure.retry_after is None or 0 <= failure.retry_after <= 3600
    return failure


def parsed(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8", "replace"))  # text that nobody looks at may be broken
    except (ValueError, RecursionError):
        return None


def says_error(body: bytes, decode: Callable[[bytes], object]) -> bool:
    """Whether it is the JSON of an error, whatever its status is."""
    try:
        document = decode(body)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return False
    return isinstance(document, dict) and bool(document.get("errorCode") or document.get("error_code"))


def number_in(body: bytes) -> str | None:
    """The sequence number that a lenient reader finds."""
    document = parsed(body)
    value = document.get("sequence_number") if isinstance(document, dict) else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


@fuzz
@given(statuses, headers, bodies)
@example(200, {}, b"[" * 500_000)
@example(200, {}, b'{"sequence_number":' + b"9" * 300_000 + b"}")
@example(400, {}, b'{"errorCode":"' + b"x" * 500_000 + b'"}')
@example(200, {}, b'{"sequence_number":"-1"')
@example(200, {}, b'{"sequence_number":true}')
@example(441, {"Date": "Tue, 24 Nov 9999999 09:00:00 GMT"}, TEMPLATES[6])
def test_a_read_gives_what_stands_there_or_an_error(status: int, headers: dict[str, str], body: bytes) -> None:
    transport = Scripted(HttpAnswer(status, headers, body))
    found = outcome(lambda: client(transport).read(KEY))
    assert transport.sent <= 4
    success = 200 <= status < 300
    if isinstance(found, Checkpoint):
        assert success
        number = number_in(body)
        assert number is not None
        assert re.fullmatch("[0-9]+", number)
        assert 0 <= found.sequence_number == int(number) <= LARGEST
    elif found is None:
        if success:
            assert number_in(body) == "-1"
        else:
            assert b"DIS.4375" in body
    else:
        assert isinstance(found, GatewayError)


@fuzz
@given(statuses, headers, bodies, st.booleans())
def test_a_write_succeeds_only_by_its_status(status: int, headers: dict[str, str], body: bytes, delete: bool) -> None:
    transport = Scripted(HttpAnswer(status, headers, body))
    dis = client(transport)
    commit = Commit.of(Checkpoint(KEY, SequenceNumber(5)))
    failed = outcome(lambda: dis.delete(KEY) if delete else dis.commit(commit))
    page = body.lstrip().startswith(b"<")  # of a proxy, say: what answers so is not DIS
    if failed is None:
        assert 200 <= status < 300
        assert not page
        assert not says_error(body, msgspec.json.decode)
    elif 200 <= status < 300:
        assert page or says_error(body, json.loads)
    if isinstance(failed, OutcomeUnknown):
        assert transport.sent == 1
    elif failed is not None:
        assert isinstance(failed, UpstreamError)


@fuzz
@given(statuses, bodies)
def test_a_list_gives_what_stands_there_or_an_error(status: int, body: bytes) -> None:
    transport = Scripted(HttpAnswer(status, {}, body))
    page = outcome(lambda: client(transport).partitions("stream", "app", "", 100))
    if isinstance(page, PartitionPage):
        assert 200 <= status < 300
        document = parsed(body)
        assert isinstance(document, dict)
        assert len(page.partitions) == len(document["partition_consuming_states"])
    else:
        assert isinstance(page, GatewayError)


class Chunks:
    """A socket that gives these bytes, then ends."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = list(chunks)

    def recv(self, size: int) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""

    def gettimeout(self) -> float:
        return 5.0

    def settimeout(self, seconds: float | None) -> None:
        """It never blocks."""

    def close(self) -> None:
        """Nothing is open."""


BOUND = 1000
WIRE = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 500 Oh\r\n\r\nbody without a length",
]


@st.composite
def on_the_wire(draw: st.DrawFn) -> list[bytes]:
    data = bytearray(draw(st.one_of(st.sampled_from(WIRE), st.binary(max_size=100))))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    return [bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a]


@fuzz
@given(on_the_wire())
@example([b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n"])
@example([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", *[b"x" * 60_000] * 50])
@example([b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n" * 10_000] * 50])
@example([b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 60_000] * 50])
def test_bytes_become_a_whole_answer_or_an_error(chunks: list[bytes]) -> None:
    connection = PlainConnection("dis.example.com", 80, timeout=5.0)
    connection.max_answer = BOUND
    connection.sock = Chunks(chunks)  # type: ignore[assignment]
    try:
        answer = connection.getresponse()
    except TransportError as error:
        status = error.status
        assert status is None or status >= 200
        return
    assert isinstance(answer, HTTPResponse)
    assert answer.status >= 200
    assert len(answer.data or b"") <= BOUND


def test_an_oracle_that_accepts_everything_would_be_none() -> None:
    assert number_in(b'{"sequence_number":"10"}') == "10"
    assert number_in(b'{"sequence_number":true}') is None
    with pytest.raises(GatewayError):
        client(Scripted(HttpAnswer(200, {}, b'{"sequence_number":true}'))).read(KEY)
