"""Commits a checkpoint, reads it back in two ways, and is refused a step back: the gateway from Python's side.

    python clients/python/roundtrip.py --stream orders --app roundtrip

It exits with 0 only if what was read back is what was committed. It moves the checkpoint of the app that it is given,
so give it an app of its own.
"""

from __future__ import annotations

import argparse
import sys

import grpc

from disgateway.channel import connect
from disgateway.errors import CHECKPOINT_REGRESSION, EFFECTIVE_SEQUENCE_NUMBER
from disgateway.retry import CallError, GatewayError, commit, retry
from disgateway.v1 import checkpoint_pb2 as pb
from disgateway.v1 import checkpoint_pb2_grpc

SHORT, LONG = "0", "shardId-0000000000"  # two spellings of one partition
SOURCES: dict[int, str] = {pb.CHECKPOINT_SOURCE_CACHE: "from cache", pb.CHECKPOINT_SOURCE_UPSTREAM: "from DIS"}


def say(text: str) -> None:
    print(f"python: {text}", flush=True)


class RoundTrip:
    def __init__(self, channel: grpc.Channel, stream: str, app: str) -> None:
        self._gateway = checkpoint_pb2_grpc.CheckpointServiceStub(channel)
        self._stream = stream
        self._app = app

    def key(self, partition: str) -> pb.CheckpointKey:
        return pb.CheckpointKey(stream_name=self._stream, app_name=self._app, partition_id=partition)

    def commit(self, number: str, metadata: str, *, rewind: bool = False) -> None:
        request = pb.CommitCheckpointRequest(
            key=self.key(SHORT), sequence_number=number, metadata=metadata, allow_rewind=rewind
        )
        commit(self._gateway, request)
        say(f"committed {number} for partition {SHORT}")

    def is_stored(self, number: str, metadata: str, mode: pb.ReadMode) -> bool:
        request = pb.GetCheckpointRequest(key=self.key(LONG), read_mode=mode)
        answer = retry(self._gateway.GetCheckpoint, request)
        if not answer.found:
            say(f"WRONG: {number} was committed, and there is no checkpoint")
            return False
        found = answer.checkpoint
        source = SOURCES.get(answer.source, "outdated")
        say(f"read back {found.sequence_number} for {found.key.partition_id} ({source})")
        same = (found.sequence_number, found.metadata, found.key.partition_id) == (number, metadata, LONG)
        if not same:
            say(f"WRONG: {number} with metadata {metadata!a} was committed, not {found.metadata!a}")
        return same

    def is_refused(self, number: str) -> bool:
        try:
            self.commit(number, "")
        except CallError as error:
            if error.failure.reason != CHECKPOINT_REGRESSION:
                raise
            effective = error.failure.metadata[EFFECTIVE_SEQUENCE_NUMBER]
            say(f"{number} is refused: {CHECKPOINT_REGRESSION}, the checkpoint stands at {effective}")
            return True
        say(f"WRONG: {number} is lower, and was taken")
        return False

    def run(self) -> bool:
        metadata = "from Python \N{SNAKE}"
        # A rewind, as an earlier run may have left the checkpoint anywhere.
        self.commit("41", metadata, rewind=True)
        return (
            self.is_stored("41", metadata, pb.READ_MODE_CACHED)
            and self.is_stored("41", metadata, pb.READ_MODE_FRESH)
            and self.is_refused("40")
            and self.is_stored("41", metadata, pb.READ_MODE_FRESH)
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="commit a checkpoint through the gateway and read it back")
    parser.add_argument("--target", default="127.0.0.1:50551", help="the gateway: host:port, or unix:///path")
    parser.add_argument("--stream", required=True, help="name of the DIS stream")
    parser.add_argument("--app", required=True, help="name of a DIS app of its own: its checkpoint is moved")
    options = parser.parse_args()
    with connect(options.target) as channel:
        try:
            return 0 if RoundTrip(channel, options.stream, options.app).run() else 1
        except GatewayError as error:
            say(f"failed: {error}")
            return 1


if __name__ == "__main__":
    sys.exit(main())
