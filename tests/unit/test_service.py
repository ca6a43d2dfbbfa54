"""Reads and commits through the cache: what is acknowledged stays, what is unknown is not believed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.checkpoints import reads as cached
from gateway.checkpoints.cache import Known
from gateway.checkpoints.core import CoreSettings, RegressPolicy
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.waits import Caller, ReadWish
from gateway.checkpoints.work import CommitResult, Event, ReadResult, Result, Source
from gateway.deadline import Until, forever
from gateway.errors import (
    CheckpointRegression,
    CommitOutcomeUnknown,
    DeadlineTooShort,
    DeleteOutcomeUnknown,
    Draining,
    GatewayError,
    ReadTimedOut,
    Status,
    UpstreamError,
    UpstreamUnavailable,
)
from gateway.model import Checkpoint, CheckpointKey, Commit, Membership, PartitionPage, PartitionState, SequenceNumber
from gateway.trace import Traces, untraced
from tests.support import wait_until

KEY = CheckpointKey("stream", "app", "0")
OTHER = CheckpointKey("stream", "app", "1")
FOREVER = Caller(1e9)


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

    def read(self, key: CheckpointKey, until: Until = forever, traces: Traces = untraced) -> Checkpoint | None:
        value = self.values.get(key)
        self.calls.append("read")
        self._hook("read")
        return value

    def commit(self, commit: Commit, until: Until = forever, traces: Traces = untraced) -> None:
        self.calls.append(f"commit {commit.checkpoint.sequence_number}")
        self._hook("commit")
        self.values[commit.key] = commit.checkpoint
        self._hook("committed")

    def delete(self, key: CheckpointKey, until: Until = forever, traces: Traces = untraced) -> None:
        self.calls.append("delete")
        self._hook("delete")
        self.values.pop(key, None)
        self._hook("deleted")

    def partitions(
        self, stream: str, app: str, after: str, limit: int, until: Until = forever, traces: Traces = untraced
    ) -> PartitionPage:
        states = [
            PartitionState(key, value.sequence_number, 0, 100, "ACTIVE")
            for key, value in sorted(self.values.items(), key=str)
        ]
        self._hook("list")
        return PartitionPage(states, more=False)

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
    def __init__(self, max_entries: int = 100, concurrency: int = 8, **settings: Any) -> None:
        self.clock = Clock()
        self.store = FakeStore()
        self.counted: Counter[Event] = Counter()
        self.service = CheckpointService(
            self.store, CoreSettings(**settings), max_entries, self.clock, count=self.count, concurrency=concurrency
        )

    def count(self, event: Event, count: int, age: float | None) -> None:
        self.counted[event] += count

    def read(self, key: CheckpointKey = KEY, **wish: Any) -> ReadResult:
        return self.service.get(key, FOREVER, ReadWish(**wish))

    def get(self, key: CheckpointKey = KEY, **wish: Any) -> int | None:
        found = self.read(key, **wish).checkpoint
        return None if found is None else int(found.sequence_number)

    def source(self, **wish: Any) -> Source:
        return self.read(**wish).source

    def commit(
        self, number: int, key: CheckpointKey = KEY, *, allow_rewind: bool = False, metadata: str = ""
    ) -> Checkpoint:
        commit = Commit.of(checkpoint(number, key, metadata), allow_rewind=allow_rewind)
        return self.service.commit(commit, FOREVER).effective

    def delete(self) -> None:
        self.service.delete(KEY, FOREVER)


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def begin(**settings: Any) -> Rig:
        rigs.append(Rig(**settings))
        return rigs[-1]

    yield begin
    for rig in rigs:
        rig.service.close()


@pytest.fixture
def rig(make: Callable[..., Rig]) -> Rig:
    return make()


def test_a_second_read_is_answered_from_the_cache_with_its_age(rig: Rig) -> None:
    rig.store.values[KEY] = checkpoint(10)
    assert rig.source() is Source.UPSTREAM
    rig.clock.now += 1.5
    again = rig.read()
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


def test_with_the_cache_off_every_read_asks_dis(make: Callable[..., Rig]) -> None:
    rig = make(ttl=0.0)
    rig.commit(10)
    assert (rig.get(), rig.get()) == (10, 10)
    assert rig.store.calls == ["commit 10", "read", "read"]


def test_the_cache_is_bounded(make: Callable[..., Rig]) -> None:
    rig = make(max_entries=2)
    for partition in range(5):
        rig.commit(1, CheckpointKey("stream", "app", str(partition)))
    assert rig.service.cached() == 2


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
    with pytest.raises(CommitOutcomeUnknown):
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


class Held:
    """The next call of one kind waits in the store until it is let go."""

    def __init__(self, rig: Rig, name: str, error: GatewayError | None = None) -> None:
        self._is_in, self._let_go = threading.Event(), threading.Event()
        self._error = error
        rig.store.hooks[name] = self._hold

    def _hold(self) -> None:
        self._is_in.set()
        assert self._let_go.wait(30)
        if self._error:
            raise self._error

    def wait(self) -> None:
        assert self._is_in.wait(30)

    def release(self) -> None:
        self._let_go.set()


@dataclass
class Submitted:
    """A commit that nobody waits for yet."""

    number: int
    future: Future[Result]
    give_up: Callable[[], None]

    @property
    def outcome(self) -> str:
        return outcome_of(self.future.result(30))


def outcome_of(result: Result) -> str:
    if isinstance(result, CommitResult):
        effective = result.effective.sequence_number
        return f"superseded by {effective}" if result.superseded else f"committed {effective}"
    assert isinstance(result, GatewayError)
    return result.reason


def submit(
    rig: Rig, number: int, key: CheckpointKey = KEY, *, metadata: str = "", deadline: float = 1e9, **how: Any
) -> Submitted:
    future: Future[Result] = Future()
    commit = Commit.of(checkpoint(number, key, metadata), **how)
    call = rig.service.submit(commit, future.set_result, deadline=deadline)
    return Submitted(number, future, lambda: rig.service.leave((call,)))


def test_commits_that_wait_fold_into_the_highest_and_other_keys_go_on(rig: Rig) -> None:
    held = Held(rig, "commit")
    first = submit(rig, 10)
    held.wait()
    waiting = [submit(rig, number) for number in (12, 11, 14, 13)]
    assert rig.service.depth() == 4
    assert rig.commit(5, OTHER) == checkpoint(5, OTHER)  # another key is not held up
    assert not any(one.future.done() for one in waiting)
    held.release()
    assert first.outcome == "committed 10"
    assert [one.outcome for one in waiting] == [
        "superseded by 14",
        "superseded by 14",
        "committed 14",
        "superseded by 14",
    ]
    assert rig.store.calls == ["commit 10", "commit 5", "commit 14"]
    assert rig.counted[Event.FOLDED] == 3


class Lingering:
    """A lane that has just written for the callers of 12 and 13, and lingers for them as long as the clock stands."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        first = Held(rig, "commit")
        submit(rig, 11)
        first.wait()
        folded = [submit(rig, number) for number in (12, 13)]
        second = Held(rig, "commit")
        first.release()
        second.wait()
        rig.clock.now += 1.0
        second.release()
        assert [one.outcome for one in folded] == ["superseded by 13", "committed 13"]
        assert self.writes() == ["commit 11", "commit 13"]

    def writes(self) -> list[str]:
        return self.rig.store.calls


def test_callers_that_come_back_after_a_write_for_many_go_into_one(rig: Rig) -> None:
    lingering = Lingering(rig)
    first = submit(rig, 14)
    assert rig.service.lanes(1)[0].doing == "linger"
    second = submit(rig, 15)
    assert [first.outcome, second.outcome] == ["superseded by 15", "committed 15"]
    assert lingering.writes()[2:] == ["commit 15"]


def test_where_nobody_comes_back_a_lane_goes_on_by_itself(rig: Rig) -> None:
    lingering = Lingering(rig)
    waiting = submit(rig, 14)
    assert lingering.writes()[2:] == []
    rig.clock.now += 0.015
    assert waiting.outcome == "committed 14"
    wait_until(lambda: rig.service.active() == 0)


def test_a_stop_is_not_lingered_for(rig: Rig) -> None:
    lingering = Lingering(rig)
    waiting = submit(rig, 14)
    rig.service.drain()
    assert waiting.outcome == "GATEWAY_DRAINING"
    assert rig.service.active() == 0
    assert lingering.writes()[2:] == []


def test_a_lane_that_can_have_no_thread_to_linger_goes_on_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "linger":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    lingering = Lingering(rig)
    assert submit(rig, 14).outcome == "committed 14"
    assert lingering.writes()[2:] == ["commit 14"]


def test_of_equal_numbers_the_latest_metadata_is_stored_and_all_share_the_outcome(rig: Rig) -> None:
    held = Held(rig, "commit")
    submit(rig, 10)
    held.wait()
    waiting = [submit(rig, 11, metadata="a"), submit(rig, 11, metadata="b")]
    held.release()
    assert [one.outcome for one in waiting] == ["committed 11", "committed 11"]
    assert rig.store.values[KEY].metadata == "b"
    assert rig.store.calls == ["commit 10", "commit 11"]


def test_a_rewind_and_another_member_are_never_folded(rig: Rig) -> None:
    held = Held(rig, "commit")
    submit(rig, 10)
    held.wait()
    waiting = [
        submit(rig, 12),
        submit(rig, 3, allow_rewind=True),
        submit(rig, 4),
        submit(rig, 5, membership=Membership("c", "1")),
    ]
    held.release()
    assert [one.outcome for one in waiting] == ["committed 12", "committed 3", "committed 4", "committed 5"]
    assert rig.store.calls == ["commit 10", "commit 12", "commit 3", "commit 4", "commit 5"]
    assert rig.counted[Event.REWOUND] == 1


def test_a_delete_waits_its_turn_and_is_a_barrier(rig: Rig) -> None:
    held = Held(rig, "commit")
    submit(rig, 10)
    held.wait()
    before = submit(rig, 12)
    with ThreadPoolExecutor(1) as pool:
        deleted = pool.submit(rig.delete)
        wait_until(lambda: rig.service.depth() == 2)
        after = submit(rig, 1)
        held.release()
        assert deleted.result(30) is None
    assert (before.outcome, after.outcome) == ("committed 12", "committed 1")
    assert rig.store.calls == ["commit 10", "commit 12", "delete", "commit 1"]


def test_a_failed_fold_fails_all_of_it_and_the_lane_goes_on(rig: Rig) -> None:
    throttled = UpstreamError("slow down", status=Status.RESOURCE_EXHAUSTED, reason="UPSTREAM_THROTTLED")
    held = Held(rig, "commit", throttled)
    first = submit(rig, 10)
    held.wait()
    second = submit(rig, 11)
    held.release()
    assert (first.outcome, second.outcome) == ("UPSTREAM_THROTTLED", "committed 11")


def test_a_number_that_dis_refuses_does_not_fail_the_lower_ones(rig: Rig) -> None:
    refused = UpstreamError("range", status=Status.OUT_OF_RANGE, reason="SEQUENCE_NUMBER_OUT_OF_RANGE")
    held = Held(rig, "commit")
    submit(rig, 10)
    held.wait()
    waiting = [submit(rig, 11), submit(rig, 999), submit(rig, 12)]
    rig.store.hooks["commit"] = raising(refused)  # meets the second write
    held.release()
    assert [one.outcome for one in waiting] == [
        "superseded by 12",
        "SEQUENCE_NUMBER_OUT_OF_RANGE",
        "committed 12",
    ]


def test_an_unknown_fold_is_unknown_to_all_of_it(rig: Rig) -> None:
    held = Held(rig, "commit")
    submit(rig, 10)
    held.wait()
    waiting = [submit(rig, 11), submit(rig, 12)]
    rig.store.hooks["committed"] = lambda: rig.store.hooks.update(committed=raising(CommitOutcomeUnknown("cut")))
    held.release()
    assert [one.outcome for one in waiting] == ["COMMIT_OUTCOME_UNKNOWN"] * 2
    assert rig.get() == 12


def test_a_lane_is_bounded(make: Callable[..., Rig]) -> None:
    rig = make(max_queue=2)
    held = Held(rig, "commit")
    first = submit(rig, 10)
    held.wait()
    waiting = [submit(rig, number) for number in (11, 12, 13)]
    assert waiting[2].outcome == "GATEWAY_OVERLOADED"
    assert rig.counted[Event.OVERLOADED] == 1
    held.release()
    assert [first.outcome, waiting[0].outcome, waiting[1].outcome] == [
        "committed 10",
        "superseded by 12",
        "committed 12",
    ]


def test_all_lanes_together_are_bounded(make: Callable[..., Rig]) -> None:
    rig = make(max_waiting=1)
    held = Held(rig, "commit")
    submit(rig, 10)
    held.wait()
    assert (submit(rig, 11) and submit(rig, 12)).outcome == "GATEWAY_OVERLOADED"
    held.release()


def test_a_caller_that_gives_up_in_the_lane_leaves_no_trace(rig: Rig) -> None:
    held = Held(rig, "commit")
    submit(rig, 10)
    held.wait()
    gone, stays = submit(rig, 12), submit(rig, 11)
    gone.give_up()
    assert gone.outcome == "DEADLINE_TOO_SHORT"
    held.release()
    assert stays.outcome == "committed 11"
    assert rig.store.calls == ["commit 10", "commit 11"]


def test_a_caller_that_gives_up_does_not_cancel_the_write_that_others_share(rig: Rig) -> None:
    held = Held(rig, "commit")
    first, again = submit(rig, 10), None
    held.wait()
    first.give_up()
    assert first.outcome == "COMMIT_OUTCOME_UNKNOWN"
    again = submit(rig, 10)
    held.release()
    assert again.outcome == "committed 10"
    assert rig.store.values[KEY] == checkpoint(10)


class Folded:
    """10 is stored, and a write of several numbers waits for the one connection, which a write of another key has."""

    def __init__(self, rig: Rig, *numbers: int, seconds: Sequence[float] = ()) -> None:
        before = Held(rig, "commit")
        submit(rig, 10)
        before.wait()
        times = [rig.clock.now + some for some in seconds] or [1e9] * len(numbers)
        self.calls = [
            submit(rig, number, metadata=str(place), deadline=time)
            for place, (number, time) in enumerate(zip(numbers, times, strict=True))
        ]
        self.other = submit(rig, 5, OTHER)
        self.held = Held(rig, "commit")
        before.release()
        self.held.wait()
        assert rig.service.depth() == 0  # they do not wait in the lane

    def release(self) -> None:
        self.held.release()
        assert self.other.outcome == "committed 5"


def test_who_leaves_while_a_write_waits_for_a_connection_is_not_sent_and_the_others_are(
    make: Callable[..., Rig],
) -> None:
    rig = make(concurrency=1)
    folded = Folded(rig, 11, 13, 12)
    first, highest, last = folded.calls
    highest.give_up()
    assert highest.outcome == "DEADLINE_TOO_SHORT"
    first.give_up()
    assert first.outcome == "DEADLINE_TOO_SHORT"
    folded.release()
    assert last.outcome == "committed 12"
    assert rig.get() == 12
    assert rig.store.calls == ["commit 10", "commit 5", "commit 12"]


def test_who_is_left_of_a_write_that_waits_for_a_connection_does_not_go_back_unasked(make: Callable[..., Rig]) -> None:
    rig = make(concurrency=1)
    folded = Folded(rig, 9, 12)
    below, highest = folded.calls
    highest.give_up()
    assert highest.outcome == "DEADLINE_TOO_SHORT"
    folded.release()
    assert below.outcome == "CHECKPOINT_REGRESSION"
    assert rig.store.calls == ["commit 10", "commit 5", "read"]


def test_who_is_left_of_a_write_that_is_not_sent_is_before_those_that_came_later_and_in_order(
    make: Callable[..., Rig],
) -> None:
    rig = make(concurrency=1)
    folded = Folded(rig, 8, 12, 8)
    later = submit(rig, 3, allow_rewind=True)
    rig.store.values[KEY] = checkpoint(7)  # elsewhere
    folded.calls[1].give_up()
    folded.release()
    results = [folded.calls[place].future.result(30) for place in (0, 2)]
    last = checkpoint(8, metadata="2")
    assert [isinstance(one, CommitResult) and one.effective == last for one in results] == [True, True]
    assert later.outcome == "committed 3"
    assert rig.store.calls == ["commit 10", "commit 5", "read", "commit 8", "commit 3"]


def test_who_leaves_a_write_that_sends_the_same_without_it_changes_nothing(make: Callable[..., Rig]) -> None:
    rig = make(concurrency=1, regress=RegressPolicy.WARN)
    folded = Folded(rig, 9, 8)
    another = submit(rig, 6, CheckpointKey("stream", "app", "2"))
    held = Held(rig, "commit")
    folded.release()
    held.wait()
    stays, gone = folded.calls
    gone.give_up()
    assert gone.outcome == "DEADLINE_TOO_SHORT"
    held.release()
    assert (another.outcome, stays.outcome) == ("committed 6", "committed 9")
    assert rig.store.calls == ["commit 10", "commit 5", "read", "commit 6", "commit 9"]
    assert rig.counted[Event.REGRESSION_ALLOWED] == 2
    assert rig.counted[Event.FOLDED] == 0


def test_a_rewind_that_leaves_before_it_is_sent_is_none(make: Callable[..., Rig]) -> None:
    rig = make(concurrency=1)
    rig.commit(10)
    held = Held(rig, "commit")
    other = submit(rig, 5, OTHER)
    held.wait()
    gone = submit(rig, 3, allow_rewind=True)
    gone.give_up()
    held.release()
    assert other.outcome == "committed 5"
    assert rig.counted[Event.REWOUND] == 0
    assert submit(rig, 4, allow_rewind=True).outcome == "committed 4"
    assert rig.counted[Event.REWOUND] == 1


def test_a_commit_whose_time_is_over_when_a_connection_is_free_is_not_sent_with_others(
    make: Callable[..., Rig],
) -> None:
    rig = make(concurrency=1)
    folded = Folded(rig, 13, 12, seconds=(30, 60))
    late, other = folded.calls
    rig.clock.now += 40
    folded.release()
    assert late.outcome == "DEADLINE_TOO_SHORT"
    assert other.outcome == "committed 12"
    assert rig.store.calls == ["commit 10", "commit 5", "commit 12"]


def test_a_delete_that_leaves_while_it_is_under_way_is_told_that_it_is_unknown(rig: Rig) -> None:
    rig.commit(10)
    held = Held(rig, "delete")
    gone: Future[Result] = Future()
    call = rig.service.submit_delete(KEY, gone.set_result, deadline=1e9)
    held.wait()
    rig.service.leave((call,))
    result = gone.result(30)
    assert isinstance(result, DeleteOutcomeUnknown)
    held.release()
    wait_until(lambda: KEY not in rig.store.values)


def test_a_stop_does_not_wait_for_a_write_that_nobody_waits_for(make: Callable[..., Rig]) -> None:
    rig = make(concurrency=1)
    held = Held(rig, "read")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(rig.get)
        held.wait()
        call = submit(rig, 11)
        call.give_up()
        assert call.outcome == "DEADLINE_TOO_SHORT"
        assert rig.service.close(0.0)
        held.release()
        with pytest.raises(Draining):
            reading.result(30)
    assert rig.store.calls == ["read"]


def test_where_all_leave_while_their_write_waits_for_a_connection_nothing_is_sent_or_in_doubt(
    make: Callable[..., Rig],
) -> None:
    rig = make(concurrency=1)
    folded = Folded(rig, 11, 12)
    for call in folded.calls:
        call.give_up()
        assert call.outcome == "DEADLINE_TOO_SHORT"
    folded.release()
    assert rig.source() is Source.CACHE
    assert rig.commit(13) == checkpoint(13)
    assert rig.store.calls == ["commit 10", "commit 5", "commit 13"]


def test_at_the_end_of_the_process_what_waits_for_a_connection_is_known_not_to_be_sent(
    make: Callable[..., Rig],
) -> None:
    rig = make(concurrency=1)
    folded = Folded(rig, 11, 12)
    rig.service.abandon()
    assert [call.outcome for call in folded.calls] == ["GATEWAY_DRAINING"] * 2
    assert folded.other.outcome == "COMMIT_OUTCOME_UNKNOWN"
    folded.held.release()
    rig.service.close()
    assert rig.store.calls == ["commit 10", "commit 5"]


def test_a_caller_whose_time_ends_while_its_write_is_under_way_is_told_unknown_and_dis_is_asked(rig: Rig) -> None:
    rig.commit(9)
    held = Held(rig, "commit")
    with ThreadPoolExecutor(1) as pool:
        commit = Commit.of(checkpoint(10))
        late = pool.submit(rig.service.commit, commit, Caller(rig.clock.now + 0.05))
        held.wait()
        with pytest.raises(CommitOutcomeUnknown) as caught:
            late.result(30)
        assert caught.value.status is Status.DEADLINE_EXCEEDED
        assert rig.source() is Source.UPSTREAM  # not 9 from the cache
        held.release()
    wait_until(lambda: rig.store.values[KEY] == checkpoint(10))


def test_a_commit_whose_time_is_over_when_its_turn_comes_is_not_sent(rig: Rig) -> None:
    held = Held(rig, "commit")
    submit(rig, 10)
    held.wait()
    late = submit(rig, 11, deadline=rig.clock.now + 5)
    rig.clock.now += 6
    held.release()
    assert late.outcome == "DEADLINE_TOO_SHORT"
    assert rig.store.calls == ["commit 10"]


def test_reads_of_one_key_share_a_flight_and_its_failure(rig: Rig) -> None:
    held = Held(rig, "read", UpstreamUnavailable("down"))
    with ThreadPoolExecutor(3) as pool:
        reads = [pool.submit(rig.get) for _ in range(3)]
        held.wait()
        wait_until(lambda: rig.counted[Event.FLIGHT_SHARED] == 2)
        held.release()
        for read in reads:
            with pytest.raises(UpstreamUnavailable):
                read.result(30)
    assert rig.store.calls == ["read"]
    assert rig.get() is None  # the failure was not kept


def test_a_reader_whose_time_ends_leaves_alone(rig: Rig) -> None:
    rig.store.values[KEY] = checkpoint(10)
    held = Held(rig, "read")
    with ThreadPoolExecutor(2) as pool:
        patient = pool.submit(rig.get)
        held.wait()
        with pytest.raises(ReadTimedOut):
            rig.service.get(KEY, Caller(rig.clock.now + 0.01))
        held.release()
        assert patient.result(30) == 10


def test_a_stale_value_needs_configuration_and_consent(make: Callable[..., Rig]) -> None:
    rig = make(stale_ttl=60.0)
    rig.commit(10)
    rig.clock.now += 30

    def down() -> None:
        rig.store.hooks["read"] = raising(UpstreamUnavailable("down", retry_after=1.0))

    down()
    with pytest.raises(UpstreamUnavailable):
        rig.get()
    down()
    stale = rig.read(allow_stale=True)
    assert (stale.source, stale.age, stale.checkpoint) == (Source.STALE, 30.0, checkpoint(10))
    down()
    with pytest.raises(UpstreamUnavailable):
        rig.get(allow_stale=True, fresh=True)
    rig.clock.now += 30
    down()
    with pytest.raises(UpstreamUnavailable):
        rig.get(allow_stale=True)  # too old now


def test_a_stale_value_is_not_served_after_an_unknown_outcome_or_for_another_error(make: Callable[..., Rig]) -> None:
    rig = make(stale_ttl=60.0)
    rig.commit(10)
    rig.clock.now += 30
    rig.store.hooks["read"] = raising(UpstreamError("no", status=Status.PERMISSION_DENIED, reason="X"))
    with pytest.raises(UpstreamError):
        rig.get(allow_stale=True)
    rig.store.hooks["commit"] = raising(CommitOutcomeUnknown("cut"))
    with pytest.raises(CommitOutcomeUnknown):
        rig.commit(20)
    rig.store.hooks["read"] = raising(UpstreamUnavailable("down", retry_after=1.0))
    with pytest.raises(UpstreamUnavailable):
        rig.get(allow_stale=True)


def test_an_absence_is_kept_only_for_the_time_configured(make: Callable[..., Rig]) -> None:
    rig = make(absent_ttl=0.5)
    assert (rig.source(), rig.source()) == (Source.UPSTREAM, Source.CACHE)
    rig.clock.now += 0.5
    assert rig.source() is Source.UPSTREAM
    rig.commit(1)
    assert rig.get() == 1


@pytest.mark.parametrize(("policy", "stands", "asks"), [(RegressPolicy.WARN, 9, True), (RegressPolicy.ALLOW, 9, False)])
def test_the_regress_policy_may_let_a_lower_commit_pass(
    make: Callable[..., Rig], policy: RegressPolicy, stands: int, asks: bool
) -> None:
    rig = make(regress=policy)
    rig.commit(10)
    rig.commit(9)
    assert rig.store.values[KEY] == checkpoint(stands)
    assert ("read" in rig.store.calls) is asks
    assert rig.counted[Event.REGRESSION_ALLOWED] == (1 if asks else 0)


def test_a_batch_answers_each_item_in_its_place(rig: Rig) -> None:
    rig.commit(10)
    commits = [Commit.of(checkpoint(9)), Commit.of(checkpoint(5, OTHER)), Commit.of(checkpoint(12))]
    results = rig.service.commit_many(commits, FOREVER, 1000)
    assert isinstance(results[1], CommitResult)
    assert isinstance(results[2], CommitResult)
    assert rig.store.values == {KEY: checkpoint(12), OTHER: checkpoint(5, OTHER)}
    found = rig.service.get_many([OTHER, KEY, OTHER], FOREVER)
    assert [one.checkpoint for one in found if isinstance(one, ReadResult)] == [
        checkpoint(5, OTHER),
        checkpoint(12),
        checkpoint(5, OTHER),
    ]
    assert rig.service.get_many([], FOREVER) == []


def test_batches_and_others_that_fold_into_one_write_each_hear_of_their_own(rig: Rig) -> None:
    held = Held(rig, "commit")
    first = submit(rig, 10)
    held.wait()
    batches: list[Future[list[str]]] = []
    others: list[Submitted] = []

    def commit(numbers: Sequence[int], told: Future[list[str]]) -> None:
        commits = [Commit.of(checkpoint(number)) for number in numbers]
        told.set_result([outcome_of(one) for one in rig.service.commit_many(commits, FOREVER, 1000)])

    for numbers in ((11, 14), (12, 13, 14), (9,)):
        depth = rig.service.depth() + len(numbers)
        batches.append(Future())
        threading.Thread(target=commit, args=(numbers, batches[-1]), daemon=True).start()
        wait_until(lambda depth=depth: rig.service.depth() == depth)  # type: ignore[misc]
        others.append(submit(rig, numbers[0]))
    held.release()
    assert [one.result(30) for one in batches] == [
        ["superseded by 14", "committed 14"],
        ["superseded by 14", "superseded by 14", "committed 14"],
        ["superseded by 14"],
    ]
    assert [first.outcome, *(one.outcome for one in others)] == ["committed 10", *["superseded by 14"] * 3]
    assert rig.store.calls == ["commit 10", "commit 14"]


def test_a_batch_that_is_longer_than_what_is_decided_at_once_is_answered_in_order(rig: Rig) -> None:
    commits = [Commit.of(checkpoint(number, key)) for number in range(1, 101) for key in (KEY, OTHER)]
    results = rig.service.commit_many(iter(commits), FOREVER, 1000)
    assert len(results) == len(commits)
    for commit, result in zip(commits, results, strict=True):
        assert isinstance(result, CommitResult)
        assert result.effective.key == commit.key
        assert result.superseded == (result.effective.sequence_number > commit.number)
    assert rig.store.values == {KEY: checkpoint(100), OTHER: checkpoint(100, OTHER)}


def test_a_list_shows_what_is_outdated_and_it_is_served_no_more(rig: Rig) -> None:
    rig.commit(10)
    rig.store.values[KEY] = checkpoint(25, metadata="elsewhere")
    assert rig.service.partitions("stream", "app", "", 100, FOREVER).partitions[0].lag == 75
    assert rig.read().checkpoint == checkpoint(25, metadata="elsewhere")


def test_a_list_that_fails_unexpectedly_says_so_and_not_that_time_is_over(rig: Rig) -> None:
    def hook() -> None:
        raise ZeroDivisionError

    rig.store.hooks["list"] = hook
    with pytest.raises(GatewayError, match="failed unexpectedly") as caught:
        rig.service.partitions("stream", "app", "", 100, FOREVER)
    assert caught.value.status is Status.INTERNAL


def test_a_list_that_a_commit_overtook_takes_nothing_back(rig: Rig) -> None:
    rig.commit(10)
    rig.store.hooks["list"] = lambda: rig.commit(20) and None
    rig.service.partitions("stream", "app", "", 100, FOREVER)
    assert (rig.get(), rig.source()) == (20, Source.CACHE)


def test_a_watch_hears_the_present_value_and_then_the_newest(rig: Rig) -> None:
    rig.commit(10)
    woken = threading.Semaphore(0)
    watch = rig.service.watch([KEY, OTHER], woken.release)
    rig.service.present(watch, [KEY, OTHER], FOREVER)
    assert dict(watch.take()) == {KEY: checkpoint(10), OTHER: None}
    assert watch.take() == []
    for number in (11, 12, 13):
        rig.commit(number)
    assert watch.take() == [(KEY, checkpoint(13))]  # slow: the newest, not all
    rig.commit(13)
    assert watch.take() == []  # nothing has changed
    rig.delete()
    assert watch.take() == [(KEY, None)]
    rig.service.unwatch(watch)
    rig.commit(1)
    assert watch.take() == []


def test_a_watch_hears_what_a_list_shows_to_have_changed(rig: Rig) -> None:
    rig.commit(10)
    woken = threading.Semaphore(0)
    watch = rig.service.watch([KEY], woken.release)
    rig.store.values[KEY] = checkpoint(25, metadata="elsewhere")
    rig.service.partitions("stream", "app", "", 100, FOREVER)
    assert woken.acquire(timeout=30)
    assert watch.take() == [(KEY, checkpoint(25, metadata="elsewhere"))]


def test_a_write_with_no_time_left_is_refused_before_anything_is_sent(rig: Rig) -> None:
    with pytest.raises(DeadlineTooShort):
        rig.service.commit(Commit.of(checkpoint(1)), Caller(rig.clock.now))
    with pytest.raises(DeadlineTooShort):
        rig.service.delete(KEY, Caller(rig.clock.now))
    assert rig.store.calls == []


def test_a_watch_hears_of_a_deletion_that_a_list_shows(rig: Rig) -> None:
    rig.commit(10)
    woken = threading.Semaphore(0)
    watch = rig.service.watch([KEY], woken.release)
    page = PartitionPage([PartitionState(KEY, None, 0, 100, "ACTIVE")], more=False)
    rig.store.partitions = lambda *_: page  # type: ignore[method-assign]
    del rig.store.values[KEY]
    rig.service.partitions("stream", "app", "", 100, FOREVER)
    assert woken.acquire(timeout=30)
    assert watch.take() == [(KEY, None)]


def test_a_close_follows_what_was_sent_and_answers_what_was_not(rig: Rig) -> None:
    held = Held(rig, "commit")
    first = submit(rig, 10)
    held.wait()
    second = submit(rig, 11)
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(rig.service.close)
        assert second.outcome == "GATEWAY_DRAINING"
        assert not closed.done()
        held.release()
        closed.result(30)
    assert first.outcome == "committed 10"
    assert rig.store.calls == ["commit 10"]
    assert submit(rig, 12).outcome == "GATEWAY_DRAINING"
    assert rig.get() == 10  # what is known can still be read


def test_a_caller_that_goes_away_is_answered_at_once(rig: Rig) -> None:
    held = Held(rig, "read")
    left: list[Callable[[], None]] = []
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(rig.service.get, KEY, Caller(1e9, left.append))
        held.wait()
        wait_until(lambda: bool(left))
        left[0]()
        with pytest.raises(ReadTimedOut):
            read.result(30)
        held.release()


def test_a_key_that_nobody_uses_has_no_lane(rig: Rig) -> None:
    rig.commit(10)
    rig.get()
    assert rig.service.depth() == 0
    assert rig.service.active() == 0


def test_a_write_for_which_no_thread_can_be_started_is_carried_out_once_by_one_that_there_is(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.commit(1)

    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", no_more)
    monkeypatch.setattr(rig.service._workers, "_free", -5)  # so that it wants one for each
    assert [rig.commit(2).sequence_number, rig.commit(3).sequence_number] == [SequenceNumber(2), SequenceNumber(3)]
    assert rig.store.calls == ["commit 1", "commit 2", "commit 3"]
    assert rig.service.close(10.0)


def test_reading_again_sees_each_commit_at_once(make: Callable[..., Rig]) -> None:
    rig = make(ttl=100.0)
    reads = reading(rig, KEY)
    assert reads.look(rig.clock.now) is None
    for number in (1, 2, 3):
        rig.commit(number)
        for _ in range(2):
            assert number_of(reads.look(rig.clock.now)) == number
    rig.delete()
    assert reads.look(rig.clock.now) is None


def test_reading_again_takes_nothing_that_the_cache_has_dropped(make: Callable[..., Rig]) -> None:
    rig = make(ttl=100.0, max_entries=1)
    reads = reading(rig, KEY)
    rig.commit(1)
    assert number_of(reads.look(rig.clock.now)) == 1
    rig.commit(7, OTHER)
    assert reads.look(rig.clock.now) is None, "it is gone"
    rig.commit(2)
    assert number_of(reads.look(rig.clock.now)) == 2


def test_reading_again_ends_with_the_lifetime(make: Callable[..., Rig]) -> None:
    rig = make(ttl=2.0)
    young, old = reading(rig, KEY, 0.5), reading(rig, KEY)
    rig.commit(1)
    assert young.look(rig.clock.now) is not None
    assert old.look(rig.clock.now) is not None
    rig.clock.now += 0.5
    assert young.look(rig.clock.now) is None
    assert old.look(rig.clock.now) is not None
    rig.clock.now += 1.5
    assert old.look(rig.clock.now) is None


def test_what_is_read_again_stays_when_others_come(make: Callable[..., Rig]) -> None:
    rig = make(ttl=1000.0, max_entries=2)
    reads = reading(rig, KEY)
    rig.commit(1)
    for other in range(1, 9):
        rig.clock.now += 1.0
        assert number_of(reads.look(rig.clock.now)) == 1
        rig.commit(1, CheckpointKey("stream", "app", str(other)))


def test_what_is_read_again_is_shown_once(make: Callable[..., Rig]) -> None:
    rig = make(ttl=1000.0)
    shown: list[int | None] = []

    def show(known: Known) -> int | None:
        shown.append(None if known.number is None else int(known.number))
        return shown[-1]

    reads = cached.CachedReads(rig.service.find, KEY, None, show)
    for number in (1, 2):
        rig.commit(number)
        for _ in range(5):
            rig.clock.now += 0.6  # it asks the cache again in between
            assert number_of(reads.look(rig.clock.now)) == number
    assert shown == [1, 2]


def reading(rig: Rig, key: CheckpointKey, max_age: float | None = None) -> cached.CachedReads[int | None]:
    return cached.CachedReads(
        rig.service.find, key, max_age, lambda known: None if known.number is None else int(known.number)
    )


def number_of(held: cached.Held[int | None] | None) -> int | None:
    return None if held is None else held.shown
