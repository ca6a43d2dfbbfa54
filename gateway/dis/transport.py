"""The one place that knows the HTTP library: sends a ready request once and says what became of it.

No redirect is followed, nothing is taken from the environment (proxies, ``.netrc``, CA bundles), no cookie is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import requests
import urllib3
from requests.adapters import HTTPAdapter

from gateway.dis.http import AnswerLost, HttpAnswer, HttpRequest, NotSent, TransportError
from gateway.dis.wire import PlainConnection, TlsConnection

_NEVER_AGAIN = urllib3.Retry(total=False, redirect=False)
"""No second attempt, and no redirect: errors come as they are."""


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


@dataclass(frozen=True, slots=True, repr=False)
class _Route:
    """How to ask one host. ``cut`` is how much of a URL the request line leaves out; ``headers`` are for a proxy."""

    pool: urllib3.HTTPConnectionPool
    cut: int
    headers: Mapping[str, str]

    def target(self, url: str) -> str:
        """What goes into the request line."""
        return url[self.cut :] or "/"


class RequestsTransport:
    """A pool of connections to DIS. Safe for use by many threads.

    ``requests`` makes the pool: TLS, CA certificates, proxy. What its ``Session`` and adapter do for each request
    beyond that (redirects, cookies, URL parsing) is not wanted here, so requests go through the pool directly.
    """

    def __init__(self, settings: TransportSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._verify: bool | str = settings.verify and (settings.ca_file or True)
        self._proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else {}
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=settings.pool_size, max_retries=0, pool_block=True)
        self._routes: dict[str, _Route] = {}
        self._longest = max(settings.connect_timeout, settings.read_timeout)
        self._timeout = self._timeout_within(self._longest)

    def send(self, request: HttpRequest, deadline: float) -> HttpAnswer:
        """See :class:`Transport`."""
        left = deadline - self._clock()
        if left <= 0:
            raise NotSent("no time was left to ask DIS")
        timeout = self._timeout if left >= self._longest else self._timeout_within(left)
        try:
            route = self._route(request.url)
            response = route.pool.urlopen(
                request.method,
                route.target(request.url),
                body=request.body or None,
                headers=request.headers if not route.headers else {**request.headers, **route.headers},
                redirect=False,
                retries=_NEVER_AGAIN,
                timeout=timeout,
                assert_same_host=False,
            )
        except TransportError:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _explained(error) from error
        return HttpAnswer(response.status, response.headers, response.data or b"")

    def _timeout_within(self, left: float) -> urllib3.Timeout:
        return urllib3.Timeout(
            connect=min(self._settings.connect_timeout, left), read=min(self._settings.read_timeout, left)
        )

    def _route(self, url: str) -> _Route:
        """The way to the host of a URL; there is one in use."""
        end = url.find("/", url.find("://") + 3)
        origin = url[:end] if end > 0 else url
        route = self._routes.get(origin)
        if route is None:
            route = self._routes[origin] = self._new_route(origin)
        return route

    def _new_route(self, origin: str) -> _Route:
        prepared = requests.Request("GET", origin).prepare()
        pool = self._adapter.get_connection_with_tls_context(prepared, self._verify, proxies=self._proxies)
        if not isinstance(pool, urllib3.HTTPConnectionPool):
            raise TypeError(f"{pool!r} is no pool of HTTP connections")
        kind = TlsConnection if isinstance(pool, urllib3.HTTPSConnectionPool) else PlainConnection
        pool.ConnectionCls = type(kind.__name__, (kind,), {"max_answer": self._settings.max_answer})
        self._adapter.cert_verify(pool, origin, self._verify, None)  # type: ignore[no-untyped-call]
        if not (self._settings.proxy and origin.startswith("http://")):
            return _Route(pool, len(origin), {})
        # Through a proxy, plain HTTP is asked for by its whole URL, and the proxy's user goes with each request.
        return _Route(pool, 0, self._adapter.proxy_headers(self._settings.proxy))

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()


def _explained(error: Exception) -> TransportError:
    """Sort a failure by the one thing that matters: whether DIS may have seen the request; none is ever sent twice."""
    if isinstance(error, urllib3.exceptions.ProxyError):
        return _explained_proxy(error)
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return NotSent("the name of the DIS endpoint does not resolve")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return NotSent(f"no connection to DIS ({_os_reason(error)})")
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return NotSent("no connection to DIS in time")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return NotSent("the URL of the DIS endpoint cannot be used")
    if isinstance(error, requests.exceptions.InvalidProxyURL):
        return NotSent("the URL of the proxy cannot be used")
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return NotSent("the CA file of upstream.ca_file cannot be read")  # looked for before a connection is made
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return AnswerLost("DIS did not answer in time")
    return AnswerLost(f"the connection to DIS broke before the answer ({_kind(error)})")


def _explained_proxy(error: urllib3.exceptions.ProxyError) -> TransportError:
    """urllib3 calls everything a proxy error that breaks before an answer: also after the proxy took the request."""
    cause = error.original_error
    before = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    if isinstance(cause, before) or "Tunnel connection failed" in str(cause):
        return NotSent("the proxy for DIS cannot be used")
    return AnswerLost("the connection through the proxy broke before the answer of DIS")


def _os_reason(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    return (cause.strerror or _kind(cause)) if isinstance(cause, OSError) else _kind(error)


def _kind(error: BaseException) -> str:
    return type(error).__name__
