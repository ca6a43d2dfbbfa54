"""What is made of each call: counters and a time always, a line in the log if it failed, a span if wanted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import Counter

from gateway.errors import GatewayError, Status
from gateway.limit import LogLimit
from gateway.model import CheckpointKey
from gateway.reasons import ADVICE, CALLERS
from gateway.rpc.calls import Metadata
from gateway.telemetry.metrics import Metrics
from gateway.trace import Trace

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Tracing

CANCELLED = "CANCELLED"
_OK: str = Status.OK.value
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

log = structlog.get_logger("gateway.rpc")


class Calls:
    """Gives a :class:`gateway.rpc.calls.MethodCalls` for each method.

    ``log_good`` has a line written for calls that went well too, at level debug.
    """

    def __init__(
        self,
        metrics: Metrics,
        tracing: Tracing | None = None,
        *,
        log_good: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._log_good = log_good
        self._limit = LogLimit(clock)
        self._methods: dict[str, _Method] = {}

    def __call__(self, method: str) -> _Method:
        """See :data:`gateway.rpc.calls.CallsOf`."""
        return self._methods.setdefault(
            method, _Method(method, self._metrics, self._tracing, self._limit, log_good=self._log_good)
        )


class _Method:
    def __init__(
        self, name: str, metrics: Metrics, tracing: Tracing | None, limit: LogLimit, *, log_good: bool
    ) -> None:
        self._name = name
        self._tracing = tracing
        self._limit = limit
        self._log_good = log_good
        self._calls = metrics.rpcs.of(name, [_OK])
        self._items = metrics.items
        self.traced = tracing is not None

    def began(self, metadata: Metadata) -> Trace | None:
        return self._tracing.rpc(self._name, metadata) if self._tracing else None

    def ended(self, seconds: float | None, trace: Trace | None, about: str = "", *, cancelled: bool = False) -> None:
        code = CANCELLED if cancelled else _OK
        self._calls.add(code, seconds)
        if self._tracing and trace is not None:
            self._tracing.rpc_ended(trace, code, about)
        if self._log_good:
            log.debug("rpc_ended", method=self._name, cancelled=cancelled, **_more(seconds, trace, ()))

    def failed(
        self, seconds: float | None, error: GatewayError, about: str, metadata: Metadata, trace: Trace | None, who: str
    ) -> None:
        self._calls.add(error.status.value, seconds)
        if self._tracing and trace is not None:
            self._tracing.rpc_ended(trace, error.status.value, about, error.reason)
        more = _more(seconds, trace, metadata)
        if who:
            more["caller"] = who
        self._log("rpc_failed", error, about, more)

    def item(self, seconds: float | None, error: GatewayError | None, about: CheckpointKey | None) -> None:
        if error is None:
            self._good_items.inc()
        else:
            self._items.labels(self._name, error.status.value).inc()
        if seconds is not None:
            self._calls.time(seconds)
        if error is not None:
            self._log("item_failed", error, "" if about is None else str(about), _more(seconds, None, ()))

    def items(self, count: int) -> None:
        if count:
            self._good_items.inc(count)

    @cached_property
    def _good_items(self) -> Counter:
        return self._items.labels(self._name, _OK)

    def _log(self, event: str, error: GatewayError, about: str, more: dict[str, Any]) -> None:
        """One line for each failure, until there are too many of one sort; then only their number."""
        suppressed = self._limit.admit((event, self._name, error.reason))
        if suppressed is None:
            return
        if suppressed:
            more["suppressed"] = suppressed
        if error.reason == GatewayError.reason and error.__cause__ is not None:
            more["exc_info"] = error.__cause__
        if about:
            more["key"] = about
        advice = ADVICE.get(error.reason)
        emit = log.info if error.reason in CALLERS else log.error if "exc_info" in more else log.warning
        told = {
            "method": self._name,
            "code": error.status.value,
            "reason": error.reason,
            "problem": error.message,
            "do": advice.do if advice else "",
        }
        emit(event, **(told | dict(error.metadata) | told | more))  # in this order, and no metadata in place of it


def _more(seconds: float | None, trace: Trace | None, metadata: Metadata) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if seconds is not None:
        more["seconds"] = round(seconds, 4)
    if trace_id := trace.trace_id if trace is not None else trace_id_in(metadata):
        more["trace_id"] = trace_id
    return more


def trace_id_in(metadata: Metadata) -> str:
    """The trace that a caller says it is in, for the log; empty where it says none."""
    for name, value in metadata:
        if name == "traceparent" and isinstance(value, str) and (match := _TRACEPARENT.fullmatch(value[:200])):
            return match[1]
    return ""
