"""When a call is sent again, for how long, and what a stop does; by a clock that only waiting sets on."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from unittest import mock

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from disgateway import errors, retry
from disgateway.v1 import checkpoint_pb2 as pb
from tests.test_errors import CallFailed, status

HANG = None
"""No answer within the deadline of the call."""


class Clock:
    """Stands for the module ``time``, and for the event that asks to stop after so many seconds."""

    def __init__(self, stop_after: float = 1e9) -> None:
        self.now = 0.0
        self._stop_after = stop_after

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def is_set(self) -> bool:
        return self.now >= self._stop_after

    def wait(self, seconds: float) -> bool:
        self.now = max(self.now, min(self.now + seconds, self._stop_after))
        return self.is_set()


class Future:
    def __init__(self, clock: Clock, deadline: float, answer: object) -> None:
        self._clock, self._deadline, self._answer = clock, deadline, answer
        self.cancelled = False

    def result(self, timeout: float) -> object:
        if isinstance(self._answer, grpc.RpcError):
            raise self._answer
        if self._answer is not HANG:
            return self._answer
        if self._clock.now + timeout < self._deadline:
            self._clock.now += timeout
            raise grpc.FutureTimeoutError
        self._clock.now = self._deadline
        raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def cancel(self) -> None:
        self.cancelled = True


class Gateway:
    """Answers each call with the next of the answers, and with the last one for ever."""

    def __init__(self, clock: Clock, *answers: object) -> None:
        self._clock, self._answers = clock, answers
        self.calls: list[float] = []
        self.timeouts: list[float] = []
        self.numbers: list[str] = []
        self.futures: list[Future] = []
        self.GetCheckpoint = self.CommitCheckpoint = self

    def future(self, request: pb.CommitCheckpointRequest | pb.GetCheckpointRequest, timeout: float) -> Future:
        answer = self._answers[min(len(self.calls), len(self._answers) - 1)]
        self.calls.append(self._clock.now)
        self.timeouts.append(timeout)
        if isinstance(request, pb.CommitCheckpointRequest):
            self.numbers.append(request.sequence_number)
        self.futures.append(Future(self._clock, self._clock.now + timeout, answer))
        return self.futures[-1]


def failure(code: grpc.StatusCode, reason: str = "", retry_after: int | None = None) -> CallFailed:
    details: list[object] = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(domain=errors.DOMAIN, reason=reason))
    if retry_after is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=retry_after)))
    return CallFailed(code, "the message", status(code, *details).SerializeToString())


def committed(effective: str = "44") -> pb.CommitCheckpointResponse:
    return pb.CommitCheckpointResponse(effective=pb.Checkpoint(sequence_number=effective))


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
FOUND = pb.GetCheckpointResponse(found=True, checkpoint=pb.Checkpoint(sequence_number="41"))


class Retries(unittest.TestCase):
    def held(self, *answers: object, stop_after: float = 1e9) -> None:
        self.clock = Clock(stop_after)
        patched = mock.patch.object(retry, "time", self.clock)
        patched.start()
        self.addCleanup(patched.stop)
        self.gateway = Gateway(self.clock, *answers)

    def commit(self) -> None:
        retry.commit(self.gateway, pb.CommitCheckpointRequest(sequence_number="44"), self.clock)

    def resume(self) -> int | None:
        return retry.resume(self.gateway, pb.CheckpointKey(), self.clock)

    def fails(self, call: Callable[[], object], *texts: str) -> retry.GatewayError:
        with self.assertRaises(retry.GatewayError) as raised:
            call()
        for text in texts:
            self.assertIn(text, str(raised.exception))
        return raised.exception

    def test_a_commit_of_unknown_outcome_is_sent_again_with_the_same_number(self) -> None:
        self.held(failure(UNAVAILABLE, errors.COMMIT_OUTCOME_UNKNOWN), HANG, committed())
        self.commit()
        self.assertEqual(self.gateway.numbers, ["44", "44", "44"])

    def test_it_waits_as_long_as_the_gateway_asks(self) -> None:
        for asked, wanted in ((7, 7), (0, 0.25)):
            throttled = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "UPSTREAM_THROTTLED", asked)
            self.held(throttled, committed())
            self.commit()
            self.assertEqual(self.gateway.calls, [0, wanted])

    def test_otherwise_it_waits_longer_each_time(self) -> None:
        self.held(*[failure(UNAVAILABLE)] * 5, FOUND)
        self.assertEqual(self.resume(), 41)
        waits = [after - before for before, after in zip(self.gateway.calls, self.gateway.calls[1:], strict=False)]
        for wait, wanted in zip(waits, (0.25, 0.5, 1, 2, 2), strict=True):
            self.assertTrue(0.8 * wanted <= wait <= 1.2 * wanted + 1e-9, (wait, wanted))

    def test_it_gives_up_within_20_seconds_however_long_the_calls_take(self) -> None:
        for answer in (HANG, failure(UNAVAILABLE, "UPSTREAM_UNAVAILABLE", 1)):
            self.held(answer)
            self.fails(self.resume, "the checkpoint cannot be read")
            self.assertTrue(17 <= self.clock.now <= 20, self.clock.now)
            for began, timeout in zip(self.gateway.calls, self.gateway.timeouts, strict=True):
                self.assertAlmostEqual(timeout, min(5, 20 - began))

    def test_it_gives_up_at_once_where_the_gateway_asks_for_more_time_than_there_is(self) -> None:
        self.held(failure(UNAVAILABLE, "UPSTREAM_CIRCUIT_OPEN", 20))
        self.fails(self.commit, "commit of 44: UNAVAILABLE UPSTREAM_CIRCUIT_OPEN", "it is not committed")
        self.assertEqual(self.clock.now, 0)

    def test_what_is_refused_is_not_sent_again(self) -> None:
        for reason in (errors.CHECKPOINT_REGRESSION, errors.CONSUMER_FENCED, errors.CONSUMER_GROUP_REBALANCING):
            self.held(failure(grpc.StatusCode.FAILED_PRECONDITION, reason))
            self.fails(self.commit, reason, "it is not committed")
            self.assertEqual(len(self.gateway.calls), 1)

    def test_one_unknown_outcome_is_enough_for_a_commit_that_may_be_stored(self) -> None:
        self.held(HANG, failure(grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND"))
        error = self.fails(self.commit, "STREAM_NOT_FOUND", "it may be committed")
        self.assertIsInstance(error, retry.CallError)
        self.assertTrue(error.may_be_done)

    def test_a_higher_number_in_the_answer_is_another_consumers(self) -> None:
        self.held(committed("45"))
        self.fails(self.commit, "another consumer", "45")

    def test_a_malformed_number_is_an_error(self) -> None:
        for number in ("", " 1", "+1", "-1", "1.5", "1_0", "\N{FULLWIDTH DIGIT ONE}", "1\n", "9" * 20):
            self.held(pb.GetCheckpointResponse(found=True, checkpoint=pb.Checkpoint(sequence_number=number)))
            self.fails(self.resume, "sequence number is wrong")

    def test_no_checkpoint_is_none(self) -> None:
        self.held(pb.GetCheckpointResponse())
        self.assertIsNone(self.resume())

    def test_asked_to_stop_the_read_ends_at_once(self) -> None:
        for stop_after in (0, 3):
            for answer in (HANG, failure(UNAVAILABLE, "GATEWAY_DRAINING", 9)):
                self.held(answer, stop_after=stop_after)
                with self.assertRaises(retry.Stopped):
                    self.resume()
                self.assertTrue(stop_after <= self.clock.now < stop_after + 0.2, self.clock.now)
                self.assertEqual(self.gateway.futures[-1].cancelled, answer is HANG and stop_after > 0)

    def test_asked_to_stop_a_commit_has_10_seconds_left(self) -> None:
        draining = failure(UNAVAILABLE, "GATEWAY_DRAINING", 1)
        for what, answer, stop_after, low, high in (
            ("before", HANG, 0, 5, 10),
            ("in a call", HANG, 3, 10, 13.2),
            ("while it waits", draining, 2.5, 11, 12.5),
            ("while it waits for too long", failure(UNAVAILABLE, "GATEWAY_DRAINING", 15), 1, 1, 1),
            ("at the end", HANG, 19, 19, 20),
        ):
            with self.subTest(what):
                self.held(answer, stop_after=stop_after)
                self.fails(self.commit)
                self.assertTrue(low <= self.clock.now <= high, self.clock.now)
                self.assertFalse(any(future.cancelled for future in self.gateway.futures))

    def test_asked_to_stop_a_commit_is_finished(self) -> None:
        self.held(HANG, committed(), stop_after=1)
        self.commit()


if __name__ == "__main__":
    unittest.main()
