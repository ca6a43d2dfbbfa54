"""What is known of each checkpoint: bounded, the least recently used goes first.

Each piece of knowledge has the order in which it was gained. Order, not time, decides what is newer: of two things that
DIS said, the one that was asked for later; a write counts from when DIS answered it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from cachetools import Cache, LRUCache

from gateway.model import Checkpoint, CheckpointKey, SequenceNumber


@dataclass(slots=True, eq=False)
class Known:
    """What DIS said of one key, or that nobody knows what it has.

    ``asked`` and ``at`` are from when DIS was asked, in order and in seconds on the monotonic clock; ``order`` is from
    when it counts. A checkpoint that was ``said`` can be served; a number alone only tells whether a commit goes back.
    None, and no ``doubt``: DIS said that there is no checkpoint. With ``doubt``, DIS must be asked.

    Never changes but for ``current``: false once the cache has something else of the key, or nothing.
    """

    order: int
    asked: int
    at: float
    said: Checkpoint | SequenceNumber | None = None
    doubt: bool = False
    current: bool = field(default=True, init=False)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What can be served; None where that is that there is none, too."""
        return self.said if isinstance(self.said, Checkpoint) else None

    @property
    def number(self) -> SequenceNumber | None:
        """That of the checkpoint; None where there is none, and where nobody knows."""
        return self.said.sequence_number if isinstance(self.said, Checkpoint) else self.said

    @property
    def complete(self) -> bool:
        """Whether it says all about the checkpoint: the whole of it, or that there is none."""
        return not self.doubt and not isinstance(self.said, SequenceNumber)


_RECENT_MAX = 1000
"""How many of the last entries can be looked at."""


class _Entries(LRUCache[CheckpointKey, Known]):
    """Says of what it drops for want of room that it is not current."""

    def popitem(self) -> tuple[CheckpointKey, Known]:
        key, known = super().popitem()
        known.current = False
        return key, known


class CheckpointCache:
    """The last known of at most ``max_entries`` keys. Belongs to the lock of its owner."""

    def __init__(self, max_entries: int) -> None:
        self._known = _Entries(max_entries)
        self._recent: deque[CheckpointKey] = deque(maxlen=_RECENT_MAX)

    def get(self, key: CheckpointKey) -> Known | None:
        """What is known of a key, which is now the last to go."""
        return self._known.get(key)

    def put(self, key: CheckpointKey, known: Known) -> None:
        """Replace what is known of a key, which is now the last to go."""
        before = self._known.get(key)
        if before is not None:
            before.current = False
        self._known[key] = known
        self._recent.append(key)

    def latest(self, limit: int) -> Sequence[tuple[CheckpointKey, Known]]:
        """At most ``limit`` keys with what is known of them, the last heard of first. Looking changes no order."""
        recent = dict.fromkeys(reversed(self._recent))
        known = ((key, self._peek(key)) for key in recent)
        return list(islice(((key, one) for key, one in known if one is not None), limit))

    def _peek(self, key: CheckpointKey) -> Known | None:
        # the look-up of the base, which does not count as use
        return Cache.__getitem__(self._known, key) if key in self._known else None

    def __len__(self) -> int:
        return len(self._known)
