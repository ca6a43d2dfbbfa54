"""What the DIS client needs of HTTP: a request that is ready to go, a whole answer, and what can become of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit


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
