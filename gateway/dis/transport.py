"""The one place that knows the HTTP library: sends a ready request once and says what became of it.

It works on the adapter of ``requests`` without its ``Session``: so no redirect is followed, nothing is taken from the
environment (proxies, ``.netrc``, CA bundles), no cookie is kept, and a request costs less than half the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that is ready to go: signed, encoded, with its ``Host`` header."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""

    def __repr__(self) -> str:  # headers hold the signature or the token
        return f"HttpRequest({self.method} {urlsplit(self.url).path})"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer. ``headers`` may be looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No whole answer came. ``sent`` tells whether the server may have seen the request.

    ``status`` is the HTTP status where the answer got that far.
    """

    sent = True

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NotSent(TransportError):
    """The request did not leave: no connection, no name, no trusted certificate, no time."""

    sent = False


class AnswerLost(TransportError):
    """The request went out; then the connection broke or time ran out."""


class AnswerTooLarge(TransportError):
    """The answer is larger than the bound; its rest was not read."""


class Transport(Protocol):
    """What the DIS client needs of HTTP."""

    def send(self, request: HttpRequest, deadline: float) -> HttpAnswer:
        """Send once. ``deadline`` is on the monotonic clock, in seconds. Raises :class:`TransportError`."""
        ...


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Times in seconds, sizes in bytes. ``ca_file`` empty means the CA certificates of ``certifi``."""

    connect_timeout: float = 3.0
    read_timeout: float = 10.0
    pool_size: int = 64
    max_answer: int = 1024 * 1024
    ca_file: str = ""
    verify: bool = True
    proxy: str = field(default="", repr=False)  # may hold a password


class RequestsTransport:
    """A pool of connections to DIS. Safe for use by many threads."""

    def __init__(self, settings: TransportSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._verify: bool | str = settings.verify and (settings.ca_file or True)
        self._proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else {}
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=settings.pool_size, max_retries=0, pool_block=True)

    def send(self, request: HttpRequest, deadline: float) -> HttpAnswer:
        """See :class:`Transport`."""
        left = deadline - self._clock()
        if left <= 0:
            raise NotSent("no time was left to ask DIS")
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = request.url
        prepared.headers = CaseInsensitiveDict(request.headers)
        if request.body:
            prepared.body = request.body
            prepared.headers["Content-Length"] = str(len(request.body))  # else it goes out in chunks
        timeout = (min(self._settings.connect_timeout, left), min(self._settings.read_timeout, left))
        try:
            response = self._adapter.send(
                prepared, stream=True, timeout=timeout, verify=self._verify, proxies=self._proxies
            )
        except requests.RequestException as error:
            raise _explained(error) from error
        except OSError as error:  # requests looks for the CA file before it connects
            raise NotSent("the CA file of upstream.ca_file cannot be read") from error
        try:
            body = self._read(response, min(deadline, self._clock() + self._settings.read_timeout))
        except BaseException:
            response.raw.close()  # what is left of this answer must not be taken for the next one's
            raise
        response.raw.release_conn()
        return HttpAnswer(response.status_code, response.headers, body)

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        limit = self._settings.max_answer
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise AnswerTooLarge(f"DIS answered {announced} bytes; at most {limit} are taken", response.status_code)
        body = bytearray()
        try:
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                body += chunk
                if len(body) > limit:
                    raise AnswerTooLarge(f"DIS answered more than {limit} bytes", response.status_code)
                if self._clock() >= deadline:
                    raise AnswerLost("DIS did not finish its answer in time", response.status_code)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise AnswerLost(f"the answer of DIS broke off ({_kind(error)})", response.status_code) from error
        if announced.isdecimal() and len(body) < int(announced):
            raise AnswerLost(
                f"the answer of DIS broke off after {len(body)} of {announced} bytes", response.status_code
            )
        return bytes(body)


def _explained(error: requests.RequestException) -> TransportError:
    """Sort a failure by the one thing that matters: whether DIS may have seen the request.

    The adapter never sends twice, and wraps what failed while connecting in urllib3's ``MaxRetryError``.
    """
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, urllib3.exceptions.MaxRetryError) else cause
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return NotSent("the name of the DIS endpoint does not resolve")
    if isinstance(error, requests.exceptions.ProxyError):
        return _explained_proxy(reason)
    if isinstance(error, requests.ConnectTimeout):
        return NotSent("no connection to DIS in time")
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return NotSent(f"no connection to DIS ({_os_reason(reason)})")
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return NotSent("the certificate of the DIS endpoint is not trusted; set upstream.ca_file to its CA")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return NotSent("the URL of the DIS endpoint cannot be used")
    if isinstance(error, requests.Timeout):
        return AnswerLost("DIS did not answer in time")
    return AnswerLost(f"the connection to DIS broke before the answer ({_kind(reason or error)})")


def _explained_proxy(reason: object) -> TransportError:
    """urllib3 calls everything a proxy error that breaks before an answer: also after the proxy took the request."""
    cause = reason.original_error if isinstance(reason, urllib3.exceptions.ProxyError) else reason
    before = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    if isinstance(cause, before) or "Tunnel connection failed" in str(cause):
        return NotSent("the proxy for DIS cannot be used")
    return AnswerLost("the connection through the proxy broke before the answer of DIS")


def _os_reason(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    return (cause.strerror or _kind(cause)) if isinstance(cause, OSError) else _kind(error)


def _kind(error: BaseException) -> str:
    return type(error).__name__
