"""The HTTP side of the emulator: one request in, faults, signature, call, one answer out."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from urllib.parse import unquote

from aiohttp import web

from gateway.emulator import answers
from gateway.emulator.answers import Answer, DisError
from gateway.emulator.api import ROUTES, Api, Handler
from gateway.emulator.auth import Identity, Incoming, verify
from gateway.emulator.faults import Fault, Faults, Kind
from gateway.emulator.journal import Journal

MAX_BODY = 1024 * 1024
REQUEST_ID = "X-Request-Id"
_SHOWN = frozenset(
    {"accept", "content-length", "content-type", "host", "traceparent", "tracestate", "user-agent", "x-sdk-date"}
)
"""Headers that the journal keeps: the others may hold what nobody should see."""


class Held:
    """Requests that wait until somebody lets them go. :meth:`wait_for` aside, it belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._changed = threading.Condition()

    async def wait(self) -> None:
        """Wait for :meth:`release`."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._changed:
            self._waiting.add(waiting)
            self._changed.notify_all()
        await waiting

    def release(self) -> int:
        """Let all go that wait now; returns how many."""
        with self._changed:
            waiting, self._waiting = self._waiting, set()
        for one in waiting:
            if not one.done():
                one.set_result(None)
        return len(waiting)

    def wait_for(self, count: int, timeout: float) -> bool:
        """From any thread: wait until ``count`` requests are held, at most ``timeout`` seconds; tells if they are."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._waiting) >= count, timeout)


class DisHttp:
    """Answers the HTTP requests to the API of DIS. ``clock`` gives seconds since 1970."""

    def __init__(
        self,
        api: Api,
        identity: Identity,
        faults: Faults,
        journal: Journal,
        held: Held,
        clock: Callable[[], float],
        project: str | None = None,
    ) -> None:
        self._api = api
        self.identity = identity
        """Who is let in; may be replaced at any time."""
        self._faults = faults
        self._journal = journal
        self._held = held
        self._clock = clock
        self._project = project

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve the calls, each with and without a slash at the end, and say of any other that it does not exist."""
        for method, path, handler in ROUTES:
            for end in ("", "/"):
                router.add_route(method, "/v2/{project}" + path + end, self._serving(handler))
        router.add_route("*", "/{anything:.*}", self._serving(_no_such_call))

    def _serving(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            path, _, query = request.raw_path.partition("?")
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                error = answers.error("APIGW.0201", _request_id(), status=413, message="Request entity too large")
                return self._response(error, _request_id())
            number = self._journal.add(
                request.method, path, query, _text(body), _unsigned(request), _shown_headers(request)
            )
            faults = self._faults.take(request.method, path)
            return await self._answered(
                request, Incoming(request.method, path, query, _headers(request), body), handler, faults, number
            )

        return serve

    async def _answered(
        self, request: web.Request, incoming: Incoming, handler: Handler, faults: list[Fault], number: int
    ) -> web.StreamResponse:
        await self._delayed(faults, before=True)
        fault = next((one for one in faults if one.kind not in _DELAYS), None)
        request_id = _request_id()
        if fault is not None and fault.kind is Kind.CUT_BEFORE:
            return _cut(request)
        answer = _instead(fault, request_id) or self._applied(request, incoming, handler, request_id)
        await self._delayed(faults, before=False)
        if fault is not None and fault.kind is Kind.CUT_AFTER:
            return _cut(request)
        self._journal.answered(number, answer.status)
        if fault is not None and fault.kind is Kind.TRUNCATE:
            return await self._truncated(request, answer, request_id)
        if fault is not None and fault.kind is Kind.CONTENT_TYPE:
            answer = Answer(answer.status, answer.body, answer.headers, fault.content_type)
        return self._response(answer, request_id)

    def _applied(self, request: web.Request, incoming: Incoming, handler: Handler, request_id: str) -> Answer:
        path = {name: unquote(value) for name, value in request.match_info.items()}
        try:
            verify(incoming, self.identity, self._clock())
            if self._project is not None and path.get("project", self._project) != self._project:
                raise DisError("DIS.4117")
            return handler(self._api, path, dict(incoming.pairs), incoming.body)
        except DisError as error:
            return answers.error(error.code, request_id, detail=error.detail)

    async def _delayed(self, faults: list[Fault], *, before: bool) -> None:
        for fault in faults:
            if before and fault.kind is Kind.LATENCY:
                await asyncio.sleep(fault.seconds)
            elif fault.kind is (Kind.HOLD if before else Kind.HOLD_ANSWER):
                await self._held.wait()

    async def _truncated(self, request: web.Request, answer: Answer, request_id: str) -> web.StreamResponse:
        body = answer.body or b"{}"
        response = web.StreamResponse(status=answer.status if answer.status != 204 else 200)
        response.headers.update(self._headers(answer, request_id))
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    def _response(self, answer: Answer, request_id: str) -> web.Response:
        return web.Response(status=answer.status, body=answer.body or None, headers=self._headers(answer, request_id))

    def _headers(self, answer: Answer, request_id: str) -> dict[str, str]:
        headers = {**answer.headers, REQUEST_ID: request_id, "Date": formatdate(self._clock(), usegmt=True)}
        if answer.body:
            headers["Content-Type"] = answer.content_type
        return headers


_DELAYS = (Kind.LATENCY, Kind.HOLD, Kind.HOLD_ANSWER)


def _no_such_call(api: Api, path: dict[str, str], query: dict[str, str], body: bytes) -> Answer:
    raise DisError("APIGW.0101")


def _instead(fault: Fault | None, request_id: str) -> Answer | None:
    """What is answered instead of asking the store."""
    if fault is None:
        return None
    if fault.kind is Kind.ERROR:
        return answers.error(
            fault.code,
            request_id,
            status=fault.status,
            message=fault.message,
            shape=fault.shape,
            retry_after=fault.retry_after,
        )
    if fault.kind is Kind.BODY:
        return Answer(fault.status or 200, fault.body.encode(), content_type=fault.content_type)
    return None


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _shown_headers(request: web.Request) -> dict[str, str]:
    return {name: value for name, value in _headers(request).items() if name in _SHOWN}


def _unsigned(request: web.Request) -> str:
    return request.headers.get("Authorization", "").partition("Signature=")[0]


def _request_id() -> str:
    return uuid.uuid4().hex


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")
