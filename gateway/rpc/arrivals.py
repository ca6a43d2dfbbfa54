"""Calls begin when their message is here, and need no thread of their own to be answered.

grpcio gives each call a thread, which waits for the message, and then until there is an answer: four times in the life
of a call one thread wakes another, and each time the interpreter goes from one to the other. Where its inner parts are
as they are known here, a call is looked at by the thread that brings its message: what is cached is answered there and
then, and what DIS must be asked for is answered by the thread that brings its answer. Where they are not, which the log
tells, calls take grpcio's own way.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from gateway.errors import Overloaded
from gateway.rpc.handlers import UnaryMethod
from gateway.rpc.pool import CallPool
from gateway.rpc.status import rpc_status

log = structlog.get_logger("gateway.rpc")

_SIGNATURES = {
    "_unary_response_in_pool": "rpc_event state behavior argument_thunk request_deserializer response_serializer",
    "_receive_message": "state call request_deserializer",
    "_status": "rpc_event state serialized_response",
    "_abort": "state call code details",
    "_Context": "rpc_event state request_deserializer",
}
_FIELDS = ("condition", "due", "request", "trailing_metadata", "code", "details")
"""What is used of the state of a call."""


@dataclass(frozen=True, slots=True)
class InnerParts:
    """What grpcio is made of; see its ``_server.py``."""

    in_pool: Callable[..., None]
    receive: Callable[[Any, Any, None], Callable[[Any], tuple[Any, Iterable[Callable[[], None]]]]]
    status: Callable[[Any, Any, bytes], None]
    abort: Callable[[Any, Any, Any, bytes], None]
    context: Callable[[Any, Any, None], grpc.ServicerContext]
    receipt: Callable[[int], Any]
    token: str
    unknown: Any


def inner_parts() -> InnerParts | None:
    """Those of this grpcio, where they are as they are known; else None, and the log tells what is not."""
    try:
        server = importlib.import_module("grpc._server")
        core = importlib.import_module("grpc._cython.cygrpc")
        for name, signature in _SIGNATURES.items():
            if " ".join(inspect.signature(getattr(server, name)).parameters) != signature:
                raise AttributeError(f"{name} takes something else")
        state = server._RPCState()
        for name in _FIELDS:
            getattr(state, name)
        core.ReceiveMessageOperation(0)
        return InnerParts(
            server._unary_response_in_pool,
            server._receive_message,
            server._status,
            server._abort,
            server._Context,
            core.ReceiveMessageOperation,
            server._RECEIVE_MESSAGE_TOKEN,
            core.StatusCode.unknown,
        )
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        log.warning("grpc_not_known", version=grpc.__version__, problem=str(error))
        return None


class _Reply:
    """See :class:`gateway.rpc.handlers.Reply`."""

    __slots__ = ("_event", "_parts", "_state", "context")

    def __init__(self, parts: InnerParts, event: Any, state: Any) -> None:
        self._parts = parts
        self._event = event
        self._state = state
        self.context: grpc.ServicerContext = parts.context(event, state, None)

    def send(self, response: bytes) -> None:
        self._parts.status(self._event, self._state, response)

    def fail(self, status: grpc.Status) -> None:
        state = self._state
        with state.condition:
            state.trailing_metadata = status.trailing_metadata
            state.code = status.code
            state.details = status.details.encode()
            self._parts.abort(state, self._event.call, self._parts.unknown, b"")


class Arrivals:
    """What grpcio takes for its threads: those of a pool are behind it.

    At most ``most`` calls wait for their message here; further ones do so in the pool, which may refuse them.
    """

    def __init__(self, parts: InnerParts, pool: CallPool, most: int) -> None:
        self._parts = parts
        self._pool = pool
        self._most = most
        self._coming = 0
        """calls whose message has not come; changed by the thread alone that looks after all events"""
        self._told = False

    def submit(self, run: Callable[..., object], /, *args: Any) -> Future[None] | None:
        """Begin a call. By the thread that looks after all events, with the lock of the call."""
        known = len(args) == 7 and args[0] is self._parts.in_pool and isinstance(args[3], UnaryMethod)
        if not known:
            self._tell()
        elif self._coming < self._most and self._expect(run, args):
            return None
        return self._pool.submit(run, *args)

    def _expect(self, run: Callable[..., object], args: tuple[Any, ...]) -> bool:
        """Begin a call when its message comes; tells whether that will be."""
        in_pool, event, state, method, *_ = args
        received = self._parts.receive(state, event.call, None)

        def come(message: Any) -> tuple[Any, Iterable[Callable[[], None]]]:
            """What grpcio does with a message; then begin the call, if it is not over."""
            self._coming -= 1
            ended = received(message)
            data, state.request = state.request, None
            if ended[0] is not None:
                return ended
            reply = _Reply(self._parts, event, state)
            if data is None:
                if self._has_room(reply):  # grpcio knows what to say
                    self._pool.submit(run, *args)
            elif not self._begun(method, data, reply):
                there = reply.context.is_active  # else nothing shall be done for it
                self._pool.submit(run, in_pool, event, state, method, lambda: data if there() else None, None, None)
            return ended

        try:
            event.call.start_server_batch((self._parts.receipt(0),), come)
        except Exception:  # one call must not end the thread that looks after all
            log.exception("call_failed_unexpectedly")
            return False
        state.due.add(self._parts.token)
        self._coming += 1
        return True

    def _has_room(self, reply: _Reply) -> bool:
        try:
            self._pool.room()
        except Overloaded as error:
            reply.fail(rpc_status(error))
            return False
        return True

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            log.warning("grpc_not_known", version=grpc.__version__, problem="it hands calls over in another way")

    @staticmethod
    def _begun(method: UnaryMethod[Any], data: bytes, reply: _Reply) -> bool:
        try:
            return method.arrived(data, reply)
        except Exception:
            log.exception("call_failed_unexpectedly")
            return False
