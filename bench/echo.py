"""The limit of the library: a bare grpcio server with 4 threads that answers each call with its request.

Registered in the two ways in which generated code does it, and without anything else.

    python -m bench.echo 127.0.0.1:0
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb

THREADS = 4


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(THREADS))
    method = grpc.unary_unary_rpc_method_handler(
        lambda request, context: request,
        request_deserializer=pb.GetCheckpointRequest.FromString,
        response_serializer=pb.GetCheckpointRequest.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Get": method}),))
    server.add_registered_method_handlers("bench.Echo", {"Get": method})
    port = server.add_insecure_port(sys.argv[1])
    server.start()
    print(sys.argv[1] if sys.argv[1].startswith("unix:") else f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
