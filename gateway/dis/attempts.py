"""Who watches the requests to DIS: for metrics and traces, without knowing either."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from gateway.dis.http import HttpAnswer, HttpRequest, TransportError
from gateway.trace import Traces

NO_HEADERS: Mapping[str, str] = {}


class Operation(StrEnum):
    """What DIS is asked for."""

    READ = "read"
    COMMIT = "commit"
    DELETE = "delete"
    LIST = "list"


class Attempt(Protocol):
    """One request that is on its way. Its ``headers`` go with it, and are not signed."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What a trace needs beyond this gateway."""
        ...

    def ended(self, outcome: HttpAnswer | TransportError | None) -> None:
        """It was answered, or it failed; None where the gateway itself did. Called once."""
        ...


class Observer(Protocol):
    """Hears of every request to DIS. Must not raise."""

    def began(self, operation: Operation, request: HttpRequest, resends: int, traces: Traces) -> Attempt:
        """A request is about to be sent; ``resends`` have gone out before it for the same call."""
        ...


class _Unseen:
    headers = NO_HEADERS

    def began(self, operation: Operation, request: HttpRequest, resends: int, traces: Traces) -> Attempt:
        return self

    def ended(self, outcome: HttpAnswer | TransportError | None) -> None:
        """Nobody wants to know."""


UNSEEN: Observer = _Unseen()
