"""Keeps calls from DIS that would fail, and that DIS would count against this address.

DIS blacklists an address after too many failures, and every further call prolongs that. So:

- Until DIS has accepted what a call is signed with, one is sent at a time, and one more beside it where DIS is slow:
  wrong credentials cost one call or two, not one for each caller.
- Rejected credentials and blacklisting stop all calls at once, for long; failures in a row stop those of their kind,
  reads or writes, for a short time.
- After that time one call goes through as a probe; the others are refused until it is known how that one ended.
- Others in place of rejected credentials are tried before that time is over. Whatever they are, at most
  :data:`REJECTIONS` calls that DIS rejects are sent in :data:`REJECTIONS_SECONDS`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import structlog

from gateway.errors import CircuitOpen, GatewayError, OutcomeUnknown, UpstreamUnavailable

log = structlog.get_logger("gateway.dis")

WINDOW = 50
"""Calls that the share of failures is taken of."""
PATIENCE = 1.0
"""Seconds that the first call may take before another is sent beside it."""
REJECTIONS = 3
REJECTIONS_SECONDS = 60.0
ALL = "all"
"""The name of the circuit that every call goes through; the others have the names of :class:`Kind`."""

REJECTED = frozenset({"UPSTREAM_CREDENTIALS_REJECTED", "UPSTREAM_CLOCK_SKEW"})
"""Reasons that say that DIS does not accept what the call was signed with."""
_BLACKLISTED = "UPSTREAM_BLACKLISTED"
_SAYS_NOTHING = frozenset({_BLACKLISTED, "UPSTREAM_THROTTLED", "UPSTREAM_ENDPOINT_INVALID"})
"""Answers that may have been given before anybody looked at the signature."""


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
    """Closed, open for a time, or probed by one call. Its user holds the lock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cause = ""
        self._open = False
        self._prober: Ticket | None = None
        self._seconds = 0.0
        self._until = 0.0

    @property
    def state(self) -> State:
        if self._prober is not None:
            return State.PROBING
        return State.OPEN if self._open else State.CLOSED

    def state_at(self, now: float) -> State:
        return State.PROBING if self.state is State.OPEN and now >= self._until else self.state

    def admits(self, now: float) -> bool:
        return not self._open or (self._prober is None and now >= self._until)

    def left(self, now: float) -> float:
        return max(1.0, self._until - now)

    def probe(self, ticket: Ticket) -> None:
        """The call finds out how it stands, where that is not known."""
        if self._open and self._prober is None:
            self._prober = ticket

    def probed_by(self, ticket: Ticket) -> bool:
        return self._prober is ticket

    def open(self, now: float, seconds: float, cause: str) -> bool:
        """Whether that is new: whoever was under way when it opened does not shorten the time."""
        until, was = now + seconds, self.state
        if was is State.OPEN and until <= self._until:
            return False
        same = was is State.OPEN and cause == self.cause
        self._open, self._prober = True, None
        self.cause, self._seconds, self._until = cause, seconds, max(until, self._until)
        return not same

    def open_again(self, now: float) -> bool:
        """A probe has failed."""
        return self.open(now, self._seconds, self.cause)

    def close(self) -> None:
        self._open, self._prober, self.cause = False, None, ""

    def probe_withdrawn(self, now: float) -> None:
        """The probe has said nothing: the next call is one."""
        self._prober, self._until = None, now


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


@dataclass(slots=True, eq=False)
class Ticket:
    """The leave to send one call. ``signed_by`` is what it is signed with, and what is equal to that."""

    kind: Kind
    signed_by: object
    proves: bool
    """whether DIS had not accepted that before"""
    began: float


class Breaker:
    """Thread-safe. ``clock`` gives seconds."""

    def __init__(self, settings: BreakerSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._all = _Circuit(ALL)
        self._circuits = {kind: _Circuit(kind.value) for kind in Kind}
        self._failures = {kind: _Failures(settings) for kind in Kind}
        self._accepted: object | None = None
        self._rejected: object | None = None
        self._proving: list[Ticket] = []
        self._rejections: list[float] = []
        """when those were sent that DIS has rejected although it had not accepted the same before"""

    def states(self) -> Mapping[str, State]:
        """How each circuit stands, by its name; one whose next call is a probe counts as probing."""
        with self._lock:
            now = self._clock()
            return {one.name: one.state_at(now) for one in (self._all, *self._circuits.values())}

    def causes(self) -> Mapping[str, str]:
        """Why each circuit that is not closed was opened, by its name."""
        with self._lock:
            return {one.name: one.cause for one in (self._all, *self._circuits.values()) if one.cause}

    @property
    def shut_out(self) -> str:
        """Why calls of some kind are not sent: the reason of the error that stopped them. Empty where all are sent.

        A call that would be a probe is sent: whoever stays away for this reason must come back for it.
        """
        with self._lock:
            now = self._clock()
            return next((one.cause for one in (self._all, *self._circuits.values()) if not one.admits(now)), "")

    def check(self, kind: Kind, signed_by: object) -> None:
        """Raises :class:`CircuitOpen` where :meth:`enter` would."""
        with self._lock:
            self._check(kind, signed_by, self._clock())

    def enter(self, kind: Kind, signed_by: object) -> Ticket | None:
        """Ask to send a call; :meth:`leave` or :meth:`withdraw` must follow. Raises :class:`CircuitOpen`.

        None: others find out whether DIS accepts what it is signed with; ask again in a moment.
        """
        with self._lock:
            now = self._clock()
            self._check(kind, signed_by, now)
            proves = signed_by != self._accepted
            if proves and self._proving and not self._one_beside(now):
                return None
            ticket = Ticket(kind, signed_by, proves, now)
            for circuit in (self._all, self._circuits[kind]):
                circuit.probe(ticket)
            if proves:
                self._proving.append(ticket)
            return ticket

    def leave(self, ticket: Ticket, error: GatewayError | None) -> None:
        """The call has ended: with this error, or well."""
        with self._lock:
            now = self._clock()
            probed = self._ended(ticket)
            if error is not None and _failed(error):
                opened = self._failed(ticket, now)
            else:
                opened = self._answered(ticket, error, now)
            self._settle(ticket, now)
            closed = [circuit.name for circuit in probed if circuit.state is State.CLOSED]
            told = [(circuit.name, circuit.cause, circuit.left(now)) for circuit in opened]
        # outside of the lock, as a log can be slow
        for name, cause, seconds in told:
            log.warning("breaker_opened", circuit=name, cause=cause, seconds=round(seconds, 1))
        for name in closed:
            log.info("breaker_closed", circuit=name)

    def withdraw(self, ticket: Ticket, *, rejected: bool = False) -> None:
        """The call says nothing of how DIS is: it was not sent, or it is sent again, signed with something else.

        ``rejected``: DIS has rejected what it was signed with.
        """
        with self._lock:
            now = self._clock()
            self._ended(ticket)
            if rejected and ticket.proves:
                self._rejected_now(ticket, now)
            self._settle(ticket, now)

    def _check(self, kind: Kind, signed_by: object, now: float) -> None:
        for circuit in (self._all, self._circuits[kind]):
            if not circuit.admits(now) and not self._replaced(circuit, signed_by):
                raise _refused(circuit.cause, circuit.left(now))
        if signed_by != self._accepted and self._recent(now) >= REJECTIONS:
            left = min(self._rejections) + REJECTIONS_SECONDS - now
            raise _refused("UPSTREAM_CREDENTIALS_REJECTED", max(1.0, left))

    def _recent(self, now: float) -> int:
        return sum(1 for sent in self._rejections if now - sent < REJECTIONS_SECONDS)

    def _one_beside(self, now: float) -> bool:
        """Whether another may be sent although one is under way that finds out the same."""
        if len(self._proving) > 1 or now - self._proving[0].began < PATIENCE:
            return False
        recent = self._recent(now)
        return not recent or recent + len(self._proving) < REJECTIONS

    def _replaced(self, circuit: _Circuit, signed_by: object) -> bool:
        """Whether it is open for credentials other than these."""
        return circuit.state is State.OPEN and circuit.cause in REJECTED and signed_by != self._rejected

    def _ended(self, ticket: Ticket) -> list[_Circuit]:
        """Which circuits it was the probe of."""
        if ticket.proves:
            self._proving.remove(ticket)
        return [circuit for circuit in (self._all, *self._circuits.values()) if circuit.probed_by(ticket)]

    def _settle(self, ticket: Ticket, now: float) -> None:
        """Whatever came of it, it is the probe of nothing any more."""
        for circuit in (self._all, *self._circuits.values()):
            if circuit.probed_by(ticket):
                circuit.probe_withdrawn(now)

    def _rejected_now(self, ticket: Ticket, now: float) -> None:
        self._rejections = [sent for sent in self._rejections if now - sent < REJECTIONS_SECONDS] + [ticket.began]

    def _failed(self, ticket: Ticket, now: float) -> list[_Circuit]:
        circuit = self._circuits[ticket.kind]
        opened = []
        if self._all.probed_by(ticket) and self._all.open_again(now):
            opened.append(self._all)
        too_many = self._failures[ticket.kind].failed()
        if (circuit.probed_by(ticket) or (too_many and circuit.state is not State.PROBING)) and circuit.open(
            now, self._settings.open_seconds, UpstreamUnavailable.reason
        ):
            opened.append(circuit)
        return opened

    def _answered(self, ticket: Ticket, error: GatewayError | None, now: float) -> list[_Circuit]:
        self._failures[ticket.kind].answered()
        reason = "" if error is None else error.reason
        if reason in REJECTED:
            if ticket.proves:
                self._rejected_now(ticket, now)
            elif self._accepted != ticket.signed_by:
                return []  # others have been accepted since it was sent
            self._accepted, self._rejected = None, ticket.signed_by
        elif reason not in _SAYS_NOTHING:
            self._accepted = ticket.signed_by
        for circuit in (self._all, self._circuits[ticket.kind]):
            if circuit.probed_by(ticket):
                circuit.close()
        seconds = self._seconds_for(reason)
        return [self._all] if seconds and self._all.open(now, seconds, reason) else []

    def _seconds_for(self, reason: str) -> float:
        if reason == _BLACKLISTED:
            return self._settings.blacklisted_seconds
        return self._settings.rejected_seconds if reason in REJECTED else 0.0


def _refused(cause: str, seconds: float) -> CircuitOpen:
    return CircuitOpen(
        f"DIS is not asked now, as calls would fail ({cause}); nothing was sent",
        retry_after=seconds,
        metadata={"cause": cause},
    )


def _failed(error: GatewayError) -> bool:
    """Whether DIS could not be asked, or broke: what it refuses it has answered."""
    return isinstance(error, OutcomeUnknown) or error.reason == UpstreamUnavailable.reason
