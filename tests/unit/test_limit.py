"""The log of failures: some lines of each sort, and how many were kept back."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.errors import (
    CheckpointRegression,
    CommitOutcomeUnknown,
    GatewayError,
    InvalidField,
    Overloaded,
    Status,
    UpstreamError,
)
from gateway.limit import LogLimit
from gateway.model import CheckpointKey
from gateway.reasons import ADVICE, CALLERS
from gateway.rpc.handlers import unexpected
from gateway.telemetry.calls import Calls
from gateway.telemetry.metrics import Metrics


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_after_a_burst_lines_are_counted_and_the_next_one_tells_how_many() -> None:
    clock = Clock()
    limit = LogLimit(clock, burst=2, seconds_each=10.0)
    assert [limit.admit("a") for _ in range(5)] == [0, 0, None, None, None]
    assert limit.admit("b") == 0  # each sort has its own
    clock.now += 9.9
    assert limit.admit("a") is None
    clock.now += 0.1
    assert [limit.admit("a") for _ in range(2)] == [4, None]
    clock.now += 1000.0
    assert [limit.admit("a") for _ in range(3)] == [1, 0, None]


def logged(*errors: GatewayError, clock: Clock | None = None, metadata: Any = ()) -> list[Any]:
    calls = Calls(Metrics("1"), clock=clock or Clock())
    with capture_logs() as lines:
        for error in errors:
            calls("CommitCheckpoint").failed(0.01234, error, "orders/billing/0", metadata, None, "")
    return lines


def test_a_failed_call_is_one_line_that_tells_what_and_what_to_do() -> None:
    error = UpstreamError(
        "DIS says no",
        status=Status.PERMISSION_DENIED,
        reason="UPSTREAM_PERMISSION_DENIED",
        metadata={"dis_error_code": "DIS.4208", "dis_request_id": "r-1", "http_status": "403"},
    )
    assert logged(error) == [
        {
            "event": "rpc_failed",
            "log_level": "warning",
            "method": "CommitCheckpoint",
            "code": "PERMISSION_DENIED",
            "reason": "UPSTREAM_PERMISSION_DENIED",
            "problem": "DIS says no",
            "do": ADVICE["UPSTREAM_PERMISSION_DENIED"].do,
            "dis_error_code": "DIS.4208",
            "dis_request_id": "r-1",
            "http_status": "403",
            "key": "orders/billing/0",
            "seconds": 0.0123,
        }
    ]


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (InvalidField("key", "is mandatory"), "info"),
        (CheckpointRegression("1", "2"), "info"),
        (Overloaded("full"), "warning"),
        (CommitOutcomeUnknown("who knows"), "warning"),
        (unexpected(ValueError("a defect")), "error"),
    ],
)
def test_what_the_operator_must_mend_is_louder_than_what_a_caller_did_wrong(error: GatewayError, level: str) -> None:
    assert [line["log_level"] for line in logged(error)] == [level]


def test_every_reason_that_is_the_callers_is_one() -> None:
    assert ADVICE.keys() >= CALLERS


def test_a_failure_that_repeats_is_some_lines_and_a_number() -> None:
    clock = Clock()
    calls = Calls(Metrics("1"), clock=clock)
    with capture_logs() as lines:
        for _ in range(100):
            calls("GetCheckpoint").failed(0.1, Overloaded("full"), "", (), None, "")
        calls("GetCheckpoint").failed(0.1, InvalidField("key", "is wrong"), "", (), None, "")
        calls("CommitCheckpoint").failed(0.1, Overloaded("full"), "", (), None, "")
        clock.now += 10
        calls("GetCheckpoint").failed(0.1, Overloaded("full"), "", (), None, "")
    assert [(line["method"], line["reason"], line.get("suppressed")) for line in lines] == [
        *[("GetCheckpoint", "GATEWAY_OVERLOADED", None)] * 5,
        ("GetCheckpoint", "FIELD_INVALID", None),
        ("CommitCheckpoint", "GATEWAY_OVERLOADED", None),
        ("GetCheckpoint", "GATEWAY_OVERLOADED", 95),
    ]


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("value", "trace_id"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331", None),
        ("00-\nforged-b7ad6b7169203331-01", None),
        (b"\xff", None),
        ("", None),
    ],
)
def test_the_trace_that_a_caller_is_in_stands_in_the_line(value: str | bytes, trace_id: str | None) -> None:
    lines = logged(Overloaded("full"), metadata=[("user-agent", "x"), ("traceparent", value)])
    assert [line.get("trace_id") for line in lines] == [trace_id]


def test_good_calls_leave_no_line_unless_asked_for() -> None:
    for log_good, count in ((False, 0), (True, 1)):
        calls = Calls(Metrics("1"), log_good=log_good)
        with capture_logs() as lines:
            calls("GetCheckpoint").ended(0.1, None)
            calls("StreamCommits").item(0.1, None, CheckpointKey("s", "a", "0"))
        assert len(lines) == count
