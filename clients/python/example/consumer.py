"""What a program that reads one partition of a DIS stream looks like with the gateway.

It resumes after its checkpoint, processes, commits after so many records or seconds, and upon SIGTERM finishes with a
last commit. The records are simulated: ``python example/consumer.py --stream orders --app billing``.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import grpc

from disgateway.errors import failure_of
from disgateway.v1 import checkpoint_pb2 as pb
from disgateway.v1 import checkpoint_pb2_grpc

SERVICE_CONFIG = Path(__file__).with_name("service-config.json")  # deadlines, retries, and to wait for the gateway
PATIENCE = 25.0
"""Seconds to try for, on top of the retries of the service config: less than the 30 that Kubernetes leaves."""
Answer = TypeVar("Answer")
stop = threading.Event()


def channel_to(target: str) -> grpc.Channel:
    """One channel serves the whole program, and reconnects by itself: after a second at the latest."""
    options = [("grpc.service_config", SERVICE_CONFIG.read_text()), ("grpc.max_reconnect_backoff_ms", 1000)]
    return grpc.insecure_channel(target, options=options)


def patiently(call: Callable[[], Answer]) -> Answer:
    """Call until there is an answer that stands. A commit whose outcome is unknown is sent again: that is safe."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            failure = failure_of(error)
            if not failure.retryable or time.monotonic() >= until:
                raise
            print(f"trying again: {failure}", flush=True)
            time.sleep(failure.retry_after or 0.25)


def records(after: int, interval: float) -> Iterator[int]:
    """Stands for a DIS cursor of type AFTER_SEQUENCE_NUMBER (TRIM_HORIZON where there is no checkpoint)."""
    while not stop.wait(interval):
        after += 1
        yield after


def consume(
    gateway: checkpoint_pb2_grpc.CheckpointServiceStub, key: pb.CheckpointKey, every: int, interval: float
) -> None:
    # Fresh, as whoever had the partition before may have committed through another gateway. An error never means that
    # there is no checkpoint: starting over upon one would repeat the whole stream.
    request = pb.GetCheckpointRequest(key=key, read_mode=pb.READ_MODE_FRESH)
    answer = patiently(lambda: gateway.GetCheckpoint(request))
    last = int(answer.checkpoint.sequence_number) if answer.found else -1
    print(f"resuming after {last}" if answer.found else "no checkpoint: starting at the oldest record", flush=True)

    def commit() -> None:
        request = pb.CommitCheckpointRequest(key=key, sequence_number=str(last))  # the LAST record that is finished
        patiently(lambda: gateway.CommitCheckpoint(request))
        print(f"committed {last}", flush=True)

    processed = uncommitted = 0
    committed_at = time.monotonic()
    for number in records(last, interval):
        # Here a real consumer works on the record, and goes on when it has finished.
        last = number
        processed, uncommitted = processed + 1, uncommitted + 1
        if uncommitted >= every or time.monotonic() - committed_at >= 1:
            commit()
            uncommitted, committed_at = 0, time.monotonic()
    if uncommitted:
        commit()
    print(f"processed {processed} records", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="consume a partition, and keep its checkpoint")
    parser.add_argument("--target", default="127.0.0.1:50551", help="the gateway: host:port, or unix:///path")
    parser.add_argument("--stream", required=True, help="name of the DIS stream")
    parser.add_argument("--app", required=True, help="name of the consuming DIS app")
    parser.add_argument("--partition", default="0", help='such as "0" or "shardId-0000000000"')
    parser.add_argument("--commit-every", type=int, default=10, metavar="N", help="and every second at the latest")
    parser.add_argument("--interval", type=float, default=0.1, metavar="SECONDS", help="time between two records")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    key = pb.CheckpointKey(stream_name=options.stream, app_name=options.app, partition_id=options.partition)
    with channel_to(options.target) as channel:
        gateway = checkpoint_pb2_grpc.CheckpointServiceStub(channel)
        try:
            consume(gateway, key, options.commit_every, options.interval)
        except grpc.RpcError as error:
            print(f"stopped: {failure_of(error)}", file=sys.stderr)  # the next start reads what stands
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
