"""A gateway of a later version: each answer has a field that today's clients do not know, and a value of an enum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from clients.conformance import newer
from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb

SERVICE = "disgateway.v1.CheckpointService"
FIRST = "41"
"""Every checkpoint, until a commit."""
TAKEN_OVER = "taken-over"
"""In this stream another consumer is ahead from the second commit on."""


class _Later:
    """Its calls. Requests and answers are of the later version."""

    def __init__(self) -> None:
        self._stored: dict[str, str] = {}

    def get(self, request: Any) -> Any:
        number = self._stored.get(request.key.stream_name, FIRST)
        checkpoint = _checkpoint(request.key, number, "old")
        return newer.message(
            "GetCheckpointResponse", found=True, checkpoint=checkpoint, source=newer.ADDED_VALUE, added="new"
        )

    def commit(self, request: Any) -> Any:
        stream = request.key.stream_name
        number, result = request.sequence_number, newer.ADDED_VALUE
        if stream == TAKEN_OVER and stream in self._stored:
            number, result = str(int(number) + 1000), pb.COMMIT_RESULT_SUPERSEDED
        self._stored[stream] = number
        effective = _checkpoint(request.key, number, request.metadata)
        return newer.message("CommitCheckpointResponse", result=result, effective=effective, added="new")

    def list_all(self, request: Any) -> Any:
        key = newer.message("CheckpointKey", stream_name=request.stream_name, app_name=request.app_name)
        state = newer.message("PartitionState", checkpoint=_checkpoint(key, FIRST, ""), found=True, lag=5, added="new")
        return newer.message("ListCheckpointsResponse", partitions=[state], added="new")

    def stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for one in requests:
            yield newer.message("StreamCommitsResponse", id=one.id, response=self.commit(one.commit), added="new")


def _checkpoint(key: Any, number: str, metadata: str) -> Any:
    own = newer.message("CheckpointKey", added="new")
    own.MergeFrom(key)
    return newer.message("Checkpoint", key=own, sequence_number=number, metadata=metadata, added="new")


def _unary(name: str, answer: Callable[[Any], Any]) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.unary_unary_rpc_method_handler(
        lambda request, context: answer(request),
        request_deserializer=newer.kind(f"{name}Request").FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


@contextmanager
def a_later_gateway() -> Iterator[str]:
    """Its address, while it serves."""
    later = _Later()
    handlers = {
        "GetCheckpoint": _unary("GetCheckpoint", later.get),
        "CommitCheckpoint": _unary("CommitCheckpoint", later.commit),
        "ListCheckpoints": _unary("ListCheckpoints", later.list_all),
        "StreamCommits": grpc.stream_stream_rpc_method_handler(
            later.stream,
            request_deserializer=newer.kind("StreamCommitsRequest").FromString,
            response_serializer=lambda message: message.SerializeToString(),
        ),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
