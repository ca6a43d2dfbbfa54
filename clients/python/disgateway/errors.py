"""Reads the status details that every error of the gateway carries.

A program decides by the reason. The status code says what kind of failure it is, and the message is for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "disgateway.v1"
"""The ErrorInfo domain of the gateway's own reasons."""

CHECKPOINT_REGRESSION = "CHECKPOINT_REGRESSION"
"""DIS has a higher number: ``metadata[EFFECTIVE_SEQUENCE_NUMBER]``."""
EFFECTIVE_SEQUENCE_NUMBER = "effective_sequence_number"
CONSUMER_FENCED = "CONSUMER_FENCED"
"""Another consumer has taken over this partition."""
COMMIT_OUTCOME_UNKNOWN = "COMMIT_OUTCOME_UNKNOWN"
"""The commit may be stored or not. Committing the same number again is safe."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Everything that an error says."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    """Empty where the error is not the gateway's own: the connection broke, or the caller's deadline has passed."""
    metadata: dict[str, str] = field(default_factory=dict)
    """``dis_error_code``, ``dis_request_id`` and ``http_status`` where DIS has answered with an error."""
    retry_after: float | None = None
    """Seconds to wait before the same call again; None where the gateway did not say."""
    fields: dict[str, str] = field(default_factory=dict)
    """The fields of the request that are wrong, and what is wrong with each."""

    @property
    def retryable(self) -> bool:
        """Whether the very same call may succeed later. All calls of the gateway may be sent twice."""
        codes = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        return self.retry_after is not None or self.code in codes

    def __str__(self) -> str:
        return " ".join(filter(None, (self.code.name, self.reason, self.message)))


def failure_of(error: grpc.RpcError) -> Failure:
    """What the error of a call says."""
    status = rpc_status.from_call(error)
    if status is None:
        return Failure(error.code(), error.details() or "")
    return failure_in(status)


def failure_in(status: status_pb2.Status) -> Failure:
    """What the status of one element of a batch or stream says."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    reason, metadata, retry_after = "", {}, None
    for detail in status.details:
        # A proxy in between may answer with reasons of its own.
        if detail.Unpack(info) and info.domain == DOMAIN:
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        else:
            detail.Unpack(bad)
    fields = {violation.field: violation.description for violation in bad.field_violations}
    return Failure(code, status.message, reason, metadata, retry_after, fields)
