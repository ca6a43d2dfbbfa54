"""How many calls a second go to DIS: what the callers want, until DIS throttles; then less, and slowly more again.

Additive increase, multiplicative decrease, as TCP does it: the gateways of a project that share one limit end up with
fair shares of it, and a throttled upstream is not hit by waves of retries.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import structlog

from gateway.errors import Status, UpstreamError

SLOWER = 0.8
"""What is left of the rate after DIS has throttled."""
FASTER = 0.03
"""Share of the rate after a cut that comes back each second, and"""
FASTER_AT_LEAST = 0.5
"""so many calls a second each second; at first, and"""
TWICE_AS_FAST = 20.0
"""twice as fast once so many seconds have gone well, five times after twice as many: the limit is not near, then."""
SLOWEST = 5.0
"""Calls a second, however often DIS throttles."""
HELD = 1.0
"""Seconds after a cut, and after the last place that was given before it, in which there is no other: how calls fare
that were under way, or go out at the old rate, says nothing of the new one."""
FORGOTTEN = 120.0
"""Seconds without throttling after which the rate is free again."""
WAITED = 0.5
"""Share of a call's time that it may wait for its turn: if all waited to the last moment, all would be late."""
_BURST = 0.25
"""Seconds' worth of calls that may go at once."""

log = structlog.get_logger("gateway.dis")


class Pace:
    """Thread-safe. ``clock`` gives seconds; ``most`` is in calls a second."""

    def __init__(self, clock: Callable[[], float], most: float = math.inf) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._cut_to = math.inf
        self._cut_at = -math.inf
        self._in_force = -math.inf
        self._next = -math.inf
        self._second = -math.inf
        self._sent = 0
        self._rate = 0.0

    @property
    def limit(self) -> float:
        """Calls a second that are sent at most now; infinite where nothing limits them."""
        with self._lock:
            return self._limit(self._clock())

    def reserve(self, until: float) -> float:
        """Take the next place in the row; gives the seconds until it comes.

        Raises :class:`UpstreamError` where it comes too late for a call that has time ``until`` then: the place stays
        free.
        """
        with self._lock:
            now = self._clock()
            limit = self._limit(now)
            wait = 0.0
            if limit < math.inf:
                wait = max(0.0, self._next - now)
                if wait > WAITED * (until - now):
                    raise _too_long(wait)
                self._next = max(self._next, now - _BURST) + 1.0 / limit
            self._measure(now + wait)
            return wait

    def throttled(self) -> None:
        """DIS has said that it is asked too often."""
        with self._lock:
            now = self._clock()
            if now < self._in_force + HELD:
                return
            limit = self._limit(now)
            self._cut_to = max(SLOWEST, SLOWER * min(limit, max(self._rate, float(self._sent))))
            self._cut_at = now
            self._in_force = max(now, self._next)
            log.warning("slower_towards_dis", calls_a_second=round(self._cut_to, 1))

    def _limit(self, now: float) -> float:
        if now - self._cut_at >= FORGOTTEN:
            return self._most
        since = max(0.0, now - self._in_force)
        gained = max(FASTER_AT_LEAST, FASTER * self._cut_to) * since * (1.0 + (since / TWICE_AS_FAST) ** 2)
        return min(self._most, self._cut_to + gained)

    def _measure(self, now: float) -> None:
        """How many calls were sent in the last whole second."""
        if now - self._second >= 1.0:
            self._rate = self._sent / (now - self._second) if now - self._second < 2.0 else 0.0
            self._second, self._sent = now, 0
        self._sent += 1


def _too_long(wait: float) -> UpstreamError:
    return UpstreamError(
        "DIS throttles, or upstream.max_calls_per_second does: the turn of this call comes too late; nothing was sent",
        status=Status.RESOURCE_EXHAUSTED,
        reason="UPSTREAM_THROTTLED",
        retry_after=max(1.0, wait),
        metadata={"held_back_by": "gateway"},
    )
