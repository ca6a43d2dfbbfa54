"""Makes ready requests to one endpoint: encoded, with their headers, signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from gateway.dis import signing
from gateway.dis.credentials import AuthToken, Credentials, KeyPair
from gateway.dis.http import HttpRequest
from gateway.dis.signing import SigningDialect, SigningScope

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class DisEndpoint:
    """Where DIS is and how requests to it are signed. ``url`` has no path; ``project_id`` is 32 hex digits."""

    url: str
    project_id: str
    scope: SigningScope
    dialect: SigningDialect = SigningDialect.SCOPED
    user_agent: str = "dis-checkpoint-gateway"

    @property
    def host(self) -> str:
        """What goes into the ``Host`` header: with the port unless it is the scheme's own."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        own = {"http": 80, "https": 443}[parts.scheme]
        return host if parts.port in (None, own) else f"{host}:{parts.port}"


@dataclass(frozen=True, slots=True, repr=False)
class SignedBy:
    """What makes DIS accept a request or not: the same for every request of one attempt."""

    credentials: Credentials
    clock_offset: timedelta = timedelta()

    def __repr__(self) -> str:
        return f"SignedBy({self.credentials!r}, {self.clock_offset})"


class RequestSigner:
    """Makes a ready request: the pure stages of :mod:`gateway.dis.signing`, in order, for one endpoint."""

    def __init__(self, endpoint: DisEndpoint, now: Callable[[], datetime]) -> None:
        self._endpoint = endpoint
        self._now = now
        self._base = endpoint.url.rstrip("/")
        self._host = endpoint.host
        self._derived: tuple[tuple[KeyPair, str], bytes] | None = None

    def sign(
        self, signed_by: SignedBy, method: str, path: str, query: list[tuple[str, str]], body: bytes
    ) -> HttpRequest:
        """A request signed now. ``path`` and ``query`` are not yet encoded."""
        credentials = signed_by.credentials
        date = signing.format_date(self._now() + signed_by.clock_offset)
        headers = {"Host": self._host, "X-Sdk-Date": date}
        if body:
            headers["Content-Type"] = _JSON
        if isinstance(credentials, AuthToken):
            headers[signing.AUTH_TOKEN_HEADER] = credentials.token
        else:
            if credentials.security_token:
                headers[signing.SECURITY_TOKEN_HEADER] = credentials.security_token
            headers["Authorization"] = self._authorization(credentials, date, method, path, query, headers, body)
        headers["User-Agent"] = self._endpoint.user_agent
        headers["Accept"] = _JSON
        url = self._base + signing.canonical_uri(path).rstrip("/")
        if query:
            url += "?" + signing.canonical_query(query)
        return HttpRequest(method, url, headers, body)

    def _authorization(
        self,
        keys: KeyPair,
        date: str,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        body: bytes,
    ) -> str:
        scope, dialect = self._endpoint.scope, self._endpoint.dialect
        canonical = signing.canonical_request(method, path, query, headers, body)
        to_sign = signing.string_to_sign(canonical, date, scope, dialect)
        signed = signing.signature(self._key(keys, date), to_sign)
        names = signing.signed_headers(headers)
        return signing.authorization(keys.access_key, date, scope, dialect, names, signed)

    def _key(self, keys: KeyPair, date: str) -> bytes:
        """The signing key of the day; kept, as it takes four HMACs and changes once a day."""
        wanted = (keys, date[:8])
        kept = self._derived  # one read: another thread may replace it
        if kept is not None and kept[0] == wanted:
            return kept[1]
        key = signing.signing_key(keys.access_key, keys.secret_key, date, self._endpoint.scope, self._endpoint.dialect)
        self._derived = (wanted, key)
        return key
