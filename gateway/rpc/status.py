"""Errors become gRPC status here, once: code, message, and the details that programs read."""

from __future__ import annotations

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from gateway.errors import GatewayError, InvalidField, Status

DOMAIN = "disgateway.v1"
DETAILS_KEY = "grpc-status-details-bin"

_CODES = {status: grpc.StatusCode[status.name] for status in Status}


class RpcStatus(grpc.Status):
    """What ``ServicerContext.abort_with_status`` takes."""

    def __init__(self, code: grpc.StatusCode, message: str, details: bytes) -> None:
        self.code = code
        self.details = message
        self.trailing_metadata = ((DETAILS_KEY, details),)


def status_of(error: GatewayError) -> status_pb2.Status:
    """``google.rpc.Status`` with ``ErrorInfo`` always, ``RetryInfo`` and ``BadRequest`` where they apply."""
    code = _CODES[error.status]
    status = status_pb2.Status(code=code.value[0], message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo(retry_delay=duration(error.retry_after))
        status.details.add().Pack(retry)
    if isinstance(error, InvalidField):
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(field=error.field, description=error.problem)
        status.details.add().Pack(bad)
    return status


def rpc_status(error: GatewayError) -> RpcStatus:
    """The same as :func:`status_of`, ready for gRPC."""
    details = status_of(error).SerializeToString()
    return RpcStatus(_CODES[error.status], error.message, details)


def duration(seconds: float) -> Duration:
    """Seconds as the proto has them."""
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
