"""``grpc.health.v1`` on threads of its own: a slow DIS that holds all others must not look like a dead gateway."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from gateway.rpc.handlers import THREADS

_PROBE_THREADS = 8


class Probes:
    """Says of each service whether it serves. ``ready`` is asked for each look; watchers hear of it then as well."""

    def __init__(self, services: list[str], ready: Callable[[], bool]) -> None:
        self._services = ["", *services]
        self._ready = ready
        self._told: bool | None = None
        self._telling = threading.Lock()
        self._servicer = health.HealthServicer()
        self._pool = ThreadPoolExecutor(_PROBE_THREADS, thread_name_prefix="health")

    def handlers(self) -> grpc.GenericRpcHandler:
        """What ``grpc.Server`` takes."""

        def check(request: Any, context: grpc.ServicerContext) -> Any:
            self._tell(self._ready())
            return self._servicer.Check(request, context)

        def watch(request: Any, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
            self._servicer.Watch(request, context, send)

        for behavior in (check, watch):
            setattr(behavior, THREADS, self._pool)
        watch.experimental_non_blocking = True  # type: ignore[attr-defined]
        read, write = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            health.SERVICE_NAME,
            {
                "Check": grpc.unary_unary_rpc_method_handler(check, read, write),
                "Watch": grpc.unary_stream_rpc_method_handler(watch, read, write),
            },
        )

    def serving(self) -> None:
        """Calls are taken from now on."""
        self._tell(self._ready())

    def _tell(self, serves: bool) -> None:
        with self._telling:
            if serves is self._told:
                return
            self._told = serves
            status = health_pb2.HealthCheckResponse.SERVING if serves else health_pb2.HealthCheckResponse.NOT_SERVING
            for name in self._services:
                self._servicer.set(name, status)  # which changes nothing after `stopping`

    def stopping(self) -> None:
        """Clients shall go: from now on nothing serves."""
        self._servicer.enter_graceful_shutdown()

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=True)
