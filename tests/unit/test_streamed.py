"""The commits of one stream, between a channel that does what a test wants and a service that answers when it says."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.work import CommitResult, Result
from gateway.errors import CommitOutcomeUnknown, DeadlineTooShort, GatewayError
from gateway.model import Checkpoint, CheckpointKey, Commit
from gateway.rpc import streamed
from gateway.rpc.admission import anything
from gateway.rpc.calls import Unseen
from gateway.rpc.messages import MessageReader
from gateway.rpc.streamed import StreamedCommits

Answer = Callable[[Result], None]


class Service:
    """Keeps what is submitted; ``problem`` is raised then, ``meanwhile`` done."""

    concurrency = 2

    def __init__(self) -> None:
        self.taken: list[tuple[CheckpointKey, Answer]] = []
        self.problem: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def submit(self, commit: Commit, answer: Answer, **more: Any) -> object:
        taken = commit.key, answer
        self.taken.append(taken)
        self.meanwhile()
        if self.problem is not None:
            raise self.problem
        return taken

    def leave(self, calls: list[tuple[CheckpointKey, Answer]]) -> None:
        for call in calls:
            self.taken.remove(call)
            call[1](DeadlineTooShort("its caller has gone"))


class Channel:
    """Counts what is asked of it."""

    context: Any = None
    broken = False

    def __init__(self) -> None:
        self.wants = 0
        self.leaving = 0
        self.ids: list[int] = []
        self.reasons: list[str] = []

    def want(self) -> None:
        assert not self.wants, "two are wanted at a time"
        self.wants += 1

    def send(self, message: bytes) -> None:
        answer = pb.StreamCommitsResponse.FromString(message)
        self.leaving += 1
        self.ids.append(answer.id)
        self.reasons.append(answer.status.message)

    def end(self) -> None:
        """Nobody asks for it here."""

    def fail(self, status: Any) -> None:
        """Nor for this."""


class Items(Unseen):
    """Keeps what was answered."""

    def __init__(self, items: list[str]) -> None:
        self._items = items

    def item(self, seconds: float | None, error: GatewayError | None, about: CheckpointKey | None) -> None:
        self._items.append("" if error is None else error.reason)


class Rig:
    def __init__(self) -> None:
        self.service = Service()
        self.channel = Channel()
        self.ends: list[GatewayError | None] = []
        self.reader = MessageReader()
        self.items: list[str] = []
        self.number = 0
        self.commits = StreamedCommits(
            cast(CheckpointService, self.service),
            self.reader,
            anything,
            1000,
            time.monotonic,
            Items(self.items),
            None,
            self.channel,
            self.ends.append,
        )
        self.channel.want()

    def come(self, message: bytes | None) -> None:
        self.channel.wants -= 1
        self.commits.came(message)

    def commit(self, partition: int = 0) -> int:
        """One comes; gives its id."""
        self.number += 1
        key = pb.CheckpointKey(stream_name="s", app_name="a", partition_id=str(partition))
        commit = pb.CommitCheckpointRequest(key=key, sequence_number=str(self.number))
        self.come(pb.StreamCommitsRequest(id=self.number, commit=commit).SerializeToString())
        return self.number

    def answer(self, place: int = 0) -> None:
        """DIS has answered one."""
        key, answer = self.service.taken.pop(place)
        answer(CommitResult(Checkpoint(key, cast(Any, 1)), superseded=False))

    def leave(self) -> None:
        """An answer has left."""
        self.channel.leaving -= 1
        self.commits.sent()


def test_a_stream_ends_when_all_is_answered_and_the_answers_have_left() -> None:
    rig = Rig()
    rig.commit()
    rig.commit()
    rig.come(None)
    rig.answer()
    rig.answer()
    rig.leave()
    assert rig.ends == []
    rig.leave()
    assert rig.ends == [None]
    assert sorted(rig.channel.ids) == [1, 2]
    assert not rig.channel.wants


def test_a_stream_full_of_keys_goes_on_when_one_is_answered() -> None:
    rig = Rig()
    for partition in range(4):
        assert rig.channel.wants == 1
        rig.commit(partition)
    assert not rig.channel.wants
    rig.answer()
    assert rig.channel.wants == 1  # though its answer has not left
    rig.leave()
    assert rig.channel.wants == 1
    rig.commit(3)  # of a key that there is
    assert rig.channel.wants == 1


def test_a_stream_with_as_many_as_may_be_goes_on_when_one_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "MAX_UNANSWERED", 2)
    rig = Rig()
    rig.commit()
    rig.commit()
    rig.answer()
    assert not rig.channel.wants
    rig.leave()
    assert rig.channel.wants == 1


@pytest.mark.parametrize("message", [b"\xff", b"x" * 2000], ids=["nonsense", "too large"])
def test_what_is_no_message_ends_a_stream_when_what_was_before_is_answered(message: bytes) -> None:
    rig = Rig()
    rig.commit()
    rig.come(message)
    assert rig.ends == []
    rig.answer()
    rig.leave()
    (failure,) = rig.ends
    assert failure is not None
    assert failure.reason in {"FIELD_INVALID", "MESSAGE_TOO_LARGE"}


def test_a_stream_that_takes_no_more_takes_nothing_and_finds_nothing_wrong() -> None:
    rig = Rig()
    rig.commit()
    rig.commits.take_no_more()
    rig.commit()
    rig.commits.came(b"\xff")
    assert len(rig.service.taken) == 1
    assert not rig.channel.wants
    rig.answer()
    rig.leave()
    assert rig.ends == [None]


@pytest.mark.parametrize("problem", [RuntimeError("broken"), CommitOutcomeUnknown("broken")], ids=["defect", "error"])
def test_a_commit_that_fails_when_it_has_begun_is_answered_once(problem: Exception) -> None:
    rig = Rig()
    rig.service.problem = problem
    for partition in range(4):
        rig.commit(partition)
    assert rig.channel.ids == [1, 2, 3, 4]
    rig.answer()
    rig.come(None)
    for _ in range(4):
        rig.leave()
    assert rig.channel.ids == [1, 2, 3, 4]
    assert rig.ends == [None]


def test_a_commit_that_cannot_be_read_for_a_defect_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()

    def broken(message: pb.CommitCheckpointRequest) -> Commit:
        raise RuntimeError("broken")

    monkeypatch.setattr(rig.reader, "commit", broken)
    rig.commit()
    rig.come(None)
    rig.leave()
    assert rig.channel.ids == [1]
    assert rig.ends == [None]


def test_what_cannot_go_on_ends_when_what_was_before_is_answered() -> None:
    rig = Rig()
    rig.commit()
    rig.commits.broke(RuntimeError("no thread"))
    rig.answer()
    rig.leave()
    (failure,) = rig.ends
    assert failure is not None
    assert failure.reason == "GATEWAY_INTERNAL"


@pytest.mark.usefixtures("without_collector")
def test_a_client_that_has_gone_hears_nothing_and_leaves_what_is_not_answered() -> None:
    rig = Rig()
    rig.commit(1)
    rig.answer()
    rig.leave()
    rig.commit(2)
    rig.commit(3)
    left = rig.service.taken
    assert rig.commits.gone()
    assert not rig.commits.gone()
    rig.commits.leave()
    rig.commits.leave()
    assert left == []
    assert rig.channel.ids == [1]
    assert rig.items == [""]  # the others have no answer that could be counted
    channel, commits = weakref.ref(rig.channel), weakref.ref(rig.commits)
    del rig
    assert channel() is None
    assert commits() is None


def test_what_is_taken_while_the_client_goes_is_left_as_well() -> None:
    rig = Rig()

    def go() -> None:
        rig.commits.gone()
        rig.commits.leave()

    rig.service.meanwhile = go
    rig.commit()
    assert rig.service.taken == []
    assert rig.channel.ids == []


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("gone", [False, True])
def test_what_was_wrong_with_a_stream_does_not_keep_it(gone: bool) -> None:
    rig = Rig()
    rig.commit()
    rig.come(pb.StreamCommitsRequest(id=7).SerializeToString())  # refused
    rig.come(b"\xff")
    if gone:
        rig.commits.gone()
        rig.commits.leave()
    else:
        rig.answer()
        rig.leave()
        rig.leave()
    rig.ends.clear()
    rig.service.taken.clear()
    commits = weakref.ref(rig.commits)
    del rig
    assert commits() is None


class Streams(RuleBasedStateMachine):
    """Whatever happens in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig()
        self.closed = False
        self.gone = False
        self.took: list[int] = []

    @precondition(lambda self: self.rig.channel.wants and not self.gone)
    @rule(partition=st.integers(0, 6))
    def commit(self, partition: int) -> None:
        before = len(self.rig.service.taken)
        number = self.rig.commit(partition)
        if len(self.rig.service.taken) > before:
            self.took.append(number)

    @precondition(lambda self: self.rig.channel.wants and not self.gone)
    @rule()
    def half_close(self) -> None:
        self.rig.come(None)
        self.closed = True

    @rule()
    def drain(self) -> None:
        self.rig.commits.take_no_more()
        self.closed = True

    @precondition(lambda self: self.rig.service.taken)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.rig.answer(data.draw(st.integers(0, len(self.rig.service.taken) - 1)))

    @precondition(lambda self: self.rig.channel.leaving and not self.gone)
    @rule()
    def leave(self) -> None:
        self.rig.leave()

    @rule()
    def go(self) -> None:
        ended = bool(self.rig.ends)
        assert self.rig.commits.gone() is not (ended or self.gone)
        self.rig.commits.leave()
        assert not self.rig.service.taken
        self.gone = True

    @invariant()
    def all_is_well(self) -> None:
        rig = self.rig
        taken, channel = rig.service.taken, rig.channel
        assert len(set(channel.ids)) == len(channel.ids)
        assert len({key for key, _ in taken}) <= 4
        assert len(rig.ends) <= 1
        if self.gone:
            return
        assert sorted(channel.ids) == sorted(set(self.took) - self._open())
        done = self.closed and not taken and not channel.leaving
        assert bool(rig.ends) == done
        if not self.closed:
            assert channel.wants == (len({key for key, _ in taken}) < 4)

    def _open(self) -> set[int]:
        return set(self.took) - set(self.rig.channel.ids)


TestStreams = Streams.TestCase
