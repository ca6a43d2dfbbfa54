"""The limit of the library: a bare grpcio server with 4 threads that answers each call with its request.

Registered in the two ways in which generated code does it, and without anything else.

    python -m bench.echo 127.0.0.1:0

and with --arrivals in the gateway's way of calls, with bytes that nobody parses: what the gateway's own limit is.

    python -m bench.echo 127.0.0.1:0 --arrivals

With --together 20 those who call wait for each other, as callers of one key do, and 20 ms more, as for DIS: what the
library leaves of the best that any lane could do.

    python -m bench.echo 127.0.0.1:0 --together 20
"""

from __future__ import annotations

import argparse
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import grpc

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.rpc.arrivals import Arrivals
from gateway.rpc.calls import Unseen
from gateway.rpc.deadlines import Deadlines
from gateway.rpc.handlers import Shared, UnaryMethod
from gateway.rpc.inner import inner_parts
from gateway.rpc.pool import CallPool

Request = TypeVar("Request")
THREADS = 4
TOGETHER = 64
"""So many callers wait for each other."""
_WAITING, _MOST = 128, 1000


class Together:
    """Lets callers go at once, ``seconds`` after ``TOGETHER`` of them are here, or after the first waited that long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._changed = threading.Condition()
        self._here: list[threading.Event] = []
        threading.Thread(target=self._run, daemon=True).start()

    def answer(self, request: Request, context: grpc.ServicerContext) -> Request:
        """Give the request back when the caller is let go."""
        mine = threading.Event()
        with self._changed:
            self._here.append(mine)
            if len(self._here) in (1, TOGETHER):
                self._changed.notify()
        mine.wait()
        return request

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._here)
                self._changed.wait_for(lambda: len(self._here) >= TOGETHER, self._seconds)
                all_here, self._here = self._here, []
            time.sleep(self._seconds)
            for one in all_here:
                one.set()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--arrivals", action="store_true")
    parser.add_argument("--together", type=float, metavar="MS")
    options = parser.parse_args()
    threads, method = _arrivals() if options.arrivals else _plain(options.together)
    server = grpc.server(threads)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Get": method}),))
    server.add_registered_method_handlers("bench.Echo", {"Get": method})
    port = server.add_insecure_port(options.address)
    server.start()
    print(options.address if options.address.startswith("unix:") else f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


def _plain(together: float | None) -> tuple[ThreadPoolExecutor, grpc.RpcMethodHandler[Any, Any]]:
    method = grpc.unary_unary_rpc_method_handler(
        (lambda request, context: request) if together is None else Together(together / 1000).answer,
        request_deserializer=pb.GetCheckpointRequest.FromString,
        response_serializer=pb.GetCheckpointRequest.SerializeToString,
    )
    return ThreadPoolExecutor(THREADS if together is None else TOGETHER), method


def _arrivals() -> tuple[ThreadPoolExecutor, grpc.RpcMethodHandler[Any, Any]]:
    parts, pool = inner_parts(), CallPool(_WAITING, _MOST, "echo")
    if parts is None:
        raise SystemExit("this grpcio is not known to the gateway")
    method: UnaryMethod[pb.GetCheckpointRequest] = UnaryMethod(
        Shared(1 << 20, time.monotonic, pool, Deadlines(time.monotonic)),
        lambda request, caller, permit: request,
        pb.GetCheckpointRequest,
        Unseen(),
        quick=lambda data, permit, now: data,
    )
    return cast(ThreadPoolExecutor, Arrivals(parts, pool, _MOST)), method.handler()


if __name__ == "__main__":
    main()
