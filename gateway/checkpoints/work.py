"""What goes in and out of the core: calls that wait, jobs that ask DIS, and effects for the driver to carry out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TypeVar

from gateway.errors import GatewayError
from gateway.model import Checkpoint, CheckpointKey, Commit, SequenceNumber
from gateway.trace import Trace

ResultT = TypeVar("ResultT")


class Source(Enum):
    """Where the answer to a read came from."""

    CACHE = "cache"
    UPSTREAM = "upstream"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class ReadResult:
    """``checkpoint`` is None where DIS says that there is none. ``age`` is in seconds since DIS confirmed it.

    Of two results of one key, the one with the higher ``order`` is newer.
    """

    checkpoint: Checkpoint | None
    source: Source
    age: float = 0.0
    order: int = 0


@dataclass(frozen=True, slots=True)
class CommitResult:
    """``effective`` is what DIS has stored; ``superseded``: it is higher than what this caller committed."""

    effective: Checkpoint
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Deleted:
    """The checkpoint is gone."""


Result = ReadResult | CommitResult | Deleted | GatewayError


class Phase(Enum):
    """How far a call has got."""

    NEW = "new"
    READING = "reading"
    """waits for a read of DIS"""
    QUEUED = "queued"
    """waits in its lane; nothing was sent for it"""
    WRITING = "writing"
    """its write is sent, or waits for a thread: see ``WriteJob.taken_up``"""
    DONE = "done"


@dataclass(slots=True, eq=False)
class Call:
    """One caller's wait. ``deadline`` is on the core's clock, in seconds."""

    key: CheckpointKey
    deadline: float
    phase: Phase = field(default=Phase.NEW, init=False)
    trace: Trace | None = field(default=None, kw_only=True)

    def answered(self, result: Result) -> None:
        """Called once, outside every lock, with how it ended."""


@dataclass(slots=True, eq=False)
class ReadCall(Call):
    """``fresh``: DIS must confirm it after the call began. ``max_age`` in seconds bounds a cached value."""

    fresh: bool = False
    max_age: float | None = None
    allow_stale: bool = False


@dataclass(slots=True, eq=False)
class CommitCall(Call):
    """A commit to be written through."""

    commit: Commit

    @property
    def number(self) -> SequenceNumber:
        """The number to be committed."""
        return self.commit.number


@dataclass(slots=True, eq=False)
class DeleteCall(Call):
    """A delete of one partition's checkpoint."""


WriteCall = CommitCall | DeleteCall


@dataclass(slots=True, eq=False)
class ReadJob:
    """Ask DIS for a key. ``order`` and ``at`` are from when it was started.

    ``calls`` get the answer. ``deciding`` are commits that wait to learn whether they would go back.
    """

    key: CheckpointKey
    order: int
    at: float
    calls: list[ReadCall] = field(default_factory=list)
    deciding: list[CommitCall] = field(default_factory=list)

    def until(self) -> float:
        """When the last of those who wait for it gives up, on the core's clock."""
        return _latest([*self.calls, *self.deciding])

    def traces(self) -> Sequence[Trace]:
        """Of those for whom it is done; more may join."""
        return _traces([*self.calls, *self.deciding])


@dataclass(slots=True, eq=False)
class WriteJob:
    """Write to DIS: ``commit``, or where it is None, delete. ``calls`` are those whose value it carries.

    ``order`` and ``at`` are from when it was started.
    """

    key: CheckpointKey
    order: int
    at: float
    calls: Sequence[WriteCall]
    commit: Commit | None = None
    taken_up: bool = False
    """whether a thread has it; before that nothing was sent, and those who wait for it may change"""

    def until(self) -> float:
        """When the last of those who wait for it gives up, on the core's clock."""
        return _latest(self.calls)

    def traces(self) -> Sequence[Trace]:
        """Of those for whom it is done, the one whose value is sent first."""
        sent = [call for call in self.calls if isinstance(call, CommitCall) and call.commit is self.commit]
        return _traces([*sent, *(call for call in self.calls if call not in sent)])


def _latest(calls: Sequence[Call]) -> float:
    return max((call.deadline for call in calls if call.phase is not Phase.DONE), default=0.0)


def _traces(calls: Sequence[Call]) -> Sequence[Trace]:
    return [call.trace for call in calls if call.trace is not None]


Job = ReadJob | WriteJob


@dataclass(frozen=True, slots=True)
class Start:
    """Carry out a job, and hand its outcome to ``Core.finished``."""

    job: Job


@dataclass(frozen=True, slots=True, eq=False)
class Linger:
    """A lane waits before its next write, until so many ``calls`` like one that it carried are there.

    Begun ``at``; hand it to ``Core.lingered`` at ``until``, both on the core's clock. ``written`` is when the next
    write is likely to be done if it begins then.
    """

    key: CheckpointKey
    at: float
    until: float
    written: float
    calls: int
    like: WriteCall


@dataclass(slots=True)  # frozen ones take three times as long to make, and each call has some
class Answer:
    """Tell some callers how their calls ended: all in the same way."""

    calls: Sequence[Call]
    result: Result


@dataclass(frozen=True, slots=True)
class Changed:
    """The checkpoint of a key is another than before, as far as this gateway knows; a higher ``order`` is newer."""

    key: CheckpointKey
    checkpoint: Checkpoint | None
    order: int


@dataclass(frozen=True, slots=True)
class Outdated:
    """What was known of a key is no longer served, and what DIS has now is not known: whoever follows it must ask."""

    key: CheckpointKey


class Event(StrEnum):  # whose hash costs nothing, and each read looks one up
    """What is worth counting."""

    CACHE_HIT = "cache_hit"
    CACHE_MISS = "cache_miss"
    FLIGHT_SHARED = "flight_shared"
    FOLDED = "folded"
    REGRESSION_REFUSED = "regression_refused"
    REGRESSION_ALLOWED = "regression_allowed"
    REWOUND = "rewound"
    DOUBTED = "doubted"
    OVERLOADED = "overloaded"
    READ_OVERLOADED = "read_overloaded"
    SERVED_STALE = "served_stale"


@dataclass(slots=True)
class Note:
    """Something to count, and for some events to log. ``age`` in seconds is that of what the cache had."""

    event: Event
    key: CheckpointKey
    count: int = 1
    before: SequenceNumber | None = None
    after: SequenceNumber | None = None
    age: float | None = None


Effect = Start | Linger | Answer | Changed | Outdated | Note


def expected(result: Result, kind: type[ResultT]) -> ResultT:
    """The result that it must be. Raises the :class:`GatewayError` that it is instead."""
    if isinstance(result, GatewayError):
        raise result
    if not isinstance(result, kind):
        raise TypeError(f"{result!r} is no {kind.__name__}")
    return result
