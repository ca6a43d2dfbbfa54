"""Around every method, once: take the bytes apart, find the deadline, turn an error into a status."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NoReturn, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from gateway.checkpoints.service import Caller
from gateway.errors import GatewayError, InvalidField, MessageTooLarge
from gateway.rpc.admission import Admit, Permit, anybody
from gateway.rpc.status import rpc_status

Request = TypeVar("Request", bound=Message)
MethodTable = dict[str, "grpc.RpcMethodHandler[bytes, Message]"]

THREADS = "experimental_thread_pool"
"""The attribute of a method by which grpcio finds threads other than those of the server."""
DEFAULT_TIMEOUT = 30.0
"""Seconds that a call may take where the caller set no deadline."""

log = structlog.get_logger("gateway.rpc")


def unary(
    method: Callable[[Request, Caller, Permit], Message],
    kind: type[Request],
    max_message: int,
    clock: Callable[[], float],
    admit: Admit = anybody,
) -> grpc.RpcMethodHandler[bytes, Message]:
    """A handler that answers with ``method``'s response, or with the status of the error that it raised.

    ``admit`` says first who calls, and what they may do. The request is taken as bytes, so that one which is too large
    or broken gets an answer with details as well.
    """

    def call(data: bytes, context: grpc.ServicerContext) -> Message:
        try:
            permit = admit(context)
            request = parsed(data, kind, max_message)
            return method(request, Caller(clock() + _time_left(context), context.add_callback), permit)
        except GatewayError as error:
            abort(context, error)
        except Exception:
            log.exception("call_failed_unexpectedly", method=kind.DESCRIPTOR.name)
            abort(context, GatewayError("the gateway failed unexpectedly; its log has more"))

    return grpc.unary_unary_rpc_method_handler(
        call, request_deserializer=None, response_serializer=lambda message: message.SerializeToString()
    )


def abort(context: grpc.ServicerContext, error: GatewayError) -> NoReturn:
    """End a call with an error and its details."""
    context.abort_with_status(rpc_status(error))
    raise AssertionError("abort_with_status raises")


def _time_left(context: grpc.ServicerContext) -> float:
    left = context.time_remaining()
    return DEFAULT_TIMEOUT if left is None or math.isinf(left) else left


def parsed(data: bytes, kind: type[Request], max_message: int) -> Request:
    """A message from its bytes. Raises :class:`MessageTooLarge` or :class:`InvalidField`."""
    if len(data) > max_message:
        raise MessageTooLarge(f"the request has {len(data)} bytes; at most {max_message} are taken")
    try:
        return kind.FromString(data)
    except DecodeError:
        raise InvalidField("request", f"is not a valid {kind.DESCRIPTOR.full_name}") from None
