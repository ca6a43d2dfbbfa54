"""Reads of what is cached, for one who reads the same again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.checkpoints.cache import Known
from gateway.model import CheckpointKey

ShownT = TypeVar("ShownT")
Find = Callable[[CheckpointKey, float | None, float], tuple[Known, float] | None]
"""What can be served of a key at a time, and until when: see ``CheckpointService.find``."""


@dataclass(slots=True, eq=False)
class Held(Generic[ShownT]):
    """What may be served until ``until``, in seconds on the service's clock, as long as it is ``current``.

    ``shown`` is what the reader makes of it.
    """

    known: Known
    until: float
    shown: ShownT


class CachedReads(Generic[ShownT]):
    """Reads of one key from the cache, at almost no cost while what is known of it stays the same.

    They take no lock then: what was once found to be servable is until it is too old, or not ``current``. ``max_age``
    in seconds bounds what the cache has. ``show`` is called once for what is served, not once for each read.
    """

    __slots__ = ("_find", "_held", "_max_age", "_show", "key")

    _NOT_TOUCHED_SECONDS = 1.0
    """After so long the cache is asked all the same, so that it knows what is read."""

    def __init__(
        self,
        find: Find,
        key: CheckpointKey,
        max_age: float | None,
        show: Callable[[Known], ShownT],
    ) -> None:
        self.key = key
        self._max_age = max_age
        self._find = find
        self._show = show
        self._held: Held[ShownT] | None = None

    def look(self, now: float) -> Held[ShownT] | None:
        """What ``CheckpointService.get`` would answer at ``now`` without asking DIS; None where it would ask.

        It is not counted: see ``CheckpointService.count_hit``.
        """
        held = self._held
        if held is None or now >= held.until or not held.known.current:
            held = self._held = self._renewed(held, now)
        return held

    def _renewed(self, before: Held[ShownT] | None, now: float) -> Held[ShownT] | None:
        found = self._find(self.key, self._max_age, now)
        if found is None:
            return None
        known, until = found
        shown = before.shown if before is not None and before.known is known else self._show(known)
        return Held(known, min(until, now + self._NOT_TOUCHED_SECONDS), shown)
