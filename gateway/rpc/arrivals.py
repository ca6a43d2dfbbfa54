"""Calls begin when their message is here, and need no thread of their own to be answered.

grpcio gives each call a thread, which waits for the message, and then until there is an answer: four times in the life
of a call one thread wakes another, and each time the interpreter goes from one to the other. Where its inner parts are
as they are known here, a call is looked at by the thread that brings its message: what is cached is answered there and
then, and what DIS must be asked for is answered by the thread that brings its answer. So are the commits of a stream,
which would have two threads. Where they are not, which the log tells, calls take grpcio's own way.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import grpc
import structlog

from gateway.errors import GatewayError
from gateway.rpc.channels import StreamMethod
from gateway.rpc.handlers import UnaryMethod
from gateway.rpc.inner import Ended, InnerParts, InnerReply, InnerStream
from gateway.rpc.pool import CallPool
from gateway.rpc.status import rpc_status
from gateway.rpc.turns import Turns

log = structlog.get_logger("gateway.rpc")


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
        self._turns = Turns()

    def submit(self, run: Callable[..., None], /, *args: Any) -> Future[None] | None:
        """Begin a call. By the thread that looks after all events, with the lock of the call."""
        parts, begins, method = self._parts, args[0] if args else None, args[3] if len(args) == 7 else None
        if begins is parts.in_pool and isinstance(method, UnaryMethod):
            if self._coming < self._most and self._expect(run, args):
                return None
        elif begins is parts.streams_in_pool and isinstance(method, StreamMethod):
            self._open(method, *args[1:3])
            return None
        else:
            self._tell()
            for one in args:
                if isinstance(one, StreamMethod):
                    return one.threads.submit(run, *args)
        return self._pool.submit(run, *args)

    def close(self) -> None:
        """Let its thread go."""
        self._turns.close()

    def _open(self, method: StreamMethod, event: Any, state: Any) -> None:
        """Begin a stream."""
        channel = InnerStream(self._parts, event, state, self._turns)
        try:
            messages = method.opened(channel)
            if messages is not None:
                channel.begin(messages)
        except Exception:
            log.exception("call_failed_unexpectedly")
            channel.context.cancel()

    def _expect(self, run: Callable[..., object], args: tuple[Any, ...]) -> bool:
        """Begin a call when its message comes; tells whether that will be."""
        in_pool, event, state, method, *_ = args
        received = self._parts.receive(state, event.call, None)

        def come(message: Any) -> Ended:
            """What grpcio does with a message; then begin the call, if it is not over."""
            self._coming -= 1
            ended = received(message)
            data, state.request = state.request, None
            if ended[0] is not None:
                return ended
            reply = InnerReply(self._parts, event, state)
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
        state.due.add(self._parts.receive_token)
        self._coming += 1
        return True

    def _has_room(self, reply: InnerReply) -> bool:
        try:
            self._pool.room()
        except GatewayError as error:
            reply.fail(rpc_status(error))
            return False
        return True

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            log.warning("grpc_not_known", version=grpc.__version__, problem="it hands calls over in another way")

    @staticmethod
    def _begun(method: UnaryMethod[Any], data: bytes, reply: InnerReply) -> bool:
        try:
            return method.arrived(data, reply)
        except Exception:
            log.exception("call_failed_unexpectedly")
            return False
