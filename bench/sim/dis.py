"""A DIS as its callers meet it: it answers in 20 ms, until its script says otherwise; and it counts."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from enum import Enum

from bench.sim.clock import Clock

HOUR = 3600
_CONNECT = 0.001


class Outcome(Enum):
    """What became of one call that was sent."""

    OK = "ok"
    THROTTLED = "throttled"
    REJECTED = "rejected"
    BLACKLISTED = "blacklisted"
    BROKEN = "broken"
    REFUSED = "refused"
    TIMED_OUT = "timed out"


class Way(Enum):
    """How DIS is in trouble."""

    LIMITED = "limited"
    REFUSING = "refusing"
    BREAKING = "breaking"
    SLOW = "slow"
    REJECTING = "rejecting"


@dataclass(frozen=True)
class Trouble:
    """What is wrong from ``start`` to ``end``, in seconds; with ``period`` only in each first half of one.

    ``limit``: calls a second, for ``LIMITED``. ``blacklists``: whether DIS blocks the address of rejected calls.
    """

    way: Way
    start: float
    end: float
    period: float = 0.0
    limit: float = 0.0
    blacklists: bool = False

    def at(self, now: float) -> Way | None:
        """What is wrong at a time."""
        if not self.start <= now < self.end:
            return None
        if self.period and (now - self.start) % self.period >= self.period / 2:
            return None
        return self.way


class Blacklist:
    """Blocks the one address that all calls come from. That it does is documented; these numbers are assumed."""

    REJECTED = 100
    WINDOW = 60.0
    SECONDS = 300.0

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._until = 0.0

    def blocks(self, now: float) -> bool:
        """Whether a call that comes now is blocked; then it prolongs that."""
        if now >= self._until:
            return False
        self._until = now + self.SECONDS
        return True

    def rejected(self, now: float) -> None:
        """A call was rejected."""
        self._recent.append(now)
        while self._recent[0] < now - self.WINDOW:
            self._recent.popleft()
        if len(self._recent) >= self.REJECTED:
            self._until = now + self.SECONDS


class Dis:
    """Answers calls. ``sent`` and ``failed`` count them by the second in which they arrived."""

    SLOW = 30.0

    def __init__(self, clock: Clock, trouble: Trouble, rng: random.Random, seconds: int = HOUR) -> None:
        self._clock = clock
        self._trouble = trouble
        self._rng = rng
        self._blacklist = Blacklist()
        self._tokens = trouble.limit
        self._filled = trouble.start
        self.sent = [0] * seconds
        self.failed = [0] * seconds

    def ask(self, *, timeout: float, trusted: bool) -> Outcome:
        """Send a call and wait for what becomes of it. ``trusted``: whether its signature is right."""
        arrived = self._clock.now
        outcome, seconds = self._outcome(arrived, trusted)
        if seconds > timeout:
            outcome, seconds = Outcome.TIMED_OUT, timeout
        if arrived < len(self.sent):
            self.sent[int(arrived)] += 1
            self.failed[int(arrived)] += outcome is not Outcome.OK
        self._clock.sleep(seconds)
        return outcome

    def _outcome(self, now: float, trusted: bool) -> tuple[Outcome, float]:
        """What becomes of a call that comes now, and after how many seconds."""
        way = self._trouble.at(now)
        usual = self._rng.uniform(0.015, 0.025)
        if way is Way.REFUSING:
            return Outcome.REFUSED, _CONNECT
        if way is Way.SLOW:
            return Outcome.OK, self.SLOW
        if way is Way.BREAKING:
            return Outcome.BROKEN, usual
        if self._trouble.blacklists and self._blacklist.blocks(now):
            return Outcome.BLACKLISTED, usual
        if not trusted:
            self._blacklist.rejected(now)
            return Outcome.REJECTED, usual
        if way is Way.LIMITED and not self._admits(now):
            return Outcome.THROTTLED, usual
        return Outcome.OK, usual

    def _admits(self, now: float) -> bool:
        """A bucket of one second's worth of calls."""
        limit = self._trouble.limit
        self._tokens = min(limit, self._tokens + (now - self._filled) * limit)
        self._filled = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
