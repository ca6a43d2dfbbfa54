"""Keeps calls from DIS that would fail, and that DIS would count against this address.

DIS blacklists an address after too many failures, and every further call prolongs that. So:

- Until a call has been answered by DIS for the first time, one is sent at a time, or one a second where DIS is slow:
  wrong credentials cost one call, not one for each caller.
- Rejected credentials and blacklisting stop all calls at once, for long; failures in a row stop those of their kind,
  reads or writes, for a short time.
- After that time one call goes through as a probe; the others are refused until it is known how that one ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import structlog

from gateway.errors import CircuitOpen, CredentialsUnavailable, GatewayError, OutcomeUnknown, UpstreamUnavailable

log = structlog.get_logger("gateway.dis")

WINDOW = 50
"""Calls that the share of failures is taken of."""
PATIENCE = 1.0
"""Seconds that a call waits for the first one to be answered before it is sent beside it."""
ALL = "all"
"""The name of the circuit that every call goes through; the others have the names of :class:`Kind`."""

CREDENTIALS_REJECTED = "UPSTREAM_CREDENTIALS_REJECTED"
_REJECTED = frozenset({CREDENTIALS_REJECTED, "UPSTREAM_CLOCK_SKEW"})
SOONEST = 20.0
"""Seconds after credentials were rejected before others are tried: three calls a minute, however often they change."""


class Kind(StrEnum):
    """What a call does. Writes may fail where reads go on, and the other way round."""

    READ = "read"
    WRITE = "write"


class State(StrEnum):
    """``probing``: one call finds out how it stands."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


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


class _Circuit:
    """Closed, open for a time, or probing. Its user holds the lock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = State.CLOSED
        self.cause = ""
        self._seconds = 0.0
        self._since = 0.0
        self._until = 0.0

    def admits(self, now: float) -> bool:
        return self.state is State.CLOSED or (self.state is State.OPEN and now >= self._until)

    def left(self, now: float) -> float:
        return max(1.0, self._until - now)

    def enter(self) -> None:
        if self.state is State.OPEN:
            self.state = State.PROBING

    def open(self, now: float, seconds: float, cause: str) -> None:
        """Whoever was under way when it opened does not shorten the time."""
        until = now + seconds
        if self.state is not State.OPEN or until > self._until:
            log.warning("breaker_opened", circuit=self.name, cause=cause, seconds=seconds)
            self.state, self.cause, self._seconds = State.OPEN, cause, seconds
            self._since, self._until = now, max(until, self._until)

    def open_at_most(self, seconds: float) -> None:
        """Counted from when it opened."""
        self._until = min(self._until, self._since + seconds)

    def open_again(self, now: float) -> None:
        """A probe has failed."""
        self.open(now, self._seconds, self.cause)

    def close(self) -> None:
        """Only a probe closes it: what was sent before it opened says nothing."""
        if self.state is State.PROBING:
            log.info("breaker_closed", circuit=self.name)
            self.state, self.cause = State.CLOSED, ""


class _Failures:
    """Counts those of one kind of calls."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)

    def answered(self) -> None:
        self._in_a_row = 0
        self._recent.append(False)

    def failed(self) -> bool:
        """Whether that was one too many."""
        self._in_a_row += 1
        self._recent.append(True)
        share = sum(self._recent) / WINDOW if len(self._recent) == WINDOW else 0.0
        if self._in_a_row < self._settings.failures and share < self._settings.failure_share:
            return False
        self._in_a_row = 0
        self._recent.clear()
        return True


class Breaker:
    """Thread-safe. ``clock`` gives seconds; ``patience`` is in seconds of the real clock."""

    def __init__(self, settings: BreakerSettings, clock: Callable[[], float], patience: float = PATIENCE) -> None:
        self._settings = settings
        self._clock = clock
        self._patience = patience
        self._changed = threading.Condition()
        self._all = _Circuit(ALL)
        self._circuits = {kind: _Circuit(kind.value) for kind in Kind}
        self._failures = {kind: _Failures(settings) for kind in Kind}
        self._proven = False
        self._proving = 0
        self._attempts = 0

    def states(self) -> Mapping[str, State]:
        """How each circuit stands, by its name."""
        with self._changed:
            return {circuit.name: circuit.state for circuit in (self._all, *self._circuits.values())}

    @property
    def shut_out(self) -> str:
        """Why no call at all is sent: the reason of the error that stopped them. Empty where some are sent."""
        with self._changed:
            causes = [circuit.cause for circuit in self._circuits.values()]
            return self._all.cause or (causes[0] if all(causes) else "")

    def credentials_replaced(self) -> None:
        """Others are in use than those that DIS has rejected: a probe need not wait for long."""
        with self._changed:
            if self._all.cause == CREDENTIALS_REJECTED:
                self._all.open_at_most(SOONEST)

    def enter(self, kind: Kind) -> None:
        """Ask to send a call; :meth:`leave` must follow. Raises :class:`CircuitOpen`."""
        with self._changed:
            if not self._proven and self._proving:
                self._await_the_first()
            now = self._clock()
            circuits = (self._all, self._circuits[kind])
            for circuit in circuits:
                if not circuit.admits(now):
                    raise CircuitOpen(
                        f"DIS is not asked now, as calls would fail ({circuit.cause}); nothing was sent",
                        retry_after=circuit.left(now),
                        metadata={"cause": circuit.cause},
                    )
            for circuit in circuits:
                circuit.enter()
            self._proving += not self._proven

    def _await_the_first(self) -> None:
        """Wait for the call that is under way. If it fails so does this; if it takes long, this one goes beside it."""
        attempts = self._attempts
        while not self._proven and self._attempts == attempts:
            proving = self._proving
            if not self._changed.wait_for(
                lambda: self._attempts != attempts or self._proving != proving,  # noqa: B023
                self._patience,
            ):
                return
        if not self._proven:
            raise CircuitOpen(
                "DIS could not be asked by the first call, which this one waited for; nothing was sent",
                retry_after=1.0,
                metadata={"cause": UpstreamUnavailable.reason},
            )

    def leave(self, kind: Kind, error: GatewayError | None) -> None:
        """A call has ended: with this error, or well."""
        with self._changed:
            now = self._clock()
            self._proving = max(0, self._proving - 1)
            self._attempts += 1
            if error is not None and _failed(error):
                self._failed(kind, error, now)
            else:
                self._proven = True
                self._answered(kind, error, now)
            self._changed.notify_all()

    def _failed(self, kind: Kind, error: GatewayError, now: float) -> None:
        circuit = self._circuits[kind]
        if self._all.state is State.PROBING:
            self._all.open_again(now)
        if self._failures[kind].failed() or circuit.state is State.PROBING:
            cause = error.reason if isinstance(error, CredentialsUnavailable) else UpstreamUnavailable.reason
            circuit.open(now, self._settings.open_seconds, cause)

    def _answered(self, kind: Kind, error: GatewayError | None, now: float) -> None:
        self._failures[kind].answered()
        self._circuits[kind].close()
        seconds = self._seconds_for(error)
        if error is not None and seconds:
            self._all.open(now, seconds, error.reason)
        else:
            self._all.close()

    def _seconds_for(self, error: GatewayError | None) -> float:
        if error is None:
            return 0.0
        if error.reason == "UPSTREAM_BLACKLISTED":
            return self._settings.blacklisted_seconds
        if error.reason in _REJECTED:
            return self._settings.rejected_seconds
        return 0.0


def _failed(error: GatewayError) -> bool:
    """Whether DIS could not be asked, or broke: what it refuses it has answered."""
    return isinstance(error, OutcomeUnknown | CredentialsUnavailable) or error.reason == UpstreamUnavailable.reason
