"""What an answer of DIS means, as a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dis import answers
from gateway.dis.error_table import ERROR_ROWS, NOT_COMMITTED_YET, ErrorRow, Retry
from gateway.dis.http import HttpAnswer
from gateway.errors import GatewayError, InvalidUpstreamAnswer, Status
from gateway.model import Checkpoint, CheckpointKey, SequenceNumber
from gateway.reasons import ADVICE

KEY = CheckpointKey("stream", "app", "0")


def answer(status: int, body: object = b"", **headers: str) -> HttpAnswer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


@pytest.mark.parametrize("row", [row for row in ERROR_ROWS if row.code != NOT_COMMITTED_YET], ids=lambda row: row.code)
@pytest.mark.parametrize("shape", ["dis", "api gateway"])
def test_every_row_of_the_table_is_what_the_caller_gets_in_both_shapes(row: ErrorRow, shape: str) -> None:
    body = {"errorCode": row.code, "message": row.dis_message}
    if shape == "api gateway":
        body = {"error_code": row.code, "error_msg": row.dis_message, "request_id": "r-1"}
    error = answers.error_from(answer(row.http_status, body))
    assert (error.status, error.reason) == (row.status, row.reason)
    assert (error.retry_after is not None) == (row.retry is Retry.BACKOFF)
    assert error.metadata["dis_error_code"] == row.code
    assert error.metadata["http_status"] == str(row.http_status)
    assert error.metadata.get("dis_request_id") == ("r-1" if shape == "api gateway" else None)


def test_the_table_has_every_known_code_once() -> None:
    assert len(ERROR_ROWS) == 46
    assert len({row.code for row in ERROR_ROWS}) == len(ERROR_ROWS)


def test_an_app_without_checkpoint_is_an_error_only_where_it_is_no_read() -> None:
    refusal = answer(400, {"errorCode": NOT_COMMITTED_YET, "message": "The app does not commit checkpoint"})
    assert answers.says_not_committed_yet(refusal)
    assert answers.error_from(refusal).status is Status.FAILED_PRECONDITION


def test_an_expired_timestamp_is_a_clock_that_is_off() -> None:
    error = answers.error_from(answer(400, {"errorCode": "DIS.4300", "message": "Request error. Timestamp is expired"}))
    assert error.reason == "UPSTREAM_CLOCK_SKEW"


@pytest.mark.parametrize(
    ("status", "expected", "reason"),
    [
        (302, Status.FAILED_PRECONDITION, "UPSTREAM_ENDPOINT_INVALID"),
        (400, Status.INVALID_ARGUMENT, "UPSTREAM_REJECTED_REQUEST"),
        (401, Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED"),
        (403, Status.PERMISSION_DENIED, "UPSTREAM_PERMISSION_DENIED"),
        (404, Status.FAILED_PRECONDITION, "UPSTREAM_ENDPOINT_INVALID"),
        (413, Status.INVALID_ARGUMENT, "UPSTREAM_REJECTED_REQUEST"),
        (429, Status.RESOURCE_EXHAUSTED, "UPSTREAM_THROTTLED"),
        (441, Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED"),
        (494, Status.INVALID_ARGUMENT, "UPSTREAM_REJECTED_REQUEST"),
        (500, Status.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
        (504, Status.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>busy</html>", b"[]", {"errorCode": "DIS.9999"}, {"errorCode": 7}], ids=repr
)
def test_without_a_known_code_the_http_status_decides(status: int, expected: Status, reason: str, body: object) -> None:
    error = answers.error_from(answer(status, body))
    assert (error.status, error.reason) == (expected, reason)


def test_one_code_of_the_api_gateway_means_two_things() -> None:
    body = {"error_code": "APIGW.0201", "error_msg": "Request entity too large."}
    assert answers.error_from(answer(413, body)).status is Status.INVALID_ARGUMENT
    assert answers.error_from(answer(504, body)).status is Status.UNAVAILABLE


def test_a_retry_after_header_says_when() -> None:
    body = {"errorCode": "DIS.4303", "message": "Exceeded traffic control limit."}
    assert answers.error_from(answer(400, body, Retry_After="7")).retry_after == 7.0
    assert answers.error_from(answer(400, body, Retry_After="soon")).retry_after == answers.DEFAULT_RETRY_AFTER


def test_a_secret_that_dis_repeats_is_hidden() -> None:
    body = {"errorCode": "DIS.4100", "message": "wrong: s3cr3t\x1b[31m"}
    message = answers.error_from(answer(441, body), hidden=("s3cr3t",)).message
    assert "s3cr3t" not in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("body", "number", "metadata"),
    [
        ({"sequence_number": "10", "metadata": "m"}, 10, "m"),
        ({"sequence_number": 10}, 10, ""),
        ({"sequence_number": "9223372036854775807", "metadata": None}, 2**63 - 1, ""),
        ({"sequence_number": "0", "metaData": "old spelling"}, 0, "old spelling"),
        ({"sequence_number": "3", "metadata": "😀", "other": [1, {}]}, 3, "😀"),
    ],
)
def test_a_checkpoint_is_read(body: object, number: int, metadata: str) -> None:
    assert answers.checkpoint_from(answer(200, body), KEY) == Checkpoint(KEY, SequenceNumber(number), metadata)


@pytest.mark.parametrize("number", ["-1", -1])
def test_minus_one_is_no_checkpoint(number: object) -> None:
    assert answers.checkpoint_from(answer(200, {"sequence_number": number, "metadata": ""}), KEY) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html/>",
        b"[]",
        b'"10"',
        b'{"sequence_number":"10"',
        b'\xff{"sequence_number":"10"}',
        b'{"metadata":"' + b"\xff" + b'","sequence_number":"1"}',
        b'{"sequence_number":"1","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        {},
        {"sequence_number": None},
        {"sequence_number": ""},
        {"sequence_number": "-2"},
        {"sequence_number": "ten"},
        {"sequence_number": 1.5},
        {"sequence_number": True},
        {"sequence_number": 2**63},
        {"sequence_number": ["1"]},
        {"sequence_number": "1", "metadata": 5},
        {"sequence_number": "1", "metadata": "x" * 1001},
    ],
    ids=lambda body: repr(body)[:40],
)
def test_what_cannot_be_understood_is_an_error_and_never_no_checkpoint(body: object) -> None:
    with pytest.raises(InvalidUpstreamAnswer):
        answers.checkpoint_from(answer(200, body), KEY)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error_or_a_real_minus_one(data: bytes) -> None:
    try:
        found = answers.checkpoint_from(answer(200, data), KEY)
    except InvalidUpstreamAnswer:
        return
    assert found is not None or b"-1" in data


@given(st.integers(300, 599), st.binary(max_size=200))
def test_any_failed_answer_makes_an_error_with_a_reason(status: int, data: bytes) -> None:
    error = answers.error_from(answer(status, data))
    assert error.reason
    assert error.status is not Status.OK


def test_every_reason_has_its_advice_and_its_place_in_the_docs() -> None:
    def below(kind: type[GatewayError]) -> set[type[GatewayError]]:
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    reasons = {row.reason for row in ERROR_ROWS if row.reason} | {kind.reason for kind in below(GatewayError)}
    assert reasons <= set(ADVICE)
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    assert all(f"\n### {reason}\n" in page for reason in reasons)


def test_a_message_that_the_operator_must_act_on_says_what_to_do_and_where_it_is_explained() -> None:
    rejected = answers.error_from(HttpAnswer(441, {}, b'{"errorCode":"DIS.4100","message":"Authorization error."}'))
    assert "region and signing dialect; see docs/errors.md#upstream_credentials_rejected" in rejected.message
