"""A tiny consumer that keeps the contract of clients/conformance/README.md, or breaks it in one way: ``--wrong WAY``.

The first record is there at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway._gen.disgateway.v1 import checkpoint_pb2_grpc

WAYS = {
    "": "nothing is wrong",
    "boasts": "says that a commit was stored that failed, then fails",
    "begins anyway": "takes every error of a read for no checkpoint",
    "ends well": "exits with 0 where it should fail",
    "goes on": "takes a refused commit for done",
    "ignores SIGTERM": "goes on until it is killed",
    "late": "looks at the time only when a record comes",
    "once more": "commits again after a refusal, then fails",
    "picky": "falls over a value of an enum that it does not know",
    "rewinds": "forces its number upon the others, then fails",
    "swallows": "says that a commit was stored, whatever came of it",
    "trusts": "does not look at the answer to a commit",
    "unknown is done": "goes on where the outcome of a commit is not known",
}
TRIES, LAST_COMMIT = 20.0, 10.0
ONE_CALL = 1.0

parser = argparse.ArgumentParser()
for name in ("target", "stream", "app"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--wrong", choices=WAYS, default="")
parser.add_argument("--commit-every", type=int, default=5)
parser.add_argument("--interval", type=float, default=0.02)
parser.add_argument("--commit-seconds", type=float, default=1)
options = parser.parse_args()
wrong = options.wrong
stop = threading.Event()


class Refused(Exception):
    """A commit that must not be tried again."""


def said(error: grpc.RpcError) -> tuple[str, float | None]:
    """The reason, and the seconds to wait before the same call again."""
    trailing = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b""))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    waits = None
    for detail in status.details:
        if detail.Unpack(retry):
            waits = retry.retry_delay.ToTimedelta().total_seconds()
        detail.Unpack(info)
    return info.reason, waits


def tried(call: Callable[..., Any], request: Any, *, last: bool) -> Any:
    """Call until there is an answer. ``last``: a stop only bounds it."""
    until = time.monotonic() + TRIES
    while True:
        try:
            return call(request, timeout=ONE_CALL, wait_for_ready=True)
        except grpc.RpcError as error:
            reason, waits = said(error)
            unknown = reason in ("", "COMMIT_OUTCOME_UNKNOWN")
            if (waits is None and not unknown) or (last and unknown and wrong in ("swallows", "unknown is done")):
                raise
            stop.wait(waits or 0.1)
            if stop.is_set():
                until = min(until, time.monotonic() + LAST_COMMIT) if last else 0
            if time.monotonic() + (waits or 0) > until:
                raise


def commit(gateway: checkpoint_pb2_grpc.CheckpointServiceStub, key: pb.CheckpointKey, number: int) -> None:
    request = pb.CommitCheckpointRequest(key=key, sequence_number=str(number))
    try:
        answer = tried(gateway.CommitCheckpoint, request, last=True)
    except grpc.RpcError as error:
        if wrong in ("boasts", "swallows"):
            print(f"committed {number}", flush=True)
        elif wrong in ("once more", "rewinds"):
            request.allow_rewind = wrong == "rewinds"
            gateway.CommitCheckpoint(request, timeout=ONE_CALL)
        if wrong in ("goes on", "swallows", "unknown is done"):
            return
        raise Refused from error
    if wrong == "picky" and answer.result not in pb.CommitResult.values():
        raise Refused
    if int(answer.effective.sequence_number) != number and wrong != "trusts":
        raise Refused
    print(f"committed {number}", flush=True)


def consume(gateway: checkpoint_pb2_grpc.CheckpointServiceStub) -> None:
    key = pb.CheckpointKey(stream_name=options.stream, app_name=options.app, partition_id="0")
    request = pb.GetCheckpointRequest(key=key, read_mode=pb.READ_MODE_FRESH)
    try:
        answer = tried(gateway.GetCheckpoint, request, last=False)
    except grpc.RpcError:
        if stop.is_set():
            print("processed 0 records", flush=True)
            return
        if wrong != "begins anyway":
            raise
        answer = pb.GetCheckpointResponse()
    last = int(answer.checkpoint.sequence_number) if answer.found else -1
    print(f"resuming after {last}" if answer.found else "no checkpoint: starting at the oldest record", flush=True)

    processed = uncommitted = 0
    comes, due = time.monotonic(), float("inf")
    while not stop.wait(max(0.0, min(comes, comes if wrong == "late" else due) - time.monotonic())):
        if time.monotonic() >= comes:
            last, processed, uncommitted = last + 1, processed + 1, uncommitted + 1
            comes = time.monotonic() + options.interval
            due = min(due, time.monotonic() + options.commit_seconds)
        if uncommitted >= options.commit_every or time.monotonic() >= due:
            commit(gateway, key, last)
            uncommitted, due = 0, float("inf")
    if uncommitted:
        commit(gateway, key, last)
    print(f"processed {processed} records", flush=True)


def main() -> int:
    ignored = wrong == "ignores SIGTERM"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if ignored else lambda *_: stop.set())
    arguments = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0), ("grpc.max_reconnect_backoff_ms", 500)]
    with grpc.insecure_channel(options.target, options=arguments) as channel:
        try:
            consume(checkpoint_pb2_grpc.CheckpointServiceStub(channel))
        except (Refused, grpc.RpcError) as error:
            print(f"stopped: {error!r}", file=sys.stderr)
            return 0 if wrong == "ends well" else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
