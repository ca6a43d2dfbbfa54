"""A lane that lingers: for whom, for how long, and for whom not. The core alone, on a clock of the test."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.checkpoints.cache import CheckpointCache
from gateway.checkpoints.core import Core, CoreSettings
from gateway.checkpoints.work import (
    Answer,
    CommitCall,
    CommitResult,
    DeleteCall,
    Effect,
    Job,
    Linger,
    ReadCall,
    ReadJob,
    Result,
    Start,
    WriteJob,
)
from gateway.errors import DeadlineTooShort, GatewayError, Overloaded, UpstreamUnavailable
from gateway.model import Checkpoint, CheckpointKey, Commit, Membership, SequenceNumber

KEY = CheckpointKey("stream", "app", "0")
FOREVER = 1e9
OTHER_MEMBER: dict[str, Any] = {"membership": Membership("c", "1")}
REWIND: dict[str, Any] = {"allow_rewind": True}


class Lane:
    """The lane of one key."""

    def __init__(self, **settings: Any) -> None:
        self.now = 100.0
        self.core = Core(CoreSettings(**settings), CheckpointCache(10), lambda: self.now)
        self.jobs: list[Job] = []
        self.lingers: list[Linger] = []
        self.answers: list[Result] = []
        self.tellings = 0
        """how often somebody was told something"""

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                self.jobs.append(effect.job)
            elif isinstance(effect, Linger):
                self.lingers.append(effect)
            elif isinstance(effect, Answer):
                self.answers += [effect.result] * len(effect.calls)
                self.tellings += 1

    def commit(self, *numbers: int, deadline: float = FOREVER, **how: Any) -> None:
        for number in numbers:
            commit = Commit.of(Checkpoint(KEY, SequenceNumber(number)), **how)
            self.take(self.core.commit(CommitCall(KEY, deadline, commit)))

    def commit_together(self, *commits: Commit) -> None:
        self.take(self.core.commits([CommitCall(commit.key, FOREVER, commit) for commit in commits]))

    def delete(self) -> None:
        self.take(self.core.delete(DeleteCall(KEY, FOREVER)))

    def finish(self, seconds: float = 0.02, error: GatewayError | None = None) -> Job:
        """The first job that is under way ends, after so long."""
        job = self.jobs.pop(0)
        self.now += seconds
        self.take(self.core.finished(job, error))
        return job

    def ring(self) -> None:
        """The time of the last linger is over."""
        self.now = max(self.now, self.lingers[-1].until)
        self.take(self.core.lingered(self.lingers[-1]))

    @property
    def lingers_now(self) -> bool:
        return any(lane.doing == "linger" for lane in self.core.lanes(1))

    @property
    def writes(self) -> list[int | None]:
        """What is written now: numbers, or None for a delete."""
        return [
            job.commit.checkpoint.sequence_number if job.commit else None
            for job in self.jobs
            if isinstance(job, WriteJob)
        ]


def carried(lane: Lane, *numbers: int, seconds: float = 0.02, meanwhile: tuple[int, ...] = ()) -> Lane:
    """One write for these has just ended, while ``meanwhile`` came."""
    lane.commit(numbers[0] - 1)
    lane.commit(*numbers)
    lane.finish(0.0)
    lane.commit(*meanwhile)
    lane.finish(seconds)
    return lane


def test_those_who_come_back_go_into_one_write() -> None:
    lane = carried(Lane(), 11, 12, 13)
    lane.commit(14, 15)
    assert lane.writes == []
    lane.commit(16)
    assert lane.writes == [16]
    assert len(lane.jobs[0].calls) == 3


def test_those_who_wait_already_are_counted_too() -> None:
    lane = carried(Lane(), 11, 12, 13, meanwhile=(14, 15))
    lane.commit(16, 17)
    assert lane.writes == []
    lane.commit(18)
    assert lane.writes == [18]


def test_a_write_for_one_is_followed_by_the_next_at_once() -> None:
    lane = Lane()
    lane.commit(1)
    lane.commit(2)
    lane.finish()
    assert not lane.lingers
    assert lane.writes == [2]


@pytest.mark.parametrize(("took", "seconds"), [(0.02, 0.015), (0.01, 0.0075), (5.0, 0.015), (0.0005, None)])
def test_a_lane_lingers_for_three_quarters_of_the_time_of_the_write_and_at_most_fifteen_milliseconds(
    took: float, seconds: float | None
) -> None:
    lane = carried(Lane(), 11, 12, seconds=took)
    assert [one.until - lane.now for one in lane.lingers] == ([] if seconds is None else [pytest.approx(seconds)])


def test_when_its_time_is_over_it_goes_on() -> None:
    lane = carried(Lane(), 11, 12, 13)
    lane.commit(14)
    lane.ring()
    assert lane.writes == [14]


def test_a_call_after_that_time_needs_nobody_to_tell_that_it_is_over() -> None:
    lane = carried(Lane(), 11, 12, 13)
    lane.now = lane.lingers[0].until
    lane.commit(14)
    assert lane.writes == [14]


def test_a_time_that_is_over_too_late_begins_nothing() -> None:
    lane = carried(Lane(), 11, 12)
    lane.commit(13, 14)
    assert lane.writes == [14]
    lane.commit(15)
    lane.ring()
    assert lane.writes == [14]


def test_a_lane_that_lingers_for_nobody_is_dropped() -> None:
    lane = carried(Lane(), 11, 12)
    assert lane.core.active == 1
    lane.ring()
    assert lane.core.active == 0
    lane.ring()
    assert lane.core.active == 0


@pytest.mark.parametrize("how", [REWIND, OTHER_MEMBER])
@pytest.mark.parametrize("before", [(), (14,)])
def test_what_cannot_be_folded_is_not_lingered_for(how: dict[str, Any], before: tuple[int, ...]) -> None:
    lane = carried(Lane(), 11, 12, 13, 14)
    lane.commit(*before)
    lane.commit(20, **how)
    assert not lane.lingers_now
    assert lane.writes == [*(before or (20,))]


def test_a_delete_is_not_lingered_for() -> None:
    lane = carried(Lane(), 11, 12)
    lane.delete()
    assert lane.writes == [None]


@pytest.mark.parametrize("how", [REWIND, OTHER_MEMBER])
def test_where_such_a_one_waits_already_a_lane_does_not_linger(how: dict[str, Any]) -> None:
    lane = Lane()
    lane.commit(10)
    lane.commit(11, 12)
    lane.finish(0.0)
    lane.commit(13)
    lane.commit(20, **how)
    lane.commit(21)
    lane.finish()
    assert not lane.lingers
    assert lane.writes == [13]


def test_who_has_little_time_is_not_kept_waiting() -> None:
    lane = carried(Lane(), 11, 12, 13, 14)
    lane.commit(15)
    assert lane.lingers_now
    lane.commit(16, deadline=lane.now + 0.025)
    assert lane.writes == [16]


def test_a_read_that_a_write_has_overtaken_is_not_kept_waiting() -> None:
    lane = Lane()
    lane.commit(10)
    lane.commit(11, 12)
    lane.finish(0.0)
    lane.take(lane.core.read(ReadCall(KEY, FOREVER, fresh=True)))
    lane.finish()
    assert lane.lingers_now
    lane.finish(0.0)
    assert not lane.lingers_now
    assert [type(job) for job in lane.jobs] == [ReadJob]


def test_after_a_failed_write_a_lane_does_not_linger() -> None:
    lane = Lane()
    lane.commit(10)
    lane.commit(11, 12)
    lane.finish(0.0)
    lane.finish(error=UpstreamUnavailable("down", retry_after=1.0))
    assert not lane.lingers


def test_it_lingers_for_no_more_than_there_is_room_for() -> None:
    lane = carried(Lane(max_queue=3), 11, 12, 13, meanwhile=(14, 15))
    lane.commit(16)
    assert lane.writes == [16]


def test_nobody_is_refused_while_a_lane_lingers() -> None:
    lane = carried(Lane(max_waiting=3), 11, 12, 13, meanwhile=(14, 15))
    lane.commit(16)
    assert lane.lingers_now
    lane.commit(17)
    assert lane.writes == [16]
    assert not [one for one in lane.answers if isinstance(one, GatewayError)]


def test_where_they_do_not_come_back_a_lane_lingers_ever_less() -> None:
    lane = carried(Lane(), 11, 12, 13)
    number, lingered = 20, []
    for _ in range(20):
        lane.commit(number)
        if lane.lingers_now:
            lane.ring()
        before = len(lane.lingers)
        lane.commit(number + 1, number + 2, number + 3)
        lane.finish()
        lane.commit(number + 4)
        lane.finish()
        lingered.append(len(lane.lingers) > before)
        number += 10
    assert lingered[:4] == [False, True, False, False]
    assert sum(lingered) < 5


def test_where_they_do_it_lingers_each_time() -> None:
    lane = carried(Lane(), 11, 12)
    for number in range(20, 40, 2):
        lane.commit(number, number + 1)
        assert lane.writes == [number + 1]
        lane.finish()
        assert lane.lingers_now


def commit_of(number: int, key: CheckpointKey = KEY, **how: Any) -> Commit:
    return Commit.of(Checkpoint(key, SequenceNumber(number)), **how)


def test_commits_that_come_together_go_into_their_lanes_in_order() -> None:
    lane = Lane()
    other = CheckpointKey("stream", "app", "1")
    lane.commit_together(commit_of(1), commit_of(7, other), commit_of(2), commit_of(8, other), commit_of(3))
    assert lane.writes == [1, 7]
    lane.finish()
    lane.finish()
    assert lane.writes == [3, 8]
    lane.finish()
    lane.finish()
    stored = [(one.effective.sequence_number, one.superseded) for one in lane.answers if isinstance(one, CommitResult)]
    assert stored == [(1, False), (7, False), (3, True), (3, False), (8, False)]


def test_a_rewind_among_commits_that_come_together_stays_in_its_place() -> None:
    lane = Lane()
    lane.commit_together(commit_of(5), commit_of(6), commit_of(2, **REWIND), commit_of(3), commit_of(4))
    written = []
    while lane.jobs:
        written += lane.writes
        lane.finish()
    assert written == [5, 6, 2, 4]


def test_commits_that_come_together_have_no_more_room_than_others() -> None:
    lane = Lane(max_queue=2)
    lane.commit_together(*(commit_of(number) for number in range(1, 6)))
    assert [type(one) for one in lane.answers] == [Overloaded, Overloaded]
    assert lane.core.waiting == 2


def test_each_of_those_that_come_together_has_its_own_deadline() -> None:
    lane = Lane()
    calls = [CommitCall(KEY, deadline, commit_of(1)) for deadline in (FOREVER, lane.now, FOREVER)]
    lane.take(lane.core.commits(calls))
    assert [type(one) for one in lane.answers] == [DeadlineTooShort]
    assert lane.core.waiting == 1


def test_those_that_one_write_has_carried_are_told_together() -> None:
    lane = Lane()
    lane.commit(1)
    lane.commit(2, 4, 3, 4)
    lane.finish()
    lane.tellings = 0
    lane.finish()
    assert [one.superseded for one in lane.answers[1:] if isinstance(one, CommitResult)] == [True, True, False, False]
    assert lane.tellings == 2
