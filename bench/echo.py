"""The limit of the library: a bare grpcio server with 4 threads that answers each call with its request.

Registered in the two ways in which generated code does it, and without anything else.

    python -m bench.echo 127.0.0.1:0

and with --pool on the gateway's pool of threads, with bytes that nobody parses: what the gateway's own limit is.

    python -m bench.echo 127.0.0.1:0 --pool
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import grpc

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.rpc.pool import CallPool

THREADS = 4
_WAITING, _MOST = 128, 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--pool", action="store_true")
    options = parser.parse_args()
    pool = cast(ThreadPoolExecutor, CallPool(_WAITING, _MOST, "echo")) if options.pool else ThreadPoolExecutor(THREADS)
    server = grpc.server(pool)
    method = grpc.unary_unary_rpc_method_handler(
        lambda request, context: request,
        request_deserializer=None if options.pool else pb.GetCheckpointRequest.FromString,
        response_serializer=None if options.pool else pb.GetCheckpointRequest.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Get": method}),))
    server.add_registered_method_handlers("bench.Echo", {"Get": method})
    port = server.add_insecure_port(options.address)
    server.start()
    print(options.address if options.address.startswith("unix:") else f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
