"""What becomes of a call when DIS fails: whether it is sent at all, and whether and when it is sent again.

Only decisions stand here; :class:`gateway.dis.client.DisClient` waits and sends. A call is sent again only where the
table of errors says that it helps, and where DIS has certainly not applied it: a write whose fate is unknown never is,
as another program may have written a newer checkpoint meanwhile.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from gateway.dis.breaker import Breaker, Kind, Ticket
from gateway.dis.pace import Pace
from gateway.errors import GatewayError, UpstreamError, UpstreamUnavailable

LONGEST_PAUSE = 5.0
"""Seconds. Where it takes longer the caller is told, and others get the connection."""
_SPARE = 10.0
"""Retries that a calm time can save up for a bad one."""


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """``attempts`` of one call at most. Before the next a random time passes, up to ``base_seconds`` doubled each time.

    ``max_seconds`` bounds that. Retries are at most ``budget_share`` of calls.
    """

    attempts: int = 4
    base_seconds: float = 0.1
    max_seconds: float = 2.0
    budget_share: float = 0.2


class _Budget:
    """Each call brings a share of a retry, each retry takes a whole one."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._lock = threading.Lock()
        self._left = _SPARE if share else 0.0

    def earn(self) -> None:
        with self._lock:
            self._left = min(_SPARE, self._left + self._share)

    def spend(self) -> bool:
        with self._lock:
            if self._left < 1.0:
                return False
            self._left -= 1.0
            return True


class Resilience:
    """Thread-safe. ``clock`` gives seconds; ``uniform`` draws a number between two others."""

    def __init__(
        self,
        breaker: Breaker,
        pace: Pace,
        settings: RetrySettings,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.breaker = breaker
        self.pace = pace
        self.on_retry: Callable[[], None] = lambda: None
        self._settings = settings
        self.clock = clock
        self._uniform = uniform
        self._budget = _Budget(settings.budget_share)

    def begin(self) -> None:
        """A call, of one or more attempts, begins."""
        self._budget.earn()

    def wait(self, kind: Kind, signed_by: object, until: float) -> float:
        """Seconds to wait before the next attempt is sent.

        Raises :class:`UpstreamError` if that is too long, and :class:`gateway.errors.CircuitOpen` if it would not be
        sent even then.
        """
        self.breaker.check(kind, signed_by)
        return self.pace.reserve(until)

    def enter(self, kind: Kind, signed_by: object) -> Ticket | None:
        """An attempt is to be sent now; :meth:`ended` or :meth:`withdrawn` must follow. See :class:`Breaker`."""
        return self.breaker.enter(kind, signed_by)

    def ended(self, ticket: Ticket, error: GatewayError | None) -> None:
        """The attempt has ended."""
        self.breaker.leave(ticket, error)
        if error is not None and error.reason == "UPSTREAM_THROTTLED":
            self.pace.throttled()

    def withdrawn(self, ticket: Ticket, *, rejected: bool = False) -> None:
        """The attempt was not sent, or it was ``rejected`` and is sent again, signed with something else."""
        self.breaker.withdraw(ticket, rejected=rejected)

    def pause(self, error: GatewayError, attempts: int, until: float) -> float | None:
        """Seconds after which to send it again; None if that is not to be. ``attempts``: how many there were."""
        if not _may_be_sent_again(error) or attempts >= self._settings.attempts:
            return None
        longest = min(self._settings.max_seconds, self._settings.base_seconds * 2.0 ** (attempts - 1))
        asked = error.asked_to_wait if isinstance(error, UpstreamError) else 0.0
        seconds = asked + self._uniform(0.0, longest)
        if seconds > LONGEST_PAUSE or self.clock() + seconds >= until or not self._budget.spend():
            return None
        self.on_retry()
        return seconds


def _may_be_sent_again(error: GatewayError) -> bool:
    """Errors after which nothing was applied, and that pass: DIS throttles, breaks on a read, cannot be reached."""
    return isinstance(error, UpstreamError | UpstreamUnavailable) and error.retry_after is not None
