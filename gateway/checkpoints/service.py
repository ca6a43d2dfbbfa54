"""What reading and committing a checkpoint means: cached reads, write-through commits, no silent regress.

Writes of one key reach the store one at a time, in the order in which they got the key's lock. A read that was
overtaken by a write neither fills the cache nor is answered with what it read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from gateway.checkpoints.cache import CheckpointCache
from gateway.checkpoints.keys import KeyState, KeyTable
from gateway.checkpoints.store import CheckpointStore
from gateway.errors import CheckpointRegression, DeadlineTooShort, GatewayError, OutcomeUnknown
from gateway.model import Checkpoint, CheckpointKey, Commit


class Source(Enum):
    """Where the answer to a read came from."""

    CACHE = "cache"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class ReadResult:
    """``checkpoint`` is None where DIS says that there is none. ``age`` is in seconds since DIS confirmed it."""

    checkpoint: Checkpoint | None
    source: Source
    age: float = 0.0


class CheckpointService:
    """Reads and writes checkpoints through a cache. Thread-safe; deadlines are on the clock given, in seconds."""

    def __init__(self, store: CheckpointStore, cache: CheckpointCache, clock: Callable[[], float]) -> None:
        self._store = store
        self._cache = cache
        self._clock = clock
        self._keys = KeyTable()
        self._guard = threading.Lock()  # makes "has the generation moved?" and filling the cache one step

    def get(
        self, key: CheckpointKey, *, fresh: bool = False, max_age: float | None = None, deadline: float
    ) -> ReadResult:
        """The checkpoint of ``key``. ``fresh`` always asks DIS, ``max_age`` (seconds) bounds a cached one."""
        if not fresh and (hit := self._cache.get(key, max_age)) is not None:
            return ReadResult(hit[0], Source.CACHE, hit[1])
        with self._keys.using(key) as state:
            generation = state.generation
            checkpoint = self._store.read(key, deadline)
            if self._learn(key, state, generation, checkpoint):
                return ReadResult(checkpoint, Source.UPSTREAM)
            # a write has overtaken this read
            if not fresh and (hit := self._cache.get(key, max_age)) is not None:
                return ReadResult(hit[0], Source.CACHE, hit[1])
            with self._writing(state, deadline):  # no write can overtake the next one
                checkpoint = self._store.read(key, deadline)
                self._learn(key, state, state.generation, checkpoint)
                return ReadResult(checkpoint, Source.UPSTREAM)

    def commit(self, commit: Commit, *, deadline: float) -> Checkpoint:
        """Write through to DIS; returns the checkpoint that now stands.

        Raises :class:`CheckpointRegression` for a number below the one that DIS has, unless a rewind is allowed.
        ``deadline`` bounds the waiting before the write; a write that was sent is followed to its end.
        """
        with self._keys.using(commit.key) as state, self._writing(state, deadline):
            self._refuse_regress(commit, state, deadline)
            with self._outcome(commit.key, state):
                self._store.commit(commit)
                self._cache_written(commit.key, state, commit.checkpoint)
            return commit.checkpoint

    def delete(self, key: CheckpointKey, *, deadline: float) -> None:
        """Delete one partition's checkpoint from DIS."""
        with self._keys.using(key) as state, self._writing(state, deadline), self._outcome(key, state):
            self._store.delete(key)
            self._cache_written(key, state, None)

    def _refuse_regress(self, commit: Commit, state: KeyState, deadline: float) -> None:
        if commit.allow_rewind:
            return
        number = commit.checkpoint.sequence_number
        known = self._cache.last_known_number(commit.key)
        if known is None or number >= known:
            return
        standing = self._store.read(commit.key, deadline)  # what is known may be outdated: DIS decides
        self._learn(commit.key, state, state.generation, standing)
        if standing is not None and number < standing.sequence_number:
            raise CheckpointRegression(str(number), str(standing.sequence_number))

    def _learn(self, key: CheckpointKey, state: KeyState, generation: int, checkpoint: Checkpoint | None) -> bool:
        """Take over what DIS said, unless a write has moved the generation since the read began."""
        with self._guard:
            if state.generation != generation:
                return False
            self._keep(key, checkpoint)
            return True

    def _cache_written(self, key: CheckpointKey, state: KeyState, checkpoint: Checkpoint | None) -> None:
        with self._guard:
            state.generation += 1
            self._keep(key, checkpoint)

    def _keep(self, key: CheckpointKey, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            self._cache.forget(key)
        else:
            self._cache.put(checkpoint)

    @contextmanager
    def _outcome(self, key: CheckpointKey, state: KeyState) -> Iterator[None]:
        """Around a write: where DIS said no, what is cached still stands; after any other failure it is in doubt."""
        try:
            yield
        except BaseException as error:
            if _leaves_doubt(error):
                with self._guard:
                    state.generation += 1
                    self._cache.doubt(key)
            raise

    @contextmanager
    def _writing(self, state: KeyState, deadline: float) -> Iterator[None]:
        if not state.write_lock.acquire(timeout=max(0.0, min(deadline - self._clock(), threading.TIMEOUT_MAX))):
            raise DeadlineTooShort("other writes of this checkpoint took all the time; nothing was sent")
        try:
            if self._clock() >= deadline:
                raise DeadlineTooShort("no time was left; nothing was sent")
            yield
        finally:
            state.write_lock.release()


def _leaves_doubt(error: BaseException) -> bool:
    if not isinstance(error, GatewayError):
        return True
    return isinstance(error, OutcomeUnknown) or error.reason in _OTHERS_WRITE


_OTHERS_WRITE = frozenset({"CONSUMER_FENCED", "CONSUMER_GROUP_REBALANCING"})
"""Reasons that say that another consumer has, or soon will have, taken over: what is cached is no longer the newest."""
