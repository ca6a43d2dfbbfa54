"""What an error says, by the table that is the same for every language."""

from __future__ import annotations

import json
import unittest
from pathlib import Path

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from disgateway.errors import DOMAIN, Failure

TABLE = Path(__file__).parents[2] / "failures.json"


class CallFailed(grpc.RpcError, grpc.Call):
    """How a call fails, with the details that come as trailing metadata."""

    def __init__(self, code: grpc.StatusCode, message: str, details: bytes | None = None) -> None:
        self._code, self._message = code, message
        self._trailers = () if details is None else (("grpc-status-details-bin", details),)

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._message

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self._trailers

    initial_metadata = is_active = time_remaining = cancel = add_callback = None


CallFailed.__abstractmethods__ = frozenset()


def status(code: grpc.StatusCode, *details: object) -> status_pb2.Status:
    packed = []
    for detail in details:
        packed.append(Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code.value[0], message="the message", details=packed)


def details_of(case: dict[str, object]) -> list[object]:
    details: list[object] = []
    if "reason" in case:
        details.append(error_details_pb2.ErrorInfo(domain=DOMAIN, reason=case["reason"]))
    if "retry_delay_seconds" in case:
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=case["retry_delay_seconds"])))
    if "field" in case:
        violation = error_details_pb2.BadRequest.FieldViolation(field=case["field"], description="is wrong")
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    return details


class Table(unittest.TestCase):
    def test_every_case(self) -> None:
        cases = json.loads(TABLE.read_text())["cases"]
        self.assertGreater(len(cases), 20)
        for case in cases:
            code = grpc.StatusCode[case["code"]]
            sent = status(code, *details_of(case))
            trailers = sent.SerializeToString() if sent.details else None
            for failure in (
                Failure.from_error(CallFailed(code, "the message", trailers)),
                Failure.from_status(sent),
            ):
                with self.subTest(case["name"]):
                    self.assertEqual((failure.code, failure.message), (code, "the message"))
                    self.assertEqual(failure.reason, case.get("reason", ""))
                    self.assertEqual(failure.retry_after, case.get("retry_delay_seconds"))
                    self.assertEqual(failure.fields, ((case["field"], "is wrong"),) if "field" in case else ())
                    self.assertEqual(failure.retryable, case["retryable"])
                    self.assertEqual(failure.outcome_unknown, case["outcome_unknown"])


class Unreadable(unittest.TestCase):
    def alone(self, failure: Failure, code: grpc.StatusCode) -> None:
        self.assertEqual(failure, Failure(code, "the message"))

    def test_details_of_another_code_or_that_cannot_be_decoded_are_left_out(self) -> None:
        code = grpc.StatusCode.UNAVAILABLE
        info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason="CONSUMER_FENCED")
        other = status(grpc.StatusCode.INTERNAL, info).SerializeToString()
        broken = status_pb2.Status(code=code.value[0], message="the message")
        broken.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
        for trailers in (b"\xff\xff", other, broken.SerializeToString()):
            self.alone(Failure.from_error(CallFailed(code, "the message", trailers)), code)
        self.alone(Failure.from_status(broken), code)

    def test_a_code_that_is_not_known(self) -> None:
        self.alone(Failure.from_status(status_pb2.Status(code=99, message="the message")), grpc.StatusCode.UNKNOWN)

    def test_the_reason_of_somebody_in_between_is_not_the_gateways(self) -> None:
        info = error_details_pb2.ErrorInfo(domain="proxy.example", reason="CONSUMER_FENCED")
        self.alone(Failure.from_status(status(grpc.StatusCode.UNAVAILABLE, info)), grpc.StatusCode.UNAVAILABLE)

    def test_an_error_without_a_status_is_not_retryable(self) -> None:
        failure = Failure.from_error(grpc.RpcError("x"))
        self.assertEqual((failure.retryable, failure.outcome_unknown), (False, True))

    def test_nor_is_a_call_that_the_caller_has_cancelled(self) -> None:
        with grpc.insecure_channel("unix:///nonexistent.sock") as channel:
            call = channel.unary_stream("/x/y")(b"", wait_for_ready=True)
            call.cancel()
            with self.assertRaises(grpc.RpcError) as raised:
                next(call)
        failure = Failure.from_error(raised.exception)
        self.assertEqual(failure.code, grpc.StatusCode.CANCELLED)
        self.assertEqual((failure.retryable, failure.outcome_unknown), (False, True))

    def test_an_error_of_grpc_aio_is_read(self) -> None:
        sent = status(grpc.StatusCode.NOT_FOUND, error_details_pb2.ErrorInfo(domain=DOMAIN, reason="APP_NOT_FOUND"))
        trailers = grpc.aio.Metadata(("grpc-status-details-bin", sent.SerializeToString()))
        error = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailers, "the message")
        self.assertEqual(Failure.from_error(error).reason, "APP_NOT_FOUND")


class Text(unittest.TestCase):
    def test_it_is_one_line_with_all_that_helps(self) -> None:
        failure = Failure(
            grpc.StatusCode.NOT_FOUND,
            "no such\nstream",
            "STREAM_NOT_FOUND",
            {"dis_error_code": "DIS.4301", "dis_request_id": "r1", "http_status": "400"},
            fields=(("key.stream_name", "is unknown"),),
        )
        wanted = "NOT_FOUND STREAM_NOT_FOUND: no such stream [key.stream_name is unknown]"
        self.assertEqual(str(failure), f"{wanted} (dis_error_code DIS.4301) (dis_request_id r1)")
        self.assertEqual(str(Failure(grpc.StatusCode.INTERNAL, "x")), "INTERNAL: x")


if __name__ == "__main__":
    unittest.main()
