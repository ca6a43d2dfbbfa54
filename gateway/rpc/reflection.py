"""Server reflection on threads of its own: a client that keeps its stream open must not hold up checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gateway.errors import Overloaded
from gateway.rpc.handlers import THREADS, abort
from gateway.rpc.limits import CountingPool

_METHOD = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"

_REFLECTION_THREADS = 2
_STREAMS_MAX = 16
"""Streams that are open or wait for a thread; more are refused, so that they do not use up the server's calls."""


class _Symbols:
    """The pool of descriptors, which knows methods, but not in which file they are: ghz and others ask just that."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - the pool's name for it
        """Find the file that defines ``symbol``. Raises KeyError if none does."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


class Reflection:
    """Tells clients such as grpcurl what there is to call."""

    def __init__(self, services: Sequence[str]) -> None:
        self._servicer = reflection.ReflectionServicer(
            (*services, reflection.SERVICE_NAME), pool=_Symbols(descriptor_pool.Default())
        )
        self._pool = CountingPool(_REFLECTION_THREADS, _STREAMS_MAX, "reflection")
        self._refusing = ThreadPoolExecutor(1, thread_name_prefix="reflection-refusal")

    def handlers(self) -> grpc.GenericRpcHandler:
        """What ``grpc.Server`` takes."""

        def refuse(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            abort(context, Overloaded(f"{_STREAMS_MAX} streams of reflection are open", retry_after=1.0))

        def info(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            return self._servicer.ServerReflectionInfo(requests, context)  # type: ignore[no-any-return]

        setattr(info, THREADS, self._pool)
        setattr(refuse, THREADS, self._refusing)
        read = reflection_pb2.ServerReflectionRequest.FromString
        write = reflection_pb2.ServerReflectionResponse.SerializeToString
        return _Bounded(
            self._pool,
            grpc.stream_stream_rpc_method_handler(info, read, write),
            grpc.stream_stream_rpc_method_handler(refuse, read, write),
        )

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=True)
        self._refusing.shutdown(wait=True)


class _Bounded(grpc.GenericRpcHandler):
    def __init__(
        self, pool: CountingPool, answering: grpc.RpcMethodHandler[Any, Any], refusing: grpc.RpcMethodHandler[Any, Any]
    ) -> None:
        self._pool = pool
        self._answering = answering
        self._refusing = refusing

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a call; None where it is for others."""
        if handler_call_details.method != _METHOD:
            return None
        return self._refusing if self._pool.full else self._answering
