"""A full gateway says so with details, on threads of its own: gRPC's own refusal has none, and no reason to act on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc

from gateway.errors import Overloaded
from gateway.rpc.calls import CallsOf, MethodCalls, unseen
from gateway.rpc.handlers import THREADS, MethodTable, abort
from gateway.rpc.pool import CallPool

_THREADS = 2
_RETRY_SECONDS = 1.0


class Refusal:
    """Looks at each call before it gets a thread: where ``pool`` is full, the call is ``GATEWAY_OVERLOADED``."""

    def __init__(self, pool: CallPool, most: int, calls_of: CallsOf = unseen) -> None:
        self._pool = pool
        self._calls_of = calls_of
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="refusal")
        self._error = Overloaded(f"{most} calls are under way, and no more are taken", retry_after=_RETRY_SECONDS)

    def guarded(self, service: str, methods: MethodTable, streams: MethodTable | None = None) -> grpc.GenericRpcHandler:
        """What ``grpc.Server`` takes. ``streams`` have limits and threads of their own, and are let through."""
        refusing = {name: self._refusing(self._calls_of(name)) for name in methods}
        return _Guarded(self._pool, *(_by_path(service, table) for table in (methods, refusing, streams or {})))

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=True)

    def _refusing(self, calls: MethodCalls) -> grpc.RpcMethodHandler[bytes, bytes]:
        def refuse(data: bytes, context: grpc.ServicerContext) -> bytes:
            metadata = context.invocation_metadata()
            calls.failed(0.0, self._error, "", metadata, calls.began(metadata) if calls.traced else None, "")
            abort(context, self._error)

        setattr(refuse, THREADS, self._threads)
        return grpc.unary_unary_rpc_method_handler(refuse)


class _Guarded(grpc.GenericRpcHandler):
    def __init__(self, pool: CallPool, methods: MethodTable, refusing: MethodTable, streams: MethodTable) -> None:
        self._pool = pool
        self._methods = methods
        self._refusing = refusing
        self._streams = streams

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of a call; None where there is no such method here."""
        path = handler_call_details.method
        handler = self._methods.get(path)
        if handler is None:
            return self._streams.get(path)
        return self._refusing[path] if self._pool.full else handler


def _by_path(service: str, table: MethodTable) -> MethodTable:
    return {f"/{service}/{name}": handler for name, handler in table.items()}
