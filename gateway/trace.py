"""For whom something is done, as far as traces go. What a trace is, only :mod:`gateway.telemetry.tracing` knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Trace(Protocol):
    """A place in a trace that what is done for a caller belongs under."""

    @property
    def trace_id(self) -> str:
        """32 hex digits, for the log."""
        ...


Traces = Callable[[], Sequence[Trace]]
"""Those for whom it is done, the first one's value being what is sent; asked anew, as others may join."""


def untraced() -> Sequence[Trace]:
    """Nobody follows it."""
    return ()
