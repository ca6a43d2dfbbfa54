"""A full gateway says so with details, on threads of its own: gRPC's own refusal has none, and no reason to act on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.message import Message

from gateway.errors import Overloaded
from gateway.rpc.handlers import THREADS, MethodTable, abort
from gateway.rpc.limits import CountingPool

_THREADS = 2
_RETRY_SECONDS = 1.0


class Refusal:
    """Looks at each call before it gets a thread: where ``pool`` is full, the call is ``GATEWAY_OVERLOADED``."""

    def __init__(self, pool: CountingPool, most: int) -> None:
        self._pool = pool
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="refusal")
        error = Overloaded(f"{most} calls are under way, and no more are taken", retry_after=_RETRY_SECONDS)

        def refuse(data: bytes, context: grpc.ServicerContext) -> Message:
            abort(context, error)

        setattr(refuse, THREADS, self._threads)
        self._refusing: grpc.RpcMethodHandler[bytes, Message] = grpc.unary_unary_rpc_method_handler(refuse)

    def guarded(self, service: str, methods: MethodTable, streams: MethodTable | None = None) -> grpc.GenericRpcHandler:
        """What ``grpc.Server`` takes. ``streams`` have limits and threads of their own, and are let through."""
        return _Guarded(self._pool, self._refusing, service, methods, streams or {})

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=True)


class _Guarded(grpc.GenericRpcHandler):
    def __init__(
        self,
        pool: CountingPool,
        refusing: grpc.RpcMethodHandler[bytes, Message],
        service: str,
        methods: MethodTable,
        streams: MethodTable,
    ) -> None:
        self._pool = pool
        self._refusing = refusing
        self._methods = {f"/{service}/{name}": handler for name, handler in methods.items()}
        self._streams = {f"/{service}/{name}": handler for name, handler in streams.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, Message] | None:
        """The handler of a call; None where there is no such method here."""
        handler = self._methods.get(handler_call_details.method)
        if handler is None:
            return self._streams.get(handler_call_details.method)
        return self._refusing if self._pool.full else handler
