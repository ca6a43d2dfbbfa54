"""Who watches the calls of each method: for metrics, logs and traces, without knowing any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.errors import GatewayError
from gateway.model import CheckpointKey
from gateway.trace import Trace

Metadata = Sequence[tuple[str, str | bytes]]
"""What came with a call, as gRPC gives it."""


class MethodCalls(Protocol):
    """Hears of every call of one method. Thread-safe; must not raise.

    ``seconds`` are until the answer; None where there is no one answer, as in a stream. ``about`` names what it was
    about, such as a key, ``who`` the caller where callers have names. ``trace`` is what :meth:`began` gave.
    """

    traced: bool
    """Whether :meth:`began` wants to know; it costs nothing where not."""

    def began(self, metadata: Metadata) -> Trace | None:
        """A call has come."""
        ...

    def ended(self, seconds: float | None, trace: Trace | None, about: str = "", *, cancelled: bool = False) -> None:
        """It went well; or its caller went away before there was an answer."""
        ...

    def failed(
        self, seconds: float | None, error: GatewayError, about: str, metadata: Metadata, trace: Trace | None, who: str
    ) -> None:
        """It was answered with an error."""
        ...

    def item(self, seconds: float | None, error: GatewayError | None, about: CheckpointKey | None) -> None:
        """An element of a batch or stream was answered."""
        ...

    def items(self, count: int) -> None:
        """So many elements of a batch went well."""
        ...


class Unseen:
    """Wants to know nothing."""

    traced = False

    def began(self, metadata: Metadata) -> Trace | None:
        return None

    def ended(self, seconds: float | None, trace: Trace | None, about: str = "", *, cancelled: bool = False) -> None:
        """Nobody wants to know."""

    def failed(
        self, seconds: float | None, error: GatewayError, about: str, metadata: Metadata, trace: Trace | None, who: str
    ) -> None:
        """Nobody wants to know."""

    def item(self, seconds: float | None, error: GatewayError | None, about: CheckpointKey | None) -> None:
        """Nobody wants to know."""

    def items(self, count: int) -> None:
        """Nobody wants to know."""


CallsOf = Callable[[str], MethodCalls]
"""Gives who watches the method of a name, such as ``GetCheckpoint``; always the same one."""


def unseen(method: str) -> MethodCalls:
    """Nobody watches."""
    return Unseen()
