"""Everything that DIS can answer, and everything that a network can do, for a read, a commit and a delete.

Each case says what the caller gets, how many requests DIS got, and what is known afterwards: the truth of the emulator
is compared with what the next read says.
"""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config, RetryConfig
from gateway.emulator import Emulator
from tests.integration.test_transport import unused_port
from tests.rawserver import Handler, RawServer
from tests.support import APP, STREAM, Call, Client, Running, config_for, upstream_of

Start = Callable[[Config], Running]

ATTEMPTS = 3
RETRY = RetryConfig(attempts=ATTEMPTS, base_seconds=0.001, max_seconds=0.001)
UNKNOWN = {"commit": "COMMIT_OUTCOME_UNKNOWN", "delete": "DELETE_OUTCOME_UNKNOWN"}
OPERATIONS = ("read", "commit", "delete")
FENCING = {"DIS.4701", "DIS.4702", "DIS.4703"}


@dataclass(frozen=True)
class Row:
    """One line of the table of errors, as the API reference has it."""

    code: str
    http: str
    grpc_status: str
    reason: str
    retry: str


def rows() -> list[Row]:
    with (Path(__file__).parents[1] / "data" / "error_codes.csv").open(encoding="utf-8") as file:
        return [Row(**line) for line in csv.DictReader(file)]


def run(client: Client, operation: str) -> None:
    if operation == "read":
        client.get(read_mode=pb.READ_MODE_FRESH)
    elif operation == "commit":
        client.commit(6)
    else:
        client.delete()


def failure(client: Client, operation: str) -> Call:
    with pytest.raises(grpc.RpcError) as caught:
        run(client, operation)
    return Call.of(caught.value)


@pytest.fixture
def settled(emulator: Emulator, start: Start) -> Client:
    """A client of a gateway that has committed 5, knows it, and sends calls again quickly."""
    client = start(config_for(emulator, retry=RETRY)).client
    client.commit(5)
    return client


def truth(emulator: Emulator) -> str:
    stands = emulator.checkpoint(STREAM, APP, 0)
    return stands[0] if stands else ""


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.code)
def test_each_error_of_dis(emulator: Emulator, settled: Client, row: Row, operation: str) -> None:
    emulator.inject("error", code=row.code, times=0)
    before = emulator.request_count()
    if row.code == "DIS.4375" and operation == "read":
        assert not settled.get(read_mode=pb.READ_MODE_FRESH).found
        return
    failed = failure(settled, operation)
    sent = emulator.request_count() - before
    broken = int(row.http) >= 500
    if row.code == "DIS.4375":
        expected = ("FAILED_PRECONDITION", "APP_WITHOUT_CHECKPOINT")
    elif broken and operation != "read":
        expected = ("UNAVAILABLE", UNKNOWN[operation])
    else:
        expected = (row.grpc_status, row.reason)
    assert (failed.code.name, failed.reason) == expected
    assert failed.info.metadata["http_status"] == row.http
    assert failed.info.metadata["dis_error_code"] == row.code
    again = row.retry == "backoff" and not (broken and operation != "read")
    assert sent == (ATTEMPTS if again else 1)
    assert (failed.retry_after is not None) == (row.retry == "backoff")
    # what is known now: nothing that is in doubt, or that DIS has contradicted
    emulator.clear_faults()
    gone = row.grpc_status == "NOT_FOUND" if operation == "read" else broken or row.code in FENCING
    before = emulator.request_count()
    assert settled.get().checkpoint.sequence_number == "5" == truth(emulator)
    assert emulator.request_count() - before == int(gone)


@dataclass(frozen=True)
class Network:
    """Something that a network does. ``applied``: DIS has applied the write all the same."""

    fault: str
    applied: bool
    times: int = 0


CUTS = [Network("cut_before", applied=False), Network("cut_after", applied=True), Network("truncate", applied=True)]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("network", CUTS, ids=lambda one: one.fault)
def test_each_way_to_lose_an_answer(emulator: Emulator, settled: Client, network: Network, operation: str) -> None:
    emulator.inject(network.fault, times=0)
    before = emulator.request_count()
    if network.fault == "truncate" and operation != "read":
        run(settled, operation)  # the status was there: DIS has said yes, and what its answer lacks changes nothing
        emulator.clear_faults()
        assert truth(emulator) == {"commit": "6", "delete": ""}[operation]
        return
    failed = failure(settled, operation)
    assert failed.code is grpc.StatusCode.UNAVAILABLE
    assert failed.reason == UNKNOWN.get(operation, "UPSTREAM_UNAVAILABLE")
    assert emulator.request_count() - before == (ATTEMPTS if operation == "read" else 1)
    emulator.clear_faults()
    stands = {"read": "5", "commit": "6" if network.applied else "5", "delete": "" if network.applied else "5"}
    assert truth(emulator) == stands[operation]
    before = emulator.request_count()
    answer = settled.get()
    assert answer.found == bool(stands[operation])
    assert answer.checkpoint.sequence_number == stands[operation]
    assert emulator.request_count() - before == (0 if operation == "read" else 1)  # a doubt asks DIS


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_answer_that_takes_too_long(emulator: Emulator, start: Start, operation: str) -> None:
    upstream = upstream_of(emulator, read_timeout_seconds=0.2)
    client = start(config_for(emulator, upstream=upstream)).client
    emulator.set_checkpoint(STREAM, APP, 0, 5)
    client.get()
    emulator.inject("hold_answer")
    failed = failure(client, operation)
    assert failed.reason == UNKNOWN.get(operation, "UPSTREAM_UNAVAILABLE")
    assert "in time" in failed.message
    emulator.release()
    answer = client.get()
    assert answer.checkpoint.sequence_number == truth(emulator) == {"read": "5", "commit": "6", "delete": ""}[operation]


def dribbling(head: bytes, drop: bytes, over: threading.Event) -> Handler:
    def handler(connection: object) -> None:
        connection.sendall(head)  # type: ignore[attr-defined]
        while not over.wait(0.005):
            connection.sendall(drop)  # type: ignore[attr-defined]

    return handler


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 500 Oh\r\n", b"X: 1\r\n"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 1000000\r\n\r\n", b" "),
    ],
    ids=["slow headers", "slow body"],
)
def test_an_answer_that_dribbles(
    emulator: Emulator, start: Start, serve: Callable[..., RawServer], head: bytes, drop: bytes, operation: str
) -> None:
    over = threading.Event()
    server = serve(dribbling(head, drop, over))
    upstream = upstream_of(emulator, endpoint=f"http://127.0.0.1:{server.port}", read_timeout_seconds=0.2)
    client = start(config_for(emulator, upstream=upstream)).client
    failed = failure(client, operation)
    over.set()
    assert failed.reason == UNKNOWN.get(operation, "UPSTREAM_UNAVAILABLE")
    assert len(server.requests) == 1


def refused(emulator: Emulator) -> str:
    return f"http://127.0.0.1:{unused_port()}"


def without_tls(emulator: Emulator) -> str:
    return emulator.endpoint.replace("http://", "https://")


def without_a_name(emulator: Emulator) -> str:
    return "http://dis.invalid"


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("endpoint", "words"),
    [(refused, "Connection refused"), (without_tls, "no TLS connection"), (without_a_name, "does not resolve")],
)
def test_each_way_not_to_reach_dis(
    emulator: Emulator, start: Start, endpoint: Callable[[Emulator], str], words: str, operation: str
) -> None:
    upstream = upstream_of(emulator, endpoint=endpoint(emulator), insecure=True)
    client = start(config_for(emulator, upstream=upstream, retry=RETRY)).client
    failed = failure(client, operation)
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")  # nothing was sent
    assert words in failed.message
    assert failed.retry_after is not None
    assert emulator.request_count() == 0


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "", "null", "[]", '{"errorCode": 7}'])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 441, 500, 502, 504])
def test_an_error_without_a_code_is_judged_by_its_status(
    emulator: Emulator, settled: Client, operation: str, status: int, body: str
) -> None:
    emulator.inject("body", status=status, body=body, times=0)
    failed = failure(settled, operation)
    by_status = {
        400: "UPSTREAM_REJECTED_REQUEST",
        401: "UPSTREAM_CREDENTIALS_REJECTED",
        403: "UPSTREAM_PERMISSION_DENIED",
        404: "UPSTREAM_ENDPOINT_INVALID",
        413: "UPSTREAM_REJECTED_REQUEST",
        429: "UPSTREAM_THROTTLED",
        441: "UPSTREAM_CREDENTIALS_REJECTED",
    }
    expected = by_status.get(status, UNKNOWN.get(operation, "UPSTREAM_UNAVAILABLE"))
    assert failed.reason == expected
    assert failed.info.metadata["http_status"] == str(status)


@pytest.mark.parametrize(
    "body", ['{"errorCode":"DIS.4303","message":"x"}', '{"error_code":"APIGW.0301"}', '{"errorCode":7}', "<html>login"]
)
@pytest.mark.parametrize("operation", sorted(UNKNOWN))
def test_a_write_whose_success_says_something_else_is_not_acknowledged_and_the_next_read_asks(
    emulator: Emulator, settled: Client, operation: str, body: str
) -> None:
    emulator.inject("body", status=201, body=body)
    assert failure(settled, operation).reason == UNKNOWN[operation]
    found = settled.get()
    assert (found.checkpoint.sequence_number, found.source) == ("5", pb.CHECKPOINT_SOURCE_UPSTREAM)


@pytest.mark.parametrize("body", ["", "{}", "null", '{"sequence_number":""}', '{"sequence_number":"-2"}', "<html>"])
def test_a_success_that_makes_no_sense_is_never_a_checkpoint_and_never_none(
    emulator: Emulator, settled: Client, body: str
) -> None:
    emulator.inject("body", status=200, body=body)
    failed = failure(settled, "read")
    assert (failed.code, failed.reason) == (grpc.StatusCode.INTERNAL, "UPSTREAM_INVALID_ANSWER")
    assert settled.get().checkpoint.sequence_number == "5"
