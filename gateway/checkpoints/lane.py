"""A key with something under way: the lane of its writes, which fold and linger, and the reads beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from gateway.checkpoints.cache import Known
from gateway.checkpoints.snapshots import Lane
from gateway.checkpoints.work import CommitCall, Linger, ReadCall, ReadJob, WriteCall, WriteJob
from gateway.model import CheckpointKey

_LINGER_SHARE = 0.75
"""For how much of the time of a write its callers are waited for, before the next"""
_LINGER_MIN, _LINGER_MAX = 0.0005, 0.015
"""and the bounds of that, in seconds: below the first it is not worth while"""
_LINGER_PAYS = 0.75
"""It paid if this share of them came"""
_HASTY_MAX = 63
"""Writes after which it is tried again at the latest, while the lane stays busy"""


@dataclass(slots=True)
class KeyState:
    """A key with something under way. ``known`` is the truth while the state lives, whatever the cache drops."""

    known: Known | None
    queue: deque[WriteCall] = field(default_factory=deque)
    writing: WriteJob | ReadJob | Linger | None = None
    """what its lane is at: a write, a read to decide on one, or a pause before the next"""
    flights: list[ReadJob] = field(default_factory=list)
    overtaken: list[ReadCall] = field(default_factory=list)
    """reads that a write has overtaken: they are read for again while no write is under way"""
    seen: bool = False
    """whether DIS said something while the write was under way: before or after it was applied, nobody knows"""
    hasty: int = 0
    """so many writes for several are followed by the next at once, as lingering did not pay"""
    disappointed: int = 0
    """how many those were the last time"""

    @property
    def idle(self) -> bool:
        return self.writing is None and not (self.queue or self.flights or self.overtaken)

    def fold(self) -> list[WriteCall]:
        """Take the head of the lane, and what may go in one write with it."""
        batch = [self.queue.popleft()]
        while self.queue and _folds(batch[0], self.queue[0]):
            batch.append(self.queue.popleft())
        return batch

    def linger_after(self, job: WriteJob, carried: int, now: float, most: int) -> Linger | None:
        """A pause for those whom a write ``carried`` to come back, ``most`` at the most; None where it may not pay."""
        if self.hasty:
            self.hasty -= 1
            return None
        took = now - job.at
        seconds = min(_LINGER_MAX, took * _LINGER_SHARE)
        if seconds < _LINGER_MIN or self.overtaken:
            return None
        calls = min(carried + len(self.queue), most)
        linger = Linger(job.key, now, now + seconds, now + seconds + took, calls, job.calls[0])
        return linger if all(_may_wait(linger, call) for call in self.queue) else None

    def lingers_on(self, linger: Linger, now: float) -> bool:
        """Whether calls are still waited for, and nothing waits that should not."""
        queue = self.queue
        if self.overtaken or now >= linger.until or len(queue) >= linger.calls:
            return False
        return not queue or _may_wait(linger, queue[-1])

    def end_linger(self, linger: Linger, now: float) -> None:
        """Wait no longer, and learn whether it paid."""
        self.writing = None
        if len(self.queue) >= _LINGER_PAYS * linger.calls:
            self.disappointed = 0
        elif now >= linger.until:
            # they come and go without waiting for each other
            self.disappointed = min(2 * self.disappointed + 1, _HASTY_MAX)
            self.hasty = self.disappointed

    def snapshot(self, key: CheckpointKey, now: float) -> Lane:
        """For people who look."""
        job = self.writing
        if isinstance(job, Linger):
            doing, carried = "linger", 0
        elif isinstance(job, ReadJob):
            doing, carried = "compare", len(job.deciding)
        elif job is not None:
            doing, carried = "write" if job.commit else "delete", len(job.calls)
        else:
            doing, carried = "", 0
        return Lane(
            key,
            doing,
            now - job.at if job else 0.0,
            carried,
            len(self.queue),
            len(self.flights),
            sum(len(flight.calls) for flight in self.flights) + len(self.overtaken),
        )


def _may_wait(linger: Linger, call: WriteCall) -> bool:
    """Whether a call has the time, and goes into one write with those that are waited for."""
    return call.deadline > linger.written and _folds(linger.like, call)


def _folds(head: WriteCall, other: WriteCall) -> bool:
    """Whether two writes may become one: both plain commits of one member of the consumer group."""
    if not (isinstance(head, CommitCall) and isinstance(other, CommitCall)):
        return False
    one, two = head.commit, other.commit
    if one.allow_rewind or two.allow_rewind:
        return False
    return one.membership is two.membership or one.membership == two.membership


def highest_of(commits: Sequence[CommitCall]) -> CommitCall:
    """The one with the highest number, and of equals the latest."""
    return max(reversed(commits), key=attrgetter("commit.number"))
