"""Reads and commits through the cache: what is acknowledged stays, what is unknown is not believed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from gateway.checkpoints.cache import CheckpointCache
from gateway.checkpoints.service import CheckpointService, Source
from gateway.errors import (
    CheckpointRegression,
    CommitOutcomeUnknown,
    DeadlineTooShort,
    DeleteOutcomeUnknown,
    GatewayError,
    Status,
    UpstreamError,
    UpstreamUnavailable,
)
from gateway.model import Checkpoint, CheckpointKey, Commit, SequenceNumber

KEY = CheckpointKey("stream", "app", "0")
OTHER = CheckpointKey("stream", "app", "1")
FOREVER = 1e9


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeStore:
    """DIS as a dictionary. ``hooks`` run inside a call, after reading or before writing; they may wait or raise."""

    values: dict[CheckpointKey, Checkpoint] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    hooks: dict[str, Callable[[], None]] = field(default_factory=dict)

    def read(self, key: CheckpointKey, deadline: float) -> Checkpoint | None:
        value = self.values.get(key)
        self.calls.append("read")
        self._hook("read")
        return value

    def commit(self, commit: Commit) -> None:
        self.calls.append(f"commit {commit.checkpoint.sequence_number}")
        self._hook("commit")
        self.values[commit.key] = commit.checkpoint
        self._hook("committed")

    def delete(self, key: CheckpointKey) -> None:
        self.calls.append("delete")
        self._hook("delete")
        self.values.pop(key, None)
        self._hook("deleted")

    def _hook(self, name: str) -> None:
        if hook := self.hooks.pop(name, None):
            hook()


def raising(error: GatewayError) -> Callable[[], None]:
    def hook() -> None:
        raise error

    return hook


def checkpoint(number: int, key: CheckpointKey = KEY, metadata: str = "") -> Checkpoint:
    return Checkpoint(key, SequenceNumber(number), metadata)


class Rig:
    def __init__(self, ttl: float = 2.0, max_entries: int = 100) -> None:
        self.clock = Clock()
        self.store = FakeStore()
        self.cache = CheckpointCache(ttl, max_entries, self.clock)
        self.service = CheckpointService(self.store, self.cache, self.clock)

    def get(self, key: CheckpointKey = KEY, *, fresh: bool = False, max_age: float | None = None) -> int | None:
        found = self.service.get(key, fresh=fresh, max_age=max_age, deadline=FOREVER).checkpoint
        return found and found.sequence_number.value

    def source(self, **how: float) -> Source:
        return self.service.get(KEY, deadline=FOREVER, **how).source  # type: ignore[arg-type]

    def commit(self, number: int, key: CheckpointKey = KEY, *, allow_rewind: bool = False) -> Checkpoint:
        return self.service.commit(Commit(checkpoint(number, key), allow_rewind=allow_rewind), deadline=FOREVER)

    def delete(self) -> None:
        self.service.delete(KEY, deadline=FOREVER)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_second_read_is_answered_from_the_cache_with_its_age(rig: Rig) -> None:
    rig.store.values[KEY] = checkpoint(10)
    assert rig.service.get(KEY, deadline=FOREVER).source is Source.UPSTREAM
    rig.clock.now += 1.5
    again = rig.service.get(KEY, deadline=FOREVER)
    assert (again.source, again.age, again.checkpoint) == (Source.CACHE, 1.5, checkpoint(10))
    assert rig.store.calls == ["read"]


def test_a_cached_value_ends_with_its_lifetime(rig: Rig) -> None:
    rig.store.values[KEY] = checkpoint(10)
    rig.get()
    rig.store.values[KEY] = checkpoint(11)
    rig.clock.now += 2.0
    assert rig.get() == 11


def test_max_age_asks_dis_where_the_cached_value_is_older(rig: Rig) -> None:
    rig.get()
    rig.commit(10)
    rig.clock.now += 1.0
    assert rig.source(max_age=1.5) is Source.CACHE
    assert rig.source(max_age=1.0) is Source.UPSTREAM
    assert rig.source(max_age=0.0) is Source.UPSTREAM


def test_a_fresh_read_passes_the_cache_by_and_refreshes_it(rig: Rig) -> None:
    rig.commit(10)
    rig.store.values[KEY] = checkpoint(12)
    assert rig.get() == 10
    assert rig.get(fresh=True) == 12
    assert rig.get() == 12


def test_a_missing_checkpoint_is_not_cached(rig: Rig) -> None:
    assert rig.get() is None
    rig.store.values[KEY] = checkpoint(1)
    assert rig.get() == 1


def test_a_fresh_read_that_finds_nothing_drops_the_cached_value(rig: Rig) -> None:
    rig.commit(10)
    del rig.store.values[KEY]
    assert rig.get(fresh=True) is None
    assert rig.get() is None


def test_a_commit_is_read_back_without_asking_dis(rig: Rig) -> None:
    assert rig.commit(10) == checkpoint(10)
    assert rig.get() == 10
    assert rig.store.calls == ["commit 10"]


def test_with_the_cache_off_every_read_asks_dis() -> None:
    rig = Rig(ttl=0)
    rig.commit(10)
    assert (rig.get(), rig.get()) == (10, 10)
    assert rig.store.calls == ["commit 10", "read", "read"]


def test_the_cache_is_bounded() -> None:
    rig = Rig(max_entries=2)
    for partition in range(5):
        rig.commit(1, CheckpointKey("stream", "app", str(partition)))
    assert len(rig.cache) == 2


def test_a_refused_commit_changes_nothing(rig: Rig) -> None:
    rig.commit(10)
    rig.store.hooks["commit"] = raising(
        UpstreamError("out of range", status=Status.OUT_OF_RANGE, reason="SEQUENCE_NUMBER_OUT_OF_RANGE")
    )
    with pytest.raises(UpstreamError):
        rig.commit(99)
    assert rig.get() == 10
    assert rig.store.calls == ["commit 10", "commit 99"]


@pytest.mark.parametrize("applied", [False, True])
def test_after_an_unknown_outcome_dis_is_asked(rig: Rig, applied: bool) -> None:
    rig.commit(10)
    rig.store.hooks["committed" if applied else "commit"] = raising(CommitOutcomeUnknown("cut"))
    with pytest.raises(CommitOutcomeUnknown):
        rig.commit(20)
    assert rig.get() == (20 if applied else 10)
    assert rig.store.calls[-1] == "read"


def test_after_an_unknown_outcome_a_commit_below_what_was_sent_asks_dis_first(rig: Rig) -> None:
    rig.commit(10)
    rig.store.hooks["committed"] = raising(CommitOutcomeUnknown("cut"))
    with pytest.raises(CommitOutcomeUnknown):
        rig.commit(20)
    with pytest.raises(CheckpointRegression):
        rig.commit(15)
    assert rig.store.values[KEY] == checkpoint(20)


def test_an_unexpected_failure_of_a_write_is_as_good_as_unknown(rig: Rig) -> None:
    rig.commit(10)

    def bug() -> None:
        raise RuntimeError("a bug after the write")

    rig.store.hooks["committed"] = bug
    with pytest.raises(RuntimeError):
        rig.commit(20)
    assert rig.get() == 20


def test_a_fenced_commit_drops_the_cached_value(rig: Rig) -> None:
    rig.commit(10)
    rig.store.hooks["commit"] = raising(
        UpstreamError("fenced", status=Status.FAILED_PRECONDITION, reason="CONSUMER_FENCED")
    )
    with pytest.raises(UpstreamError):
        rig.commit(11)
    rig.store.values[KEY] = checkpoint(30)
    assert rig.get() == 30


def test_a_commit_below_the_known_number_is_refused_with_the_number_that_stands(rig: Rig) -> None:
    rig.commit(10)
    rig.clock.now += 1000  # long after the cached value has ended
    with pytest.raises(CheckpointRegression) as caught:
        rig.commit(9)
    assert caught.value.metadata == {"effective_sequence_number": "10"}
    assert rig.store.calls == ["commit 10", "read"]


def test_a_commit_below_the_known_number_passes_where_dis_has_a_lower_one(rig: Rig) -> None:
    rig.commit(10)
    rig.store.values[KEY] = checkpoint(3)  # rewound elsewhere
    rig.commit(5)
    assert rig.store.values[KEY] == checkpoint(5)


def test_a_rewind_that_is_allowed_is_written(rig: Rig) -> None:
    rig.commit(10)
    rig.commit(4, allow_rewind=True)
    assert rig.get() == 4


def test_an_equal_number_is_written_again(rig: Rig) -> None:
    rig.commit(10)
    rig.commit(10)
    assert rig.store.calls == ["commit 10", "commit 10"]


def test_a_regress_that_cannot_be_checked_is_not_written(rig: Rig) -> None:
    rig.commit(10)
    rig.store.hooks["read"] = raising(UpstreamUnavailable("down"))
    with pytest.raises(UpstreamUnavailable):
        rig.commit(9)
    assert rig.store.values[KEY] == checkpoint(10)


def test_a_deleted_checkpoint_is_gone_from_the_cache_and_may_start_anew(rig: Rig) -> None:
    rig.commit(10)
    rig.delete()
    assert rig.get() is None
    rig.commit(1)
    assert rig.get() == 1


def test_after_an_unknown_delete_dis_is_asked(rig: Rig) -> None:
    rig.commit(10)
    rig.store.hooks["deleted"] = raising(DeleteOutcomeUnknown("cut"))
    with pytest.raises(DeleteOutcomeUnknown):
        rig.delete()
    assert rig.get() is None


def test_a_failed_read_is_an_error_and_leaves_what_is_cached(rig: Rig) -> None:
    rig.commit(10)
    rig.store.hooks["read"] = raising(UpstreamUnavailable("down"))
    with pytest.raises(UpstreamUnavailable):
        rig.get(fresh=True)
    assert rig.get() == 10


@pytest.mark.parametrize("fresh", [False, True])
def test_a_read_overtaken_by_a_commit_answers_with_the_commit_and_does_not_undo_it(rig: Rig, fresh: bool) -> None:
    rig.store.values[KEY] = checkpoint(10)
    rig.store.hooks["read"] = lambda: rig.commit(20) and None  # while the answer "10" is on its way
    assert rig.get(fresh=fresh) == 20
    assert rig.get() == 20


def test_a_read_overtaken_by_an_unknown_commit_asks_again(rig: Rig) -> None:
    rig.store.values[KEY] = checkpoint(10)

    def overtake() -> None:
        rig.store.hooks["committed"] = raising(CommitOutcomeUnknown("cut"))
        with pytest.raises(CommitOutcomeUnknown):
            rig.commit(20)

    rig.store.hooks["read"] = overtake
    assert rig.get() == 20


def test_a_read_overtaken_by_a_delete_finds_nothing(rig: Rig) -> None:
    rig.store.values[KEY] = checkpoint(10)
    rig.store.hooks["read"] = rig.delete
    assert rig.get() is None
    assert rig.get() is None


def test_writes_of_one_key_reach_dis_one_at_a_time(rig: Rig) -> None:
    first_is_in, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        first_is_in.set()
        assert let_go.wait(30)

    rig.store.hooks["commit"] = hold
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(rig.commit, 10)
        assert first_is_in.wait(30)
        with pytest.raises(DeadlineTooShort):  # the lane is taken, and this caller has no time to wait
            rig.service.commit(Commit(checkpoint(11)), deadline=rig.clock.now)
        assert rig.commit(5, OTHER) == checkpoint(5, OTHER)  # another key is not held up
        second = pool.submit(rig.commit, 12)
        let_go.set()
        assert (first.result(30), second.result(30)) == (checkpoint(10), checkpoint(12))
    assert rig.store.calls == ["commit 10", "commit 5", "commit 12"]


def test_a_write_with_no_time_left_is_refused_before_anything_is_sent(rig: Rig) -> None:
    with pytest.raises(DeadlineTooShort):
        rig.service.commit(Commit(checkpoint(1)), deadline=rig.clock.now)
    with pytest.raises(DeadlineTooShort):
        rig.service.delete(KEY, deadline=rig.clock.now)
    assert rig.store.calls == []


def test_a_key_that_nobody_uses_takes_no_memory(rig: Rig) -> None:
    rig.commit(10)
    rig.get()
    assert len(rig.service._keys) == 0
