"""Where credentials that expire come from: the metadata service of a cloud server, and the identity service (IAM).

Each fetch is one or two small requests; :class:`gateway.dis.renewal.RenewedCredentials` says when. No answer of theirs
gets into an error, as it may hold what nobody else may see.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from gateway.dis.credentials import AuthToken, Credentials, KeyPair, secret_problem
from gateway.dis.http import HttpAnswer, HttpRequest, Transport, TransportError
from gateway.errors import CredentialsUnavailable

METADATA_ENDPOINT = "http://169.254.169.254"
_SESSION_PATH = "/meta-data/latest/api/token"
_SESSION_SECONDS = 21_600
_KEYS_PATH = "/openstack/latest/securitykey"
_TOKENS_PATH = "/v3/auth/tokens?nocatalog=true"

SOON = 5.0
"""Seconds until another try after a fetch that may succeed the next time."""
LATER = 60.0
"""Seconds until another try after one that was refused: identity services lock accounts that fail often."""


class Source(Protocol):
    """Fetches credentials, and says until when they are valid."""

    def fetch(self) -> tuple[Credentials, datetime]:
        """Raises :class:`CredentialsUnavailable`."""
        ...


class _Keys(msgspec.Struct):
    access: str
    secret: str
    expires_at: datetime
    securitytoken: str = ""


class _KeysDocument(msgspec.Struct):
    credential: _Keys


class _TokenBody(msgspec.Struct):
    expires_at: datetime


class _TokenDocument(msgspec.Struct):
    token: _TokenBody


class MetadataSource:
    """The temporary keys of the agency of an elastic cloud server (ECS), from its metadata service.

    Servers that ask for a session first get one; older ones do not know it, and need none.
    """

    def __init__(self, transport: Transport, endpoint: str = METADATA_ENDPOINT) -> None:
        self._transport = transport
        self._endpoint = endpoint.rstrip("/")

    def fetch(self) -> tuple[Credentials, datetime]:
        """See :class:`Source`."""
        headers = {"Accept": "application/json"}
        if session := self._session():
            headers["X-Metadata-Token"] = session
        answer = _sent(self._transport, "the metadata service", "GET", self._endpoint + _KEYS_PATH, headers)
        if answer.status != 200:
            raise _refused("the metadata service", answer, "does the server have an agency for DIS?")
        try:
            keys = msgspec.json.decode(answer.body, type=_KeysDocument).credential
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _senseless("the metadata service") from None
        pair = KeyPair(keys.access, keys.secret, keys.securitytoken)
        whole = keys.access and keys.secret and keys.expires_at.tzinfo is not None
        if not whole or any(map(secret_problem, (keys.access, *pair.secrets))):
            raise _senseless("the metadata service")
        return pair, keys.expires_at

    def _session(self) -> str:
        headers = {"X-Metadata-Token-Ttl-Seconds": str(_SESSION_SECONDS), "Content-Length": "0"}
        answer = _sent(self._transport, "the metadata service", "PUT", self._endpoint + _SESSION_PATH, headers)
        session = answer.body.decode("latin-1").strip()
        return session if answer.status == 200 and session.isprintable() else ""


class TokenSource:
    """A token for one project, from the identity service, by the password of a user."""

    def __init__(
        self, transport: Transport, endpoint: str, *, domain: str, user: str, password: str, project_id: str
    ) -> None:
        self._transport = transport
        self._url = endpoint.rstrip("/") + _TOKENS_PATH
        identity = {"name": user, "password": password, "domain": {"name": domain}}
        self._body = json.dumps(
            {
                "auth": {
                    "identity": {"methods": ["password"], "password": {"user": identity}},
                    "scope": {"project": {"id": project_id}},
                }
            }
        ).encode("ascii")

    def fetch(self) -> tuple[Credentials, datetime]:
        """See :class:`Source`."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = _sent(self._transport, "the identity service", "POST", self._url, headers, self._body)
        if answer.status != 201:
            raise _refused("the identity service", answer, "check credentials.iam_* and upstream.project_id")
        token = answer.headers.get("X-Subject-Token", "")
        try:
            expires = msgspec.json.decode(answer.body, type=_TokenDocument).token.expires_at
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _senseless("the identity service") from None
        if not token or secret_problem(token) or expires.tzinfo is None:
            raise _senseless("the identity service")
        return AuthToken(token), expires


def _sent(
    transport: Transport, who: str, method: str, url: str, headers: dict[str, str], body: bytes = b""
) -> HttpAnswer:
    try:
        return transport.send(HttpRequest(method, url, {"Host": urlsplit(url).netloc, **headers}, body), math.inf)
    except TransportError as error:
        raise CredentialsUnavailable(f"{who} gave no credentials: {_about(error, url)}", retry_after=SOON) from None


def _about(error: TransportError, url: str) -> str:
    """What the transport says of DIS, which it was made for."""
    return str(error).replace("DIS", urlsplit(url).netloc)


def _refused(who: str, answer: HttpAnswer, advice: str) -> CredentialsUnavailable:
    wait = LATER if 400 <= answer.status < 500 and answer.status != 429 else SOON
    return CredentialsUnavailable(f"{who} gave no credentials: HTTP {answer.status}; {advice}", retry_after=wait)


def _senseless(who: str) -> CredentialsUnavailable:
    return CredentialsUnavailable(f"{who} gave no credentials: its answer makes no sense", retry_after=LATER)
