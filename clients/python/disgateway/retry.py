"""Calls the gateway again where that helps."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from typing import TypeVar

import grpc

from disgateway.errors import Failure
from disgateway.v1 import checkpoint_pb2 as pb
from disgateway.v1 import checkpoint_pb2_grpc

TOTAL_SECONDS = 20.0
"""For all calls of an operation: less than the 30 that Kubernetes leaves after SIGTERM."""
CALL_SECONDS = 5.0
STOP_SECONDS = 10.0
"""For a commit, from when it is asked to stop."""
MIN_BACKOFF, MAX_BACKOFF = 0.25, 2.0
_POLL_SECONDS = 0.1

Request = TypeVar("Request")
Answer = TypeVar("Answer")
_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The caller has asked to stop."""


class GatewayError(Exception):
    """Why a consumer has to stop; as a text, one line."""


class CallError(GatewayError):
    """How an operation has failed, all of its calls included."""

    def __init__(self, what: str, failure: Failure, *, may_be_done: bool, commit: bool) -> None:
        outcome = ("it may be committed" if may_be_done else "it is not committed") if commit else ""
        super().__init__("; ".join(filter(None, (f"{what}: {failure}", failure.advice, outcome))))
        self.failure = failure
        """What the last call said."""
        self.may_be_done = may_be_done
        """A write may have been carried out: the outcome of at least one call is unknown."""


def resume(
    gateway: checkpoint_pb2_grpc.CheckpointServiceStub, key: pb.CheckpointKey, stop: threading.Event | None = None
) -> int | None:
    """The number of the last record that an earlier run has finished; None where there is no checkpoint.

    It calls, and raises, like :func:`retry`. An error never means that there is no checkpoint: starting over upon one
    would repeat the whole stream.
    """
    # Fresh, as whoever had the partition before may have committed through another gateway.
    request = pb.GetCheckpointRequest(key=key, read_mode=pb.READ_MODE_FRESH)
    answer = _retry("the checkpoint cannot be read", gateway.GetCheckpoint, request, stop)
    return sequence_number(answer.checkpoint) if answer.found else None


def commit(
    gateway: checkpoint_pb2_grpc.CheckpointServiceStub,
    request: pb.CommitCheckpointRequest,
    stop: threading.Event | None = None,
) -> None:
    """Call like :func:`retry`, but do not give up when asked to stop: there are 10 seconds left then.

    A commit whose outcome is unknown is sent again with the same number; that is safe, whether the first one was stored
    or not. Raises :class:`GatewayError`, also if DIS has a higher number: another consumer has this partition.
    """
    what = f"commit of {request.sequence_number}"
    answer = _retry(what, gateway.CommitCheckpoint, request, stop, commit=True)
    effective = sequence_number(answer.effective)
    if effective > int(request.sequence_number):
        raise GatewayError(f"{what}: another consumer has this partition, and has committed {effective}")


def retry(
    call: grpc.UnaryUnaryMultiCallable[Request, Answer], request: Request, stop: threading.Event | None = None
) -> Answer:
    """Call until there is an answer that stands: for 20 seconds at most, 5 for each call.

    Raises :class:`CallError`, and :class:`Stopped` as soon as ``stop`` is set.
    """
    return _retry("the call has failed", call, request, stop)


def sequence_number(checkpoint: pb.Checkpoint) -> int:
    """The number of a checkpoint. Raises :class:`GatewayError` for one that is empty or malformed."""
    if not re.fullmatch("[0-9]{1,19}", checkpoint.sequence_number):
        raise GatewayError(f"the gateway's sequence number is wrong: {checkpoint.sequence_number!a}")
    return int(checkpoint.sequence_number)


def _retry(
    what: str,
    call: grpc.UnaryUnaryMultiCallable[Request, Answer],
    request: Request,
    stop: threading.Event | None,
    *,
    commit: bool = False,
) -> Answer:
    deadline = _Deadline(stop or threading.Event(), STOP_SECONDS if commit else 0)
    backoff, may_be_done = MIN_BACKOFF, False
    while True:
        future = call.future(request, timeout=min(CALL_SECONDS, deadline.left()))
        try:
            return _result(future, deadline, may_cancel=not commit)
        except grpc.RpcError as error:
            failure = Failure.from_error(error)
            may_be_done = may_be_done or failure.outcome_unknown
            delay = backoff * random.uniform(0.8, 1.2)
            if failure.retry_after is not None:
                delay = max(failure.retry_after, MIN_BACKOFF)
            again = failure.retryable and deadline.pause(delay)
            if deadline.stopped and not commit:
                raise Stopped from error
            if not again:
                raise CallError(what, failure, may_be_done=may_be_done, commit=commit) from error
            _log.info("the gateway is called again: %s", failure)
            backoff = min(2 * backoff, MAX_BACKOFF)


def _result(future: grpc.Future[Answer], deadline: _Deadline, *, may_cancel: bool) -> Answer:
    while True:
        try:
            return future.result(timeout=_POLL_SECONDS)
        except grpc.FutureTimeoutError:
            deadline.left()  # takes note of when it is asked to stop
            if deadline.stopped and may_cancel:
                future.cancel()
                raise Stopped from None


class _Deadline:
    """When an operation ends: sooner where it is asked to stop."""

    def __init__(self, stop: threading.Event, seconds_after_stop: float) -> None:
        self.stopped = False
        self._at = time.monotonic() + TOTAL_SECONDS
        self._stop = stop
        self._seconds_after_stop = seconds_after_stop

    def left(self) -> float:
        """In seconds."""
        now = time.monotonic()
        if self._stop.is_set() and not self.stopped:
            self.stopped = True
            self._at = min(self._at, now + self._seconds_after_stop)
        return self._at - now

    def pause(self, seconds: float) -> bool:
        """Wait; whether there is time for another call after it. It returns at once where there is none."""
        end = time.monotonic() + seconds
        while (wait := end - time.monotonic()) < self.left():
            if wait <= 0:
                return True
            if self.stopped:
                time.sleep(wait)
            else:
                self._stop.wait(wait)
        return False
