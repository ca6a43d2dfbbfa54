"""Around every method, once: take the bytes apart, find the deadline, turn an error into a status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NoReturn, Protocol, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from gateway.checkpoints.waits import Caller
from gateway.checkpoints.work import Result
from gateway.errors import GatewayError, InvalidField, MessageTooLarge, unexpected
from gateway.rpc.admission import Admit, Permit, anybody, name_of
from gateway.rpc.calls import MethodCalls
from gateway.rpc.deadlines import Deadlines
from gateway.rpc.pool import CallPool
from gateway.rpc.status import rpc_status
from gateway.trace import Trace

Request = TypeVar("Request", bound=Message)
MethodTable = dict[str, "grpc.RpcMethodHandler[bytes, bytes]"]
Quick = Callable[[bytes, Permit, float], bytes | None]
"""Answers a request, whose time is on the service's clock, without waiting; None where it cannot."""

THREADS = "experimental_thread_pool"
"""The attribute of a method by which grpcio finds threads other than those of the server."""
DEFAULT_TIMEOUT = 30.0
"""Seconds that a call may take where the caller set no deadline."""
_NEVER = 10 * 365 * 86_400.0
"""What gRPC gives as the time left where there is no deadline is beyond this."""
_ON_ITS_WAY = 0.05
"""Seconds before the caller's deadline by which its answer leaves, so that it hears more than that time is over, though
hundreds may end together. A tenth of its time where that is less, which is enough for those that end alone."""
_ABOUT_BYTES = 4096
"""Requests that are longer are not taken apart for that."""
_ABOUT_MAX = 300
"""Characters of what a call was about that get into the log."""

log = structlog.get_logger("gateway.rpc")


class Ends(Protocol):
    """The end of a call, which comes once, by any thread. Where the caller has gone, nothing happens."""

    context: grpc.ServicerContext

    def fail(self, status: grpc.Status) -> None:
        """End it with a status."""
        ...


class Reply(Ends, Protocol):
    """The one answer to a call."""

    def send(self, response: bytes) -> None:
        """End the call well."""
        ...


class Asked(Protocol):
    """A call that has begun. ``deadline`` is on the service's clock, in seconds."""

    deadline: float
    trace: Trace | None

    def answered(self, result: Result) -> None:
        """To be called once, by any thread, with how it ended."""
        ...


@dataclass(frozen=True, slots=True)
class Work(Generic[Request]):
    """How a method does its work without holding a thread.

    ``read`` gives what starts it, or raises what is wrong with a request. That returns what gives up the wait.
    ``told`` makes the bytes of an answer from a result, or raises the error that it is. All wait for nothing.
    """

    read: Callable[[Request, Permit], Callable[[Asked], Callable[[], None]]]
    told: Callable[[Result], bytes]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the methods of a server have in common. ``max_message`` in bytes, ``clock`` in seconds."""

    max_message: int
    clock: Callable[[], float]
    pool: CallPool
    deadlines: Deadlines


class UnaryMethod(Generic[Request]):
    """Answers with ``method``'s response (or its bytes), or with the status of the error that it raised.

    ``admit`` says first who calls, and what they may do. The request is taken as bytes, so that one which is too large
    or broken gets an answer with details as well. Here, and not in an interceptor, which would cost more, ``calls``
    hears of each call. ``quick`` is asked before all else.

    A call comes to :meth:`arrived`, where gRPC lets it; what ``quick`` does not know is begun there as ``work``, where
    the method has some. What was not begun there, a thread of the pool calls.
    """

    def __init__(
        self,
        shared: Shared,
        method: Callable[[Request, Caller, Permit], Message | bytes],
        kind: type[Request],
        calls: MethodCalls,
        admit: Admit = anybody,
        quick: Quick | None = None,
        work: Work[Request] | None = None,
    ) -> None:
        self._shared = shared
        self._method = method
        self._kind = kind
        self._calls = calls
        self._admit = admit
        self._quick = quick
        self._work = work

    def handler(self) -> grpc.RpcMethodHandler[bytes, bytes]:
        """For a server."""
        return grpc.unary_unary_rpc_method_handler(self, request_deserializer=None, response_serializer=None)

    def __call__(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer a call, in a thread of the pool."""
        shared, calls = self._shared, self._calls
        clock, began = shared.clock, shared.clock()
        trace: Trace | None = None
        request: Request | None = None
        permit: Permit | None = None
        try:
            if calls.traced:
                trace = calls.began(context.invocation_metadata())
            permit = self._admit(context)
            known = self._known(data, permit)
            if known is not None:
                calls.ended(clock() - began, trace, _about_bytes(data, self._kind) if calls.traced else "")
                return known
            shared.pool.check()
            request = parsed(data, self._kind, shared.max_message)
            caller = Caller(clock() + _time_left(context), context.add_callback, trace, shared.pool.waiting)
            answer = self._method(request, caller, permit)
            response = answer if isinstance(answer, bytes) else answer.SerializeToString()
        except GatewayError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 — its traceback goes into the log
            error = unexpected(failure)
        else:
            calls.ended(clock() - began, trace, about(request) if calls.traced else "")
            return response
        what = self._about(data, request, permit)
        calls.failed(clock() - began, error, what, context.invocation_metadata(), trace, name_of(permit))
        return abort(context, error)

    def arrived(self, data: bytes, reply: Reply) -> bool:
        """Begin a call, by the thread that brings its message: without waiting for anything, and without raising.

        Tells whether it was answered, or will be. Where not, it is as if it had not come, and it needs a thread.
        """
        calls, work, clock = self._calls, self._work, self._shared.clock
        began = clock()
        trace: Trace | None = None
        request: Request | None = None
        permit: Permit | None = None
        try:
            if calls.traced:
                if work is None:  # it could be seen twice
                    self._shared.pool.room()
                    return False
                trace = calls.began(reply.context.invocation_metadata())
            permit = self._admit(reply.context)
            known = self._known(data, permit)
            if known is not None:
                calls.ended(clock() - began, trace, _about_bytes(data, self._kind) if calls.traced else "")
                reply.send(known)
                return True
            if work is None:
                self._shared.pool.room()
                return False
            request = parsed(data, self._kind, self._shared.max_message)
            start = work.read(request, permit)
            _Call(self._shared, calls, reply, began, trace, permit, request, work.told).begin(start)
        except Exception as failure:  # noqa: BLE001 — its traceback goes into the log
            what = self._about(data, request, permit)
            fail(reply, calls, failure, clock() - began, what, trace, permit)
        return True

    def _about(self, data: bytes, request: Request | None, permit: Permit | None) -> str:
        """What a call that failed was about, as far as it was understood, and nothing of whose caller is not known."""
        return _about_bytes(data, self._kind) if request is None and permit is not None else about(request)

    def _known(self, data: bytes, permit: Permit) -> bytes | None:
        """The answer to what needs nothing but the cache."""
        if self._quick is None or len(data) > self._shared.max_message:
            return None
        return self._quick(data, permit, self._shared.clock())  # who comes in may have taken time


def fail(
    reply: Ends,
    calls: MethodCalls,
    failure: Exception,
    seconds: float | None,
    what: str,
    trace: Trace | None,
    permit: Permit | None,
) -> None:
    """Answer with an error. Does not raise: others wait for this thread."""
    error = failure if isinstance(failure, GatewayError) else unexpected(failure)
    try:
        calls.failed(seconds, error, what, reply.context.invocation_metadata(), trace, name_of(permit))
    except Exception:  # whoever counts must not cost a caller its answer
        log.exception("call_failed_unexpectedly")
    try:
        reply.fail(rpc_status(error))
    except Exception:
        log.exception("call_failed_unexpectedly")
        reply.context.cancel()


@dataclass(slots=True, eq=False)
class _Call(Generic[Request]):
    """A call that waits for its answer without a thread."""

    _shared: Shared
    _calls: MethodCalls
    _reply: Reply
    _began: float
    trace: Trace | None
    _permit: Permit
    _request: Request
    _told: Callable[[Result], bytes]
    deadline: float = field(init=False)
    step: int = field(init=False)
    _leave: Callable[[], None] | None = field(init=False, default=None)
    _over: bool = field(init=False, default=False)
    _left: bool = field(init=False, default=False)
    """whether its caller went away before its time"""
    _answered: bool = field(init=False, default=False)
    """what ``Deadlines.remove`` has told, for those who need not know it exactly"""

    def begin(self, start: Callable[[Asked], Callable[[], None]]) -> None:
        """Have the work begun. Raises what is wrong, and the call is not answered; nothing if it was meanwhile."""
        shared, context = self._shared, self._reply.context
        self.deadline = shared.clock() + _time_left(context)
        shared.pool.begin()
        try:
            shared.deadlines.add(self)
        except BaseException:
            shared.pool.end()
            raise
        try:
            if context.add_callback(self._gone) is False:
                self._over = self._left = True
            leave = start(self)
        except Exception:
            if self._wait_no_more():
                raise
            return
        self._leave = leave
        if self._over:  # it could not be given up before
            leave()

    def _gone(self) -> None:
        """Its caller has gone, or it is answered."""
        if not self._answered:
            self._left = self._shared.clock() < self.deadline
            self.give_up()

    def give_up(self) -> None:
        """Its caller has gone, or its time is over; it may just have been answered."""
        self._over = True
        leave = self._leave
        if leave is not None:
            leave()

    def answered(self, result: Result) -> None:
        """See :class:`Asked`."""
        if not self._wait_no_more():  # it failed when it had begun
            return
        calls = self._calls
        if self._left:  # it hears nothing, however it ended
            seconds = self._shared.clock() - self._began
            calls.ended(seconds, self.trace, about(self._request) if calls.traced else "", cancelled=True)
            return
        if isinstance(result, GatewayError):  # not raised: what is raised keeps the calls that it went through
            self._failed(result)
            return
        try:
            response = self._told(result)
            calls.ended(self._shared.clock() - self._began, self.trace, about(self._request) if calls.traced else "")
            self._reply.send(response)
        except Exception as failure:  # noqa: BLE001 — its traceback goes into the log
            self._failed(failure)

    def _failed(self, failure: Exception) -> None:
        seconds = self._shared.clock() - self._began
        fail(self._reply, self._calls, failure, seconds, about(self._request), self.trace, self._permit)

    def _wait_no_more(self) -> bool:
        """Tells whether it did: there is one answer, whoever comes with one."""
        if not self._shared.deadlines.remove(self):
            return False
        self._answered = True
        self._shared.pool.end()
        return True


def abort(context: grpc.ServicerContext, error: GatewayError) -> NoReturn:
    """End a call with an error and its details."""
    status = rpc_status(error)
    # what was raised keeps the calls that it went through, and those keep it, until the collector finds them all
    error.__traceback__ = error.__cause__ = error.__context__ = None
    context.abort_with_status(status)
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
