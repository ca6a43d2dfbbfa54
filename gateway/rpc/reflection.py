"""Server reflection on threads of its own: a client that keeps its stream open must not hold up checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gateway.rpc.handlers import THREADS

_REFLECTION_THREADS = 2


class _Symbols:
    """The default pool, which also finds methods: clients such as ghz ask for ``package.Service.Method``."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - the name that it has there
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


class Reflection:
    """Tells clients such as grpcurl what there is to call."""

    def __init__(self, services: Sequence[str]) -> None:
        self._servicer = reflection.ReflectionServicer((*services, reflection.SERVICE_NAME), _Symbols())
        self._pool = ThreadPoolExecutor(_REFLECTION_THREADS, thread_name_prefix="reflection")

    def handlers(self) -> grpc.GenericRpcHandler:
        """What ``grpc.Server`` takes."""

        def info(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            return self._servicer.ServerReflectionInfo(requests, context)  # type: ignore[no-any-return]

        setattr(info, THREADS, self._pool)
        read = reflection_pb2.ServerReflectionRequest.FromString
        write = reflection_pb2.ServerReflectionResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            reflection.SERVICE_NAME, {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(info, read, write)}
        )

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=True)
