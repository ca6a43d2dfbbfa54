"""What is known of each checkpoint: bounded, the least recently used goes first.

Each piece of knowledge has the order in which it was gained. Order, not time, decides what is newer: of two things that
DIS said, the one that was asked for later; a write counts from when DIS answered it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from gateway.model import Checkpoint, CheckpointKey, SequenceNumber


@dataclass(frozen=True, slots=True)
class Known:
    """What DIS said of one key, or that nobody knows what it has.

    ``asked`` and ``at`` are from when DIS was asked, in order and in seconds on the monotonic clock; ``order`` is from
    when it counts. A ``checkpoint`` can be served; ``number`` alone only tells whether a commit goes back. Neither of
    them, and no ``doubt``: DIS said that there is no checkpoint. With ``doubt``, DIS must be asked.
    """

    order: int
    asked: int
    at: float
    number: SequenceNumber | None = None
    checkpoint: Checkpoint | None = None
    doubt: bool = False

    @classmethod
    def said(cls, order: int, asked: int, at: float, checkpoint: Checkpoint | None) -> Known:
        """DIS has this checkpoint, or none."""
        return cls(order, asked, at, checkpoint.sequence_number if checkpoint else None, checkpoint)

    @property
    def complete(self) -> bool:
        """Whether it says all about the checkpoint: the whole of it, or that there is none."""
        return self.checkpoint is not None or (self.number is None and not self.doubt)


class CheckpointCache:
    """The last known of at most ``max_entries`` keys. Belongs to the lock of its owner."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._known: OrderedDict[CheckpointKey, Known] = OrderedDict()

    def get(self, key: CheckpointKey) -> Known | None:
        """What is known of a key, which is now the last to go."""
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
        return known

    def put(self, key: CheckpointKey, known: Known) -> None:
        """Replace what is known of a key, which is now the last to go."""
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > self._max_entries:
            self._known.popitem(last=False)

    def latest(self, limit: int) -> Sequence[tuple[CheckpointKey, Known]]:
        """At most ``limit`` keys with what is known of them, the last to go first."""
        return list(islice(reversed(self._known.items()), limit))

    def __len__(self) -> int:
        return len(self._known)
