"""Reads the status details that every error of the gateway carries.

A program decides by the reason. The status code says what kind of failure it is, and the message is for people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "disgateway.v1"
"""The ErrorInfo domain of the gateway's own reasons."""

CHECKPOINT_REGRESSION = "CHECKPOINT_REGRESSION"
"""DIS has a higher number: ``metadata[EFFECTIVE_SEQUENCE_NUMBER]``."""
EFFECTIVE_SEQUENCE_NUMBER = "effective_sequence_number"
CONSUMER_FENCED = "CONSUMER_FENCED"
"""Another consumer has taken over this partition."""
CONSUMER_GROUP_REBALANCING = "CONSUMER_GROUP_REBALANCING"
"""Rejoin the group before the next commit."""
COMMIT_OUTCOME_UNKNOWN = "COMMIT_OUTCOME_UNKNOWN"
"""The commit may be stored or not. Committing the same number again is safe."""
DELETE_OUTCOME_UNKNOWN = "DELETE_OUTCOME_UNKNOWN"
"""The checkpoint may be gone or not. Deleting it again is safe."""
DEADLINE_TOO_SHORT = "DEADLINE_TOO_SHORT"
"""The call had too little time left, so nothing was sent to DIS."""

_UNKNOWN_OUTCOMES = (COMMIT_OUTCOME_UNKNOWN, DELETE_OUTCOME_UNKNOWN)
_PASSING_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


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
    """Seconds to wait before the same call again; None where there is no RetryInfo."""
    fields: tuple[tuple[str, str], ...] = ()
    """The fields of the request that are wrong, each with what is wrong with it."""
    by_caller: bool = False
    """The caller has cancelled the call itself, or the error has no status."""

    @classmethod
    def from_error(cls, error: grpc.RpcError) -> Failure:
        """What the error of a call says. Details that cannot be read are left out."""
        if not isinstance(error, (grpc.Call, grpc.aio.AioRpcError)):
            return cls(grpc.StatusCode.UNKNOWN, str(error), by_caller=True)
        code, message = error.code() or grpc.StatusCode.UNKNOWN, error.details() or ""
        for name, value in error.trailing_metadata() or ():
            if name == "grpc-status-details-bin":
                try:
                    status = status_pb2.Status.FromString(value)
                    if status.code == code.value[0]:
                        return cls._read(code, message, status.details)
                except DecodeError:
                    pass
        return cls(code, message, by_caller=isinstance(error, grpc.Future) and error.cancelled())

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> Failure:
        """What the status of one element of a batch or stream says."""
        code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
        try:
            return cls._read(code, status.message, status.details)
        except DecodeError:
            return cls(code, status.message)

    @classmethod
    def _read(cls, code: grpc.StatusCode, message: str, details: Iterable[Any]) -> Failure:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        bad = error_details_pb2.BadRequest()
        reason, metadata, retry_after = "", {}, None
        for detail in details:
            if detail.Unpack(info):
                if info.domain == DOMAIN:  # a proxy in between may answer with reasons of its own
                    reason, metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(retry):
                retry_after = max(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9, 0.0)
            else:
                detail.Unpack(bad)
        fields = tuple((violation.field, violation.description) for violation in bad.field_violations)
        return cls(code, message, reason, metadata, retry_after, fields)

    @property
    def retryable(self) -> bool:
        """Whether the very same call may succeed later. All calls of the gateway may be sent twice."""
        if self.retry_after is not None or self.reason in (*_UNKNOWN_OUTCOMES, DEADLINE_TOO_SHORT):
            return True
        return not self.reason and not self.by_caller and self.code in _PASSING_CODES

    @property
    def outcome_unknown(self) -> bool:
        """Whether a write may have been carried out all the same. An error without a reason does not say."""
        return self.code is not grpc.StatusCode.OK and (not self.reason or self.reason in _UNKNOWN_OUTCOMES)

    @property
    def advice(self) -> str:
        """What it means for a consumer that has committed; empty where the message says it all."""
        number = self.metadata.get(EFFECTIVE_SEQUENCE_NUMBER, "")
        return {
            CHECKPOINT_REGRESSION: f"another consumer has this partition, and has committed {number}",
            CONSUMER_FENCED: "another consumer has taken over this partition",
            CONSUMER_GROUP_REBALANCING: "rejoin the consumer group, then read the checkpoint anew",
        }.get(self.reason, "")

    def __str__(self) -> str:
        """One line for a log."""
        fields = "".join(f" [{name} {problem}]" for name, problem in self.fields if name not in self.message)
        names = ("dis_error_code", "dis_request_id")
        known = "".join(f" ({name} {self.metadata[name]})" for name in names if self.metadata.get(name))
        text = f"{self.code.name} {self.reason}".rstrip() + f": {self.message}{fields}{known}"
        return " ".join(text.split())  # a proxy's message may have several lines
