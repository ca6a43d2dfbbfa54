"""What the admin HTTP server answers: probes, metrics, the configuration, looks into cache and lanes, a status page.

Everything is for whoever runs the gateway, and bounded. Nothing here shows a secret or what callers store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import structlog

from gateway.checkpoints.snapshots import CachedKey, Lane
from gateway.config import is_loopback
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.readiness import Readiness
from gateway.telemetry.status_page import status_page

LIMIT = 100
LIMIT_MAX = 500
"""Keys in an answer: with more, looking would hold the gateway up for longer than a millisecond."""

_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_HEADERS = [
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]

Environ = dict[str, Any]

log = structlog.get_logger("gateway.admin")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the pages get what they show. ``facts`` are words for the status page.

    ``config`` gives the effective configuration, with secrets hidden. ``actions`` are what a POST to a path does, which
    gives the words to answer; they are taken from the loopback address alone.
    """

    readiness: Readiness
    metrics: Metrics
    facts: Callable[[], Mapping[str, str]] = dict
    config: Callable[[], Mapping[str, Any]] = dict
    cached: Callable[[int], Sequence[CachedKey]] = lambda limit: []
    lanes: Callable[[int], Sequence[Lane]] = lambda limit: []
    actions: Mapping[str, Callable[[], str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Page:
    status: HTTPStatus
    kind: str
    body: bytes
    headers: Sequence[tuple[str, str]] = ()


class Pages:
    """A WSGI application.

    With ``host``, the loopback address or name that is listened on, requests that name another host are refused: a web
    site that has its own name point at this machine must not read from here what its visitor may.
    """

    def __init__(self, sources: Sources, host: str = "", wall: Callable[[], float] = time.time) -> None:
        self._sources = sources
        self._host = host.lower()
        self._wall = wall
        self._pages: dict[str, Callable[[Environ], _Page]] = {
            "/": self._status,
            "/healthz": lambda environ: _text(HTTPStatus.OK, "alive"),
            "/readyz": self._ready,
            "/startupz": self._started,
            "/metrics": self._metrics,
            "/config": lambda environ: _json(sources.config()),
            "/debug/cache": self._cache,
            "/debug/lanes": self._lanes,
        }

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        """Answer one request."""
        try:
            page = self._page(environ)
        except Exception:
            log.exception("admin_page_failed", path=environ.get("PATH_INFO", ""))
            page = _text(HTTPStatus.INTERNAL_SERVER_ERROR, "this page failed; the log has more")
        headers = [
            ("Content-Type", page.kind),
            ("Content-Length", str(len(page.body))),
            *_HEADERS,
            *page.headers,
        ]
        start_response(f"{page.status.value} {page.status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [page.body]

    def _page(self, environ: Environ) -> _Page:
        if not self._names_this(environ):
            return _text(HTTPStatus.MISDIRECTED_REQUEST, "this server does not answer to that host name")
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if action := self._sources.actions.get(path):
            if method != "POST":
                return _not_allowed("POST")
            if _from_a_web_site(environ):
                return _text(HTTPStatus.FORBIDDEN, "not from a web site")
            if not is_loopback(environ.get("REMOTE_ADDR", "")):
                return _text(HTTPStatus.FORBIDDEN, "only from the pod itself, by its loopback address")
            return _text(HTTPStatus.OK, action())
        page = self._pages.get(path)
        if page is None:
            return _text(HTTPStatus.NOT_FOUND, "there are " + " ".join([*self._pages, *self._sources.actions]))
        return page(environ) if method in ("GET", "HEAD") else _not_allowed("GET, HEAD")

    def _names_this(self, environ: Environ) -> bool:
        if not self._host:
            return True
        named = environ.get("HTTP_HOST")
        if named is None:  # as simple probes do, and no browser
            return True
        try:
            name = urlsplit(f"//{named}").hostname or ""
        except ValueError:
            return False
        return name == self._host or is_loopback(name)

    # pages

    def _ready(self, environ: Environ) -> _Page:
        readiness = self._sources.readiness
        text = readiness.verbose() if "verbose" in _query(environ) else readiness.words()
        return _text(HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE, text)

    def _started(self, environ: Environ) -> _Page:
        if self._sources.readiness.has_started:
            return _text(HTTPStatus.OK, "started")
        return _text(HTTPStatus.SERVICE_UNAVAILABLE, "starting")

    def _metrics(self, environ: Environ) -> _Page:
        body, kind = self._sources.metrics.encoded(environ.get("HTTP_ACCEPT", ""))
        return _Page(HTTPStatus.OK, kind, body)

    def _cache(self, environ: Environ) -> _Page:
        keys = self._sources.cached(_limit(environ))
        return _json(
            {
                "order": "last heard of first",
                "keys": [
                    {
                        "key": str(one.key),
                        "sequence_number": None if one.number is None else str(one.number),
                        "age_seconds": round(one.age, 3),
                        "servable": one.servable,
                    }
                    for one in keys
                ],
            }
        )

    def _lanes(self, environ: Environ) -> _Page:
        lanes = self._sources.lanes(_limit(environ))
        return _json(
            {
                "order": "most waited for first",
                "lanes": [
                    {
                        "key": str(one.key),
                        "doing": one.doing or None,
                        "seconds": round(one.seconds, 3),
                        "carried": one.carried,
                        "waiting": one.waiting,
                        "reads": one.reads,
                        "readers": one.readers,
                    }
                    for one in lanes
                ],
            }
        )

    def _status(self, environ: Environ) -> _Page:
        links = [path for path in self._pages if path != "/"]
        text = status_page(self._sources.readiness, self._sources.metrics, self._sources.facts(), links, self._wall())
        return _Page(HTTPStatus.OK, _HTML, text.encode())


def _query(environ: Environ) -> dict[str, list[str]]:
    return parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)


def _limit(environ: Environ) -> int:
    """What ``?limit=`` asks for, as far as it may be had."""
    asked = _query(environ).get("limit", [""])[-1]
    return max(1, min(LIMIT_MAX, int(asked))) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else LIMIT


def _from_a_web_site(environ: Environ) -> bool:
    """Whether a browser sends it for a page: others may make it post, though not read."""
    return "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin")


def _text(status: HTTPStatus, text: str) -> _Page:
    return _Page(status, _TEXT, f"{text}\n".encode())


def _json(value: object) -> _Page:
    return _Page(HTTPStatus.OK, _JSON, msgspec.json.format(msgspec.json.encode(value)) + b"\n")


def _not_allowed(allowed: str) -> _Page:
    return _Page(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, f"only {allowed}\n".encode(), [("Allow", allowed)])
