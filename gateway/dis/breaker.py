"""Keeps calls from DIS that would fail, and that DIS would count against this address.

DIS blacklists an address after too many failures, and every further call prolongs that. So:

- Until a call has been answered by DIS for the first time, one is sent at a time, or one a second where DIS is slow:
  wrong credentials cost one call, not one for each caller.
- Rejected credentials and blacklisting open the breaker at once, for long; a row of failures opens it for a short time.
- After that time one call goes through as a probe; the others are refused until it is known how that one ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import structlog

from gateway.errors import CircuitOpen, GatewayError, OutcomeUnknown, UpstreamUnavailable

log = structlog.get_logger("gateway.dis")

WINDOW = 50
"""Calls that the share of failures is taken of."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """Times in seconds. ``failures`` in a row, or ``failure_share`` of the last calls, open it for ``open_seconds``.

    ``rejected_seconds``: after rejected credentials. ``blacklisted_seconds``: after DIS has blocked this address.
    """

    failures: int = 10
    failure_share: float = 0.5
    open_seconds: float = 5.0
    rejected_seconds: float = 60.0
    blacklisted_seconds: float = 300.0


_REJECTED = frozenset({"UPSTREAM_CREDENTIALS_REJECTED", "UPSTREAM_CLOCK_SKEW"})


PATIENCE = 1.0
"""Seconds that a call waits for the first one to be answered before it is sent beside it."""


class State(Enum):
    """``unproven``: nothing was ever answered. ``probing``: one call finds out how it stands."""

    UNPROVEN = "unproven"
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """Thread-safe. ``clock`` gives seconds; ``patience`` is in seconds of the real clock."""

    def __init__(self, settings: BreakerSettings, clock: Callable[[], float], patience: float = PATIENCE) -> None:
        self._settings = settings
        self._clock = clock
        self._patience = patience
        self._changed = threading.Condition()
        self._state = State.UNPROVEN
        self._until = 0.0
        self._cause = ""
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._proving = 0
        self._attempts = 0

    @property
    def state(self) -> State:
        """How it stands."""
        with self._changed:
            return self._state

    @property
    def cause(self) -> str:
        """The reason that opened it; empty while it is closed."""
        with self._changed:
            return "" if self._state in (State.CLOSED, State.UNPROVEN) else self._cause

    def enter(self) -> None:
        """Ask to send a call; :meth:`leave` must follow. Raises :class:`CircuitOpen`."""
        with self._changed:
            if self._state is State.UNPROVEN and self._proving:
                self._await_the_first()
            if self._state is State.UNPROVEN:
                self._proving += 1
            elif self._state is State.OPEN and self._clock() >= self._until:
                self._state = State.PROBING
            elif self._state is not State.CLOSED:
                left = max(1.0, self._until - self._clock())
                raise CircuitOpen(
                    f"DIS is not asked now, as calls would fail ({self._cause}); nothing was sent",
                    retry_after=left,
                    metadata={"cause": self._cause},
                )

    def _await_the_first(self) -> None:
        """Wait for the call that is under way. If it fails so does this; if it takes long, this one goes beside it."""
        attempts = self._attempts
        while self._state is State.UNPROVEN and self._attempts == attempts:
            proving = self._proving
            if not self._changed.wait_for(
                lambda: self._attempts != attempts or self._proving != proving,  # noqa: B023
                self._patience,
            ):
                return
        if self._state is State.UNPROVEN:
            raise CircuitOpen(
                "DIS could not be asked by the first call, which this one waited for; nothing was sent",
                retry_after=1.0,
                metadata={"cause": UpstreamUnavailable.reason},
            )

    def leave(self, error: GatewayError | None) -> None:
        """A call has ended: with this error, or well."""
        with self._changed:
            self._proving = max(0, self._proving - 1)
            self._attempts += 1
            seconds = self._seconds_for(error)
            if seconds:
                self._open(seconds, error.reason if error else "")
            elif not _failed(error):
                self._close()
            elif self._state is State.PROBING or self._too_many():
                self._open(self._settings.open_seconds, UpstreamUnavailable.reason)
            self._changed.notify_all()

    def _seconds_for(self, error: GatewayError | None) -> float:
        if error is None:
            return 0.0
        if error.reason == "UPSTREAM_BLACKLISTED":
            return self._settings.blacklisted_seconds
        if error.reason in _REJECTED:
            return self._settings.rejected_seconds
        return 0.0

    def _too_many(self) -> bool:
        self._in_a_row += 1
        self._recent.append(True)
        if self._in_a_row >= self._settings.failures:
            return True
        return len(self._recent) == WINDOW and sum(self._recent) >= WINDOW * self._settings.failure_share

    def _open(self, seconds: float, cause: str) -> None:
        # A call that was under way when it opened must not shorten the time.
        until = self._clock() + seconds
        if self._state is not State.OPEN or until > self._until:
            log.warning("breaker_opened", cause=cause, seconds=seconds)
            self._state, self._cause, self._until = State.OPEN, cause, max(until, self._until)
        self._forget()

    def _close(self) -> None:
        if self._state is State.OPEN:
            return  # sent before it opened: only a probe closes it
        if self._state is not State.CLOSED:
            if self._state is not State.UNPROVEN:
                log.info("breaker_closed", was=self._state.value)
            self._state, self._until = State.CLOSED, 0.0
            self._forget()
        self._in_a_row = 0
        self._recent.append(False)

    def _forget(self) -> None:
        self._in_a_row = 0
        self._recent.clear()


def _failed(error: GatewayError | None) -> bool:
    """Whether DIS could not be asked, or broke: what it refuses it has answered."""
    return isinstance(error, OutcomeUnknown) or (error is not None and error.reason == UpstreamUnavailable.reason)
