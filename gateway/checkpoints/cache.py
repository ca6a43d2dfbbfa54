"""What is known of each checkpoint: bounded, and what was not used for long goes first.

Each piece of knowledge has the order in which it was gained. Order, not time, decides what is newer: of two things that
DIS said, the one that was asked for later; a write counts from when DIS answered it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from cachetools import Cache

from gateway.model import Checkpoint, CheckpointKey, SequenceNumber


@dataclass(slots=True, eq=False)
class Known:
    """What DIS said of one key, or that nobody knows what it has.

    ``asked`` and ``at`` are from when DIS was asked, in order and in seconds on the monotonic clock; ``order`` is from
    when it counts. A checkpoint that was ``said`` can be served; a number alone only tells whether a commit goes back.
    None, and no ``doubt``: DIS said that there is no checkpoint. With ``doubt``, DIS must be asked.

    Never changes but for ``current``, false once the cache has something else of the key, or nothing; and for ``used``,
    which is the cache's own.
    """

    order: int
    asked: int
    at: float
    said: Checkpoint | SequenceNumber | None = None
    doubt: bool = False
    current: bool = field(default=True, init=False)
    used: bool = field(default=False, init=False)

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
_CHANCES = 100
"""So many are looked at, at most, for one that was not used: all may be, and a lock is held for it. With one, 1.7%
fewer reads of keys whose number falls off with their rank find theirs; with a thousand no more."""


class _Entries(Cache[CheckpointKey, Known]):
    """Goes round what it has, and drops the first that was not used since it last came by (second chance, or clock);
    the next one where it has looked at enough.

    So a use costs no more than a mark, where an order of use would have to be kept. Says of what it drops that it is
    not current. Nothing else takes anything out.
    """

    def __init__(self, max_entries: int) -> None:
        super().__init__(max_entries)
        self._round: deque[CheckpointKey] = deque()

    def __setitem__(self, key: CheckpointKey, known: Known) -> None:
        new = key not in self
        super().__setitem__(key, known)
        if new:
            self._round.append(key)

    def popitem(self) -> tuple[CheckpointKey, Known]:
        for _ in range(_CHANCES):
            known = self[self._round[0]]
            if not known.used:
                break
            known.used = False
            self._round.rotate(-1)
        key = self._round.popleft()
        known = self.pop(key)
        known.current = False
        return key, known


class CheckpointCache:
    """The last known of at most ``max_entries`` keys. Belongs to the lock of its owner."""

    def __init__(self, max_entries: int) -> None:
        self._known = _Entries(max_entries)
        self._recent: deque[CheckpointKey] = deque(maxlen=_RECENT_MAX)

    def get(self, key: CheckpointKey) -> Known | None:
        """What is known of a key, which is used now."""
        try:
            known = self._known[key]
        except KeyError:
            return None
        known.used = True
        return known

    def put(self, key: CheckpointKey, known: Known) -> None:
        """Replace what is known of a key; that is a use, too."""
        before = self._known.get(key)
        if before is not None:
            before.current = False
            known.used = True
        self._known[key] = known
        self._recent.append(key)

    def latest(self, limit: int) -> Sequence[tuple[CheckpointKey, Known]]:
        """At most ``limit`` keys with what is known of them, the last heard of first. Looking is no use."""
        recent = dict.fromkeys(reversed(self._recent))
        known = ((key, self._known.get(key)) for key in recent)
        return list(islice(((key, one) for key, one in known if one is not None), limit))

    def __len__(self) -> int:
        return len(self._known)
