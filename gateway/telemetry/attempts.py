"""Counts and times the requests to DIS, and makes a span of each where traces are wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from gateway.dis.attempts import NO_HEADERS, Attempt, Operation
from gateway.dis.http import HttpAnswer, HttpRequest, TransportError
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tally import Tally
from gateway.trace import Traces

if TYPE_CHECKING:
    from gateway.telemetry.tracing import AttemptSpan, Tracing, Unfollowed

_STATUSES = frozenset({*map(int, HTTPStatus), 441})
"""441 is what DIS has for a rejected signature. Others count as one, so that no server can make many series."""


class Attempts:
    """What a :class:`~gateway.dis.client.DisClient` tells of its requests. ``clock`` gives seconds."""

    def __init__(
        self, metrics: Metrics, tracing: Tracing | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tallies = {operation: metrics.attempts.of(operation.value) for operation in Operation}
        self._tracing = tracing
        self._clock = clock

    def began(self, operation: Operation, request: HttpRequest, resends: int, traces: Traces) -> Attempt:
        """See :class:`gateway.dis.attempts.Observer`."""
        span = self._tracing.attempt(operation, request, resends, traces) if self._tracing else None
        return _Attempt(self._tallies[operation], span, self._clock)


class _Attempt:
    def __init__(self, tally: Tally, span: AttemptSpan | Unfollowed | None, clock: Callable[[], float]) -> None:
        self._tally = tally
        self._span = span
        self._clock = clock
        self._began = clock()

    @property
    def headers(self) -> Mapping[str, str]:
        return NO_HEADERS if self._span is None else self._span.headers

    def ended(self, outcome: HttpAnswer | TransportError | None) -> None:
        result = result_of(outcome)
        self._tally.add(result, self._clock() - self._began)
        if self._span is not None:
            self._span.end(outcome, result)


def result_of(outcome: HttpAnswer | TransportError | None) -> str:
    """How a request ended: its HTTP status, ``not_sent``, or ``lost``."""
    if outcome is None or (isinstance(outcome, TransportError) and outcome.status is None):
        return "not_sent" if isinstance(outcome, TransportError) and not outcome.sent else "lost"
    return str(outcome.status) if outcome.status in _STATUSES else "other"
