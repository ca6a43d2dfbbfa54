"""A program with the stubs that were generated from the first released proto: what it hears, as JSON.

A process of its own, as one process cannot hold two versions of a proto file. ``old_client.py TARGET STREAM APP``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parent / "v0.1.0" / "stubs"))

from disgateway.v1 import checkpoint_pb2 as pb
from disgateway.v1 import checkpoint_pb2_grpc


def main(target: str, stream: str, app: str) -> None:
    key = pb.CheckpointKey(stream_name=stream, app_name=app, partition_id="0")
    heard: dict[str, object] = {}
    with grpc.insecure_channel(target, options=[("grpc.enable_retries", 0)]) as channel:
        stub = checkpoint_pb2_grpc.CheckpointServiceStub(channel)
        commit = pb.CommitCheckpointRequest(key=key, sequence_number="41", metadata="old")
        answer = stub.CommitCheckpoint(commit, timeout=20, wait_for_ready=True)
        heard["commit"] = [answer.result, answer.effective.sequence_number]
        got = stub.GetCheckpoint(pb.GetCheckpointRequest(key=key), timeout=20)
        heard["get"] = [got.found, got.checkpoint.sequence_number, got.checkpoint.metadata, got.source]
        heard["kept"] = got.SerializeToString().hex()  # as it would pass it on
        try:
            stub.CommitCheckpoint(pb.CommitCheckpointRequest(key=key, sequence_number="9"), timeout=20)
        except grpc.RpcError as error:
            heard["regress"] = error.code().name
        stream_of = [pb.StreamCommitsRequest(id=7, commit=commit)]
        heard["stream"] = [
            [one.id, one.WhichOneof("result")] for one in stub.StreamCommits(iter(stream_of), timeout=20)
        ]
        page = stub.ListCheckpoints(pb.ListCheckpointsRequest(stream_name=stream, app_name=app), timeout=20)
        heard["list"] = [[one.checkpoint.sequence_number, one.lag] for one in page.partitions if one.found]
    print(json.dumps(heard))


if __name__ == "__main__":
    main(*sys.argv[1:])
