"""Spans: one for each call, one for each request to DIS. Imported only where traces are wanted, as OpenTelemetry is.

Attributes follow the semantic conventions of OpenTelemetry for RPC and HTTP. None of them holds a secret, a header, or
what callers store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.dis.attempts import NO_HEADERS, Operation
from gateway.dis.http import HttpAnswer, HttpRequest, TransportError
from gateway.rpc.calls import Metadata
from gateway.trace import Trace, Traces

LINKS_MAX = 32
"""Callers that a span names besides the one that it belongs to."""

_SERVICE = "disgateway.v1.CheckpointService"
_ADMIN = {"DeleteAppCheckpoints": "disgateway.v1.CheckpointAdminService"}
_CARRIED = frozenset({"traceparent", "tracestate"})
_CHECKPOINTS = "/v2/{project_id}/checkpoints"
_TEMPLATES = {
    Operation.READ: _CHECKPOINTS,
    Operation.COMMIT: _CHECKPOINTS,
    Operation.DELETE: _CHECKPOINTS,
    Operation.LIST: "/v2/{project_id}/apps/{app_name}/streams/{stream_name}",
}
_SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Codes that are an error of the server, as the convention for gRPC has them; others are the caller's."""

_w3c = TraceContextTextMapPropagator()


class RpcSpan:
    """The span of one call. A :class:`gateway.trace.Trace`."""

    __slots__ = ("span",)

    def __init__(self, span: Span) -> None:
        self.span = span

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return format_trace_id(self.span.get_span_context().trace_id)


class AttemptSpan:
    """The span of one request to DIS; ``headers`` tell DIS of it."""

    __slots__ = ("_linked", "_span", "_traces", "headers")

    def __init__(self, span: Span, traces: Traces, linked: set[int]) -> None:
        self._span = span
        self._traces = traces
        self._linked = linked
        carried: dict[str, str] = {}
        _w3c.inject(carried, set_span_in_context(span, Context()))
        self.headers: Mapping[str, str] = carried

    def end(self, outcome: HttpAnswer | TransportError | None, result: str) -> None:
        """It was answered, or it failed; ``result`` says how."""
        span = self._span
        if span.is_recording():
            for trace in _others(self._traces(), self._linked):  # those who have joined since it began
                span.add_link(trace.span.get_span_context())
            status = None if outcome is None else outcome.status
            if status is not None:
                span.set_attribute("http.response.status_code", status)
            if status is None or status >= 400 or not isinstance(outcome, HttpAnswer):
                span.set_attribute("error.type", result)
                span.set_status(Status(StatusCode.ERROR))
        span.end()


class Unfollowed:
    """A request to DIS that nobody's trace holds."""

    headers = NO_HEADERS

    def end(self, outcome: HttpAnswer | TransportError | None, result: str) -> None:
        """There is nothing to end."""


class Tracing:
    """Begins and ends spans. Thread-safe."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def rpc(self, method: str, metadata: Metadata) -> RpcSpan:
        """A call has come; its caller may be in a trace already."""
        carried = {name: value for name, value in metadata if name in _CARRIED and isinstance(value, str)}
        name = f"{_ADMIN.get(method, _SERVICE)}/{method}"
        span = self._tracer.start_span(
            name,
            _w3c.extract(carried, Context()),
            SpanKind.SERVER,
            {"rpc.system.name": "grpc", "rpc.method": name},
        )
        return RpcSpan(span)

    def rpc_ended(self, trace: Trace, code: str, about: str, reason: str = "") -> None:
        """It was answered with a code, and a reason if it failed."""
        if not isinstance(trace, RpcSpan):
            raise TypeError(f"{trace!r} is not from here")
        span = trace.span
        if span.is_recording():
            span.set_attribute("rpc.response.status_code", code)
            if about:
                span.set_attribute("disgw.key", about)
            if reason:
                span.set_attribute("error.type", code)
                span.set_attribute("disgw.reason", reason)
            if code in _SERVER_ERRORS:
                span.set_status(Status(StatusCode.ERROR))
        span.end()

    def attempt(
        self, operation: Operation, request: HttpRequest, resends: int, traces: Traces
    ) -> AttemptSpan | Unfollowed:
        """A request is about to be sent. It belongs to the first of those whom it is for, and names the others."""
        followed = [trace for trace in traces() if isinstance(trace, RpcSpan)]
        if not followed:
            return Unfollowed()
        template = _TEMPLATES[operation]
        parts = urlsplit(request.url)
        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "server.address": parts.hostname or "",
            "server.port": parts.port or (443 if parts.scheme == "https" else 80),
            "url.full": request.url,
            "url.template": template,
            "disgw.operation": operation.value,
        }
        if resends:
            attributes["http.request.resend_count"] = resends
        parent = followed[0].span
        linked = {parent.get_span_context().span_id}
        links = [Link(trace.span.get_span_context()) for trace in _others(followed[1:], linked)]
        span = self._tracer.start_span(
            f"{request.method} {template}", set_span_in_context(parent, Context()), SpanKind.CLIENT, attributes, links
        )
        return AttemptSpan(span, traces, linked)


def _others(traces: Sequence[Trace], linked: set[int]) -> list[RpcSpan]:
    """Those that are not in ``linked`` yet, and as many as may be; they are now."""
    others = []
    for trace in traces:
        if isinstance(trace, RpcSpan) and len(linked) <= LINKS_MAX:
            number = trace.span.get_span_context().span_id
            if number not in linked:
                linked.add(number)
                others.append(trace)
    return others
