"""How things stand at one moment, for people who look: small copies, so that looking holds nobody up."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model import CheckpointKey, SequenceNumber


@dataclass(frozen=True, slots=True)
class CachedKey:
    """What is known of a key. ``age`` is in seconds since DIS was asked.

    ``servable`` tells that reads may be answered from it while it is young. ``number`` None: there is no checkpoint,
    or, if it is not servable, that what DIS has is not known.
    """

    key: CheckpointKey
    number: SequenceNumber | None
    age: float
    servable: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """A key with something under way.

    ``doing`` is what its lane does now (``write``, ``delete``, ``compare``: asks DIS before it decides on a commit,
    ``linger``: waits for callers to come back, or nothing), for so many ``seconds``, for the sake of ``carried`` calls,
    while ``waiting`` wait. ``reads`` are under way to DIS beside it, for ``readers``.
    """

    key: CheckpointKey
    doing: str
    seconds: float
    carried: int
    waiting: int
    reads: int
    readers: int
