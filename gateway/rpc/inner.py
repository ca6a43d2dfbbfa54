"""The inner parts of grpcio that calls without threads need, and such calls: what is known of its ``_server.py``."""

from __future__ import annotations

import importlib
import inspect
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from gateway.rpc.channels import Messages
from gateway.rpc.turns import Turns

log = structlog.get_logger("gateway.rpc")

_SIGNATURES = {
    "_unary_response_in_pool": "rpc_event state behavior argument_thunk request_deserializer response_serializer",
    "_stream_response_in_pool": "rpc_event state behavior argument_thunk request_deserializer response_serializer",
    "_receive_message": "state call request_deserializer",
    "_send_message": "state token",
    "_get_initial_metadata_operation": "state metadata",
    "_is_rpc_state_active": "state",
    "_status": "rpc_event state serialized_response",
    "_abort": "state call code details",
    "_Context": "rpc_event state request_deserializer",
}
_FIELDS = ("condition", "due", "request", "client", "initial_metadata_allowed", "trailing_metadata", "code", "details")
"""What is used of the state of a call."""
Ended = tuple[Any, Iterable[Callable[[], None]]]
"""What is told to grpcio when something has happened to a call: its state where it is over, and what to call then."""


@dataclass(frozen=True, slots=True)
class InnerParts:
    """What grpcio is made of; see its ``_server.py``. Of calls, their states and their events nothing more is known."""

    in_pool: Callable[..., None]
    streams_in_pool: Callable[..., None]
    receive: Callable[[Any, Any, None], Callable[[Any], Ended]]
    sent: Callable[[Any, str], Callable[[Any], Ended]]
    active: Callable[[Any], bool]
    status: Callable[[Any, Any, bytes | None], None]
    abort: Callable[[Any, Any, Any, bytes], None]
    context: Callable[[Any, Any, None], grpc.ServicerContext]
    metadata: Callable[[Any, None], Any]
    receipt: Callable[[int], Any]
    message: Callable[[bytes, int], Any]
    receive_token: str
    send_token: str
    cancelled: Any
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
        core.SendMessageOperation(b"", 0)
        return InnerParts(
            in_pool=server._unary_response_in_pool,
            streams_in_pool=server._stream_response_in_pool,
            receive=server._receive_message,
            sent=server._send_message,
            active=server._is_rpc_state_active,
            status=server._status,
            abort=server._abort,
            context=server._Context,
            metadata=server._get_initial_metadata_operation,
            receipt=core.ReceiveMessageOperation,
            message=core.SendMessageOperation,
            receive_token=server._RECEIVE_MESSAGE_TOKEN,
            send_token=server._SEND_MESSAGE_TOKEN,
            cancelled=server._CANCELLED,
            unknown=core.StatusCode.unknown,
        )
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        log.warning("grpc_not_known", version=grpc.__version__, problem=str(error))
        return None


class InnerCall:
    """A call whose end comes from here; see :class:`gateway.rpc.handlers.Ends`."""

    __slots__ = ("_event", "_parts", "_state", "context")

    def __init__(self, parts: InnerParts, event: Any, state: Any) -> None:
        self._parts = parts
        self._event = event
        self._state = state
        self.context: grpc.ServicerContext = parts.context(event, state, None)

    def fail(self, status: grpc.Status) -> None:
        state = self._state
        with state.condition:
            state.trailing_metadata = status.trailing_metadata
            state.code = status.code
            state.details = status.details.encode()
            self._parts.abort(state, self._event.call, self._parts.unknown, b"")


class InnerReply(InnerCall):
    """See :class:`gateway.rpc.handlers.Reply`."""

    __slots__ = ()

    def send(self, response: bytes) -> None:
        self._parts.status(self._event, self._state, response)


class InnerStream(InnerCall):
    """See :class:`gateway.rpc.channels.Channel`. Of messages to be sent, gRPC takes one after the other has left."""

    __slots__ = ("_messages", "_outgoing", "_received", "_sending", "_sent", "_turns")

    def __init__(self, parts: InnerParts, event: Any, state: Any, turns: Turns) -> None:
        super().__init__(parts, event, state)
        self._turns = turns
        self._messages: Messages | None = None
        self._received = parts.receive(state, event.call, None)
        self._sent = parts.sent(state, parts.send_token)
        self._outgoing: deque[bytes] = deque()
        self._sending = False

    @property
    def broken(self) -> bool:
        return self._state.client is self._parts.cancelled

    def begin(self, messages: Messages) -> None:
        """Have messages brought, to ``messages``."""
        self._messages = messages
        self.want()

    def want(self) -> None:
        self._turns.take(self._receive)

    def send(self, message: bytes) -> None:
        with self._state.condition:
            if self._sending:
                self._outgoing.append(message)
            else:
                self._send(message)

    def end(self) -> None:
        with self._state.condition:
            if self._parts.active(self._state):
                self._parts.status(self._event, self._state, None)

    def _receive(self) -> None:
        parts = self._parts
        self._start(lambda: (parts.receipt(0),), self._come, parts.receive_token)

    def _send_next(self) -> None:
        with self._state.condition:
            self._send(self._outgoing.popleft())

    def _send(self, message: bytes) -> None:
        parts, state = self._parts, self._state

        def operations() -> tuple[Any, ...]:
            sends = parts.message(message, 0)
            if not state.initial_metadata_allowed:
                return (sends,)
            state.initial_metadata_allowed = False
            return parts.metadata(state, None), sends

        self._sending = self._start(operations, self._leave, parts.send_token)

    def _start(self, operations: Callable[[], tuple[Any, ...]], tag: Callable[[Any], Ended], token: str) -> bool:
        """Have gRPC do something, unless the call is over; tells whether it does."""
        parts, state = self._parts, self._state
        with state.condition:
            if not parts.active(state):
                return False
            try:
                self._event.call.start_server_batch(operations(), tag)
            except Exception:
                log.exception("call_failed_unexpectedly")
                self.context.cancel()
                return False
            state.due.add(token)
            return True

    def _come(self, message: Any) -> Ended:
        """What grpcio does with a message; then take it, if the call is not over."""
        ended = self._received(message)
        data, self._state.request = self._state.request, None
        if self._messages is not None and ended[0] is None:
            self._tell(self._messages.came, data)
        return ended

    def _leave(self, event: Any) -> Ended:
        """One has left: the next one goes."""
        with self._state.condition:
            ended = self._sent(event)
            more = self._sending = bool(self._outgoing)
        if more:
            self._turns.take(self._send_next)
        if self._messages is not None:
            self._tell(self._messages.sent)
        return ended

    def _tell(self, event: Callable[..., None], *what: bytes | None) -> None:
        try:
            event(*what)
        except Exception:  # one call must not end the thread that looks after all
            log.exception("call_failed_unexpectedly")
            self.context.cancel()
