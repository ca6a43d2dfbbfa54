"""What a program that reads one partition of a DIS stream looks like with the gateway.

It resumes after its checkpoint, processes, commits after so many records or seconds, and upon SIGTERM finishes with a
last commit. The records are simulated: ``python example/consumer.py --stream orders --app billing``.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time

from disgateway.channel import connect
from disgateway.retry import GatewayError, Stopped, commit, resume
from disgateway.signals import stop_upon_signal
from disgateway.v1 import checkpoint_pb2 as pb
from disgateway.v1 import checkpoint_pb2_grpc


def consume(
    gateway: checkpoint_pb2_grpc.CheckpointServiceStub, options: argparse.Namespace, stop: threading.Event
) -> int:
    """Process the records after the checkpoint until it is asked to stop; how many that were."""
    key = pb.CheckpointKey(stream_name=options.stream, app_name=options.app, partition_id=options.partition)
    request = pb.CommitCheckpointRequest(key=key, client_id=options.client_id, generation_id=options.generation_id)
    resumed = resume(gateway, key, stop)
    said = "no checkpoint: starting at the oldest record" if resumed is None else f"resuming after {resumed}"
    print(said, flush=True)
    last = -1 if resumed is None else resumed

    processed = uncommitted = 0
    due = math.inf  # when the next commit is
    # Stands for a DIS cursor of type AFTER_SEQUENCE_NUMBER at the checkpoint, or TRIM_HORIZON where there is none.
    next_record = time.monotonic() + options.interval
    stopping = False
    while not stopping:
        stopping = stop.wait(max(min(next_record, due) - time.monotonic(), 0))
        now = time.monotonic()
        if now >= next_record and not stopping:
            # Here a real consumer works on the record. When it has finished it takes the record's own number.
            last, processed, uncommitted = last + 1, processed + 1, uncommitted + 1
            due = min(due, now + options.commit_seconds)
            next_record = now + options.interval
        if uncommitted and (stopping or now >= due or uncommitted >= options.commit_every):
            request.sequence_number = str(last)  # of the LAST record that is finished
            commit(gateway, request, stop)
            print(f"committed {last}", flush=True)
            uncommitted, due = 0, math.inf
    return processed


def main() -> int:
    parser = argparse.ArgumentParser(description="consume a partition, and keep its checkpoint")
    parser.add_argument("--target", default="127.0.0.1:50551", help="the gateway: host:port, or unix:///path")
    parser.add_argument("--stream", required=True, help="name of the DIS stream")
    parser.add_argument("--app", required=True, help="name of the consuming DIS app")
    parser.add_argument("--partition", default="0", help='such as "0" or "shardId-0000000000"')
    parser.add_argument("--commit-every", type=int, default=10, metavar="N", help="commit after so many records")
    parser.add_argument("--commit-seconds", type=float, default=1, metavar="T", help="or after the first of them")
    parser.add_argument("--interval", type=float, default=0.1, metavar="SECONDS", help="time between two records")
    parser.add_argument("--client-id", help="member of the consumer group, as the DIS coordinator gave it")
    parser.add_argument("--generation-id", help="of the consumer group, as the DIS coordinator gave it")
    options = parser.parse_args()
    if not options.stream or not options.app:
        parser.error("--stream and --app are mandatory")
    if options.commit_every < 1 or not all(0 < one <= 86400 for one in (options.commit_seconds, options.interval)):
        parser.error("--commit-every, --commit-seconds and --interval are above 0, the latter two at most 86400")
    stop = stop_upon_signal()
    with connect(options.target) as channel:
        try:
            processed = consume(checkpoint_pb2_grpc.CheckpointServiceStub(channel), options, stop)
        except Stopped:
            processed = 0
        except GatewayError as error:
            print(f"stopped: {error}", file=sys.stderr)  # the next start reads what stands
            return 1
    print(f"processed {processed} records", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
