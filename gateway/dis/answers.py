"""What an answer of DIS means: a checkpoint, or one of the errors of the table."""

from __future__ import annotations

import msgspec

from gateway.dis.error_table import ERRORS_BY_CODE, NOT_COMMITTED_YET, ErrorRow, Retry
from gateway.dis.http import HttpAnswer
from gateway.errors import InvalidField, InvalidUpstreamAnswer, Status, UpstreamError
from gateway.model import Checkpoint, CheckpointKey, PartitionPage, PartitionState, SequenceNumber
from gateway.reasons import hint

NO_CHECKPOINT = "-1"
DEFAULT_RETRY_AFTER = 1.0
"""Seconds to wait where DIS throttles or is down and names no time."""
LONGEST_RETRY_AFTER = 3600.0
_LONGEST_MESSAGE = 300

_CLOCK_SKEW_ROW = ERRORS_BY_CODE["DIS.4105"]


class _CheckpointBody(msgspec.Struct):
    sequence_number: str | int
    metadata: str | None = None
    # an older spelling, which a published SDK reads
    other_metadata: str | None = msgspec.field(name="metaData", default=None)


class _PartitionBody(msgspec.Struct):
    partition_id: str | int
    sequence_number: str | int
    earliest_offset: int | str = 0
    latest_offset: int | str = 0
    status: str = ""


class _StateBody(msgspec.Struct):
    """The consumer state; identifiers and numbers come as strings or as bare numbers."""

    partition_consuming_states: list[_PartitionBody]
    has_more: bool = False


class _ErrorBody(msgspec.Struct):
    """Both shapes in use: ``errorCode``/``message`` of DIS, ``error_code``/``error_msg`` of the API gateway."""

    dis_code: str | None = msgspec.field(name="errorCode", default=None)
    dis_message: str | None = msgspec.field(name="message", default=None)
    code: str | None = msgspec.field(name="error_code", default=None)
    message: str | None = msgspec.field(name="error_msg", default=None)
    request_id: str | None = None


_checkpoint_decoder = msgspec.json.Decoder(_CheckpointBody)
_state_decoder = msgspec.json.Decoder(_StateBody)
_error_decoder = msgspec.json.Decoder(_ErrorBody)
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def is_success(answer: HttpAnswer) -> bool:
    """Whether DIS has done what it was asked."""
    return 200 <= answer.status < 300


def doubt_in(answer: HttpAnswer) -> str:
    """Why a successful answer to a write is not to be believed; empty where it is, as DIS says nothing more then.

    A page of a proxy that wants a login comes with 200 too, and nothing was stored.
    """
    if not answer.body:
        return ""
    if answer.body.lstrip().startswith(b"<"):
        return "what answered is not DIS"
    try:
        body = msgspec.json.decode(answer.body)
    except _MALFORMED:
        return ""
    code = (body.get("errorCode") or body.get("error_code")) if isinstance(body, dict) else None
    return f"HTTP {answer.status} came with the error {_one_line(str(code))}" if code else ""


def checkpoint_from(answer: HttpAnswer, key: CheckpointKey) -> Checkpoint | None:
    """The checkpoint in a successful answer to a read; None where DIS says that there is none (``"-1"``).

    Raises :class:`InvalidUpstreamAnswer` for anything else: what cannot be understood is never taken for "none".
    """
    try:
        body = _checkpoint_decoder.decode(answer.body)
        number = str(body.sequence_number)
        if number == NO_CHECKPOINT:
            return None
        return Checkpoint(key, SequenceNumber.parse(number), body.metadata or body.other_metadata or "")
    except _MALFORMED as error:
        raise _invalid(answer, "is not the JSON of a checkpoint") from error
    except InvalidField as error:
        raise _invalid(answer, f"has a wrong value: {error.message}") from error


def partitions_from(answer: HttpAnswer, stream: str, app: str) -> PartitionPage:
    """The partitions in a successful answer to the consumer state call. Raises :class:`InvalidUpstreamAnswer`."""
    try:
        body = _state_decoder.decode(answer.body)
        return PartitionPage([_partition(one, stream, app) for one in body.partition_consuming_states], body.has_more)
    except _MALFORMED as error:
        raise _invalid(answer, "is not the JSON of a consumer state") from error
    except (InvalidField, ValueError) as error:
        raise _invalid(answer, f"has a wrong value: {error}") from error


def _partition(body: _PartitionBody, stream: str, app: str) -> PartitionState:
    number = str(body.sequence_number)
    return PartitionState(
        CheckpointKey(stream, app, str(body.partition_id)),
        None if number == NO_CHECKPOINT else SequenceNumber.parse(number),
        int(body.earliest_offset),
        int(body.latest_offset),
        body.status,
    )


def _invalid(answer: HttpAnswer, problem: str) -> InvalidUpstreamAnswer:
    metadata = {"http_status": str(answer.status)}
    if request_id := answer.headers.get("X-Request-Id"):
        metadata["dis_request_id"] = _one_line(request_id)
    return InvalidUpstreamAnswer(f"the answer of DIS {problem}; {hint('UPSTREAM_ENDPOINT_INVALID')}", metadata=metadata)


def says_not_committed_yet(answer: HttpAnswer) -> bool:
    """Whether this is the error by which DIS says that the app has no checkpoint yet."""
    return not is_success(answer) and _error_body(answer)[0] == NOT_COMMITTED_YET


def error_from(answer: HttpAnswer, hidden: tuple[str, ...] = ()) -> UpstreamError:
    """The error in an answer that is no success. Texts in ``hidden`` never get into its message.

    The code decides before the HTTP status; where there is no known code, the status does.
    """
    code, text, request_id = _error_body(answer)
    row = _row_for(code, text, answer.status)
    for secret in hidden:
        text = text.replace(secret, "(hidden)")
    metadata = {"http_status": str(answer.status)}
    if code:
        metadata["dis_error_code"] = _one_line(code)
    if request_id := request_id or answer.headers.get("X-Request-Id", ""):
        metadata["dis_request_id"] = _one_line(request_id)
    message = f"DIS answered {_one_line(code) or f'HTTP {answer.status}'}"
    if text:
        message += f": {_one_line(text).rstrip('. ')}"
    if to_do := hint(row.reason):
        message += f"; {to_do}"
    asked = _asked_to_wait(answer)
    return UpstreamError(
        message,
        status=row.status,
        reason=row.reason,
        retry_after=(DEFAULT_RETRY_AFTER if asked is None else asked) if row.retry is Retry.BACKOFF else None,
        asked_to_wait=asked or 0.0,
        date=answer.headers.get("Date", ""),
        metadata=metadata,
    )


def _error_body(answer: HttpAnswer) -> tuple[str, str, str]:
    """Code, message and request id; empty where the body has none or is no JSON (HTML from a proxy)."""
    try:
        body = _error_decoder.decode(answer.body)
    except _MALFORMED:
        return "", "", ""
    return body.dis_code or body.code or "", body.dis_message or body.message or "", body.request_id or ""


def _row_for(code: str, text: str, status: int) -> ErrorRow:
    row = ERRORS_BY_CODE.get(code)
    if row is None:
        return _row_for_status(status)
    if code == "DIS.4300" and "timestamp is expired" in text.lower():
        return _CLOCK_SKEW_ROW
    if code == "APIGW.0201" and status < 500:
        return _row_for_status(status)  # the same code for "backend unavailable" and for a request it refuses
    if code == NOT_COMMITTED_YET:
        return ErrorRow(code, status, text, Status.FAILED_PRECONDITION, "APP_WITHOUT_CHECKPOINT", Retry.NEVER)
    return row


def _row_for_status(status: int) -> ErrorRow:
    if status in (401, 441):
        return ERRORS_BY_CODE["DIS.4100"]
    if status == 403:
        return ERRORS_BY_CODE["APIGW.0302"]
    if status == 429:
        return ERRORS_BY_CODE["APIGW.0308"]
    if status >= 500 or status == 408:
        return ERRORS_BY_CODE["DIS.5000"]
    if status == 404 or status < 400:
        return ERRORS_BY_CODE["APIGW.0101"]
    return ERRORS_BY_CODE["DIS.4200"]


def _asked_to_wait(answer: HttpAnswer) -> float | None:
    text = answer.headers.get("Retry-After", "")
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_RETRY_AFTER)
    return None


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST_MESSAGE])
