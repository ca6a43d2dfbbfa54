"""Around every method, once: take the bytes apart, find the deadline, turn an error into a status."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from gateway.checkpoints.waits import Caller
from gateway.errors import GatewayError, InvalidField, MessageTooLarge, unexpected
from gateway.rpc.admission import Admit, Permit, anybody, name_of
from gateway.rpc.calls import MethodCalls
from gateway.rpc.status import rpc_status
from gateway.trace import Trace

Request = TypeVar("Request", bound=Message)
MethodTable = dict[str, "grpc.RpcMethodHandler[bytes, bytes]"]
Waiting = Callable[[], AbstractContextManager[None]]
Quick = Callable[[bytes, Permit, float], bytes | None]
"""Answers a request, whose time is on the service's clock, without waiting; None where it cannot."""

THREADS = "experimental_thread_pool"
"""The attribute of a method by which grpcio finds threads other than those of the server."""
DEFAULT_TIMEOUT = 30.0
"""Seconds that a call may take where the caller set no deadline."""
_NEVER = 10 * 365 * 86_400.0
"""What gRPC gives as the time left where there is no deadline is beyond this."""
_ON_ITS_WAY = 0.02
"""Seconds before the caller's deadline by which its answer leaves, so that it hears more than that time is over."""
_ABOUT_BYTES = 4096
"""Requests that are longer are not taken apart for that."""
_ABOUT_MAX = 300
"""Characters of what a call was about that get into the log."""


def unary(
    method: Callable[[Request, Caller, Permit], Message | bytes],
    kind: type[Request],
    max_message: int,
    clock: Callable[[], float],
    calls: MethodCalls,
    admit: Admit = anybody,
    waiting: Waiting = nullcontext,
    quick: Quick | None = None,
    check: Callable[[], None] = lambda: None,
) -> grpc.RpcMethodHandler[bytes, bytes]:
    """A handler that answers with ``method``'s response (or its bytes), or with the status of the error it raised.

    ``admit`` says first who calls, and what they may do. The request is taken as bytes, so that one which is too large
    or broken gets an answer with details as well. Here, and not in an interceptor, which would cost more, ``calls``
    hears of each call. ``check`` raises where it is to be refused, ``quick`` is asked before all else, and ``waiting``
    surrounds the time in which a caller waits for DIS.
    """

    def call(data: bytes, context: grpc.ServicerContext) -> bytes:
        began = clock()
        trace: Trace | None = None
        request: Message | None = None
        permit: Permit | None = None
        try:
            if calls.traced:
                trace = calls.began(context.invocation_metadata())
            check()
            permit = admit(context)
            now = clock()  # who comes in may have taken time
            if quick is not None and len(data) <= max_message and (known := quick(data, permit, now)) is not None:
                calls.ended(clock() - began, trace, _about_bytes(data, kind) if calls.traced else "")
                return known
            request = parsed(data, kind, max_message)
            caller = Caller(clock() + _time_left(context), context.add_callback, trace, waiting)
            answer = method(request, caller, permit)
            response = answer if isinstance(answer, bytes) else answer.SerializeToString()
        except GatewayError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 — its traceback goes into the log
            error = unexpected(failure)
        else:
            calls.ended(clock() - began, trace, about(request) if calls.traced else "")
            return response
        what = _about_bytes(data, kind) if request is None and permit is not None else about(request)
        calls.failed(clock() - began, error, what, context.invocation_metadata(), trace, name_of(permit))
        abort(context, error)

    return grpc.unary_unary_rpc_method_handler(call, request_deserializer=None, response_serializer=None)


def abort(context: grpc.ServicerContext, error: GatewayError) -> NoReturn:
    """End a call with an error and its details."""
    context.abort_with_status(rpc_status(error))
    raise AssertionError("abort_with_status raises")


def about(request: Message | None) -> str:
    """What a request is about, for the log: as it came, so shown with care."""
    named = getattr(request, "key", request)
    parts = [getattr(named, field, "") for field in ("stream_name", "app_name", "partition_id")]
    text = "/".join(part for part in parts if part)[:_ABOUT_MAX]
    return text if text.isprintable() else ascii(text)


def _about_bytes(data: bytes, kind: type[Message]) -> str:
    try:
        return about(kind.FromString(data)) if len(data) <= _ABOUT_BYTES else ""
    except DecodeError:
        return ""


def _time_left(context: grpc.ServicerContext) -> float:
    left = context.time_remaining()
    if left is None or left > _NEVER:
        return DEFAULT_TIMEOUT
    return left - min(_ON_ITS_WAY, left / 10)


def parsed(data: bytes, kind: type[Request], max_message: int) -> Request:
    """A message from its bytes. Raises :class:`MessageTooLarge` or :class:`InvalidField`."""
    if len(data) > max_message:
        raise MessageTooLarge(f"the request has {len(data)} bytes; at most {max_message} are taken")
    try:
        return kind.FromString(data)
    except DecodeError:
        raise InvalidField("request", f"is not a valid {kind.DESCRIPTOR.full_name}") from None
