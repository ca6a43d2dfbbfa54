"""The short way of cached reads answers as the long way does, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.core import CoreSettings
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.waits import Caller
from gateway.deadline import Until
from gateway.errors import CallerNotAllowed, GatewayError
from gateway.model import Checkpoint, CheckpointKey, Commit, PartitionPage, SequenceNumber
from gateway.rpc.admission import anything
from gateway.rpc.calls import Unseen
from gateway.rpc.messages import MessageReader
from gateway.rpc.quick import QuickReads
from gateway.rpc.servicer import CheckpointServicer
from gateway.trace import Traces, untraced

NOW = 100.0


class Store:
    """Has a checkpoint of each even partition."""

    def read(self, key: CheckpointKey, until: Until, traces: Traces = untraced) -> Checkpoint | None:
        number = int(key.partition_id[-10:])
        return None if number % 2 else Checkpoint(key, SequenceNumber(number), "\U0001f600 made")

    def commit(self, commit: Commit, until: Until, traces: Traces = untraced) -> None:
        """Takes everything."""

    def delete(self, key: CheckpointKey, until: Until, traces: Traces = untraced) -> None:
        """Takes everything."""

    def partitions(
        self, stream: str, app: str, after: str, limit: int, until: Until, traces: Traces = untraced
    ) -> PartitionPage:
        return PartitionPage((), more=False)


class Batched(Unseen):
    """Counts elements of batches."""

    def __init__(self) -> None:
        self.count = 0

    def items(self, count: int) -> None:
        self.count += count


class Rig:
    def __init__(self, **settings: float) -> None:
        self.now = NOW
        self.ages: list[float] = []
        self.service = CheckpointService(
            Store(),
            CoreSettings(**settings),
            100,
            lambda: self.now,
            count_hit=self.ages.append,
            count_hits=self.ages.extend,
        )
        reader = MessageReader()
        self.batched = Batched()
        self.quick = QuickReads(self.service, reader, self.batched)
        self.servicer = CheckpointServicer(self.service, reader)

    def short(self, request: pb.GetCheckpointRequest) -> pb.GetCheckpointResponse | None:
        data = self.quick.one(request.SerializeToString(), anything, self.now)
        return None if data is None else pb.GetCheckpointResponse.FromString(data)

    def long(self, request: pb.GetCheckpointRequest) -> pb.GetCheckpointResponse | None:
        try:
            return self.servicer.get(request, Caller(self.now + 10), anything)
        except GatewayError:
            return None

    def short_batch(self, request: pb.BatchGetCheckpointsRequest) -> pb.BatchGetCheckpointsResponse | None:
        data = self.quick.many(request.SerializeToString(), anything, self.now)
        return None if data is None else pb.BatchGetCheckpointsResponse.FromString(data)


def request(partition: str = "2", **more: Any) -> pb.GetCheckpointRequest:
    key = pb.CheckpointKey(stream_name="stream", app_name="app", partition_id=partition)
    return pb.GetCheckpointRequest(key=key, **more)


requests = st.builds(
    pb.GetCheckpointRequest,
    key=st.builds(
        pb.CheckpointKey,
        stream_name=st.sampled_from(["stream", "", "no good", "x" * 65]),
        app_name=st.sampled_from(["app", "other", "y" * 51]),
        partition_id=st.sampled_from(["0", "1", "2", "shardId-0000000002", "02", "", "z" * 300]),
        checkpoint_type=st.sampled_from(["", "LAST_READ", "FIRST"]),
    )
    | st.none(),
    read_mode=st.sampled_from([0, 0, 1, 2, 9]),
    max_age=st.none() | st.builds(lambda ms: {"seconds": ms // 1000, "nanos": ms % 1000 * 10**6}, st.integers(0, 3000)),
    allow_stale=st.booleans(),
)


good_requests = st.builds(
    lambda partition, seconds: request(partition, **({} if seconds is None else {"max_age": {"seconds": seconds}})),
    st.sampled_from(["1", "2", "shardId-0000000002"]),
    st.sampled_from([None, None, 1, 2]),
)


@given(
    asked=st.lists(
        st.tuples(st.one_of(good_requests, good_requests, requests), st.sampled_from([0.0, 0.0, 0.0004, 0.7, 1.5])),
        min_size=2,
        max_size=12,
    )
)
def test_it_answers_as_the_long_way_or_not_at_all(asked: Sequence[tuple[pb.GetCheckpointRequest, float]]) -> None:
    rig = Rig(ttl=2.0, absent_ttl=1.0)
    for one, passed in asked:
        rig.now += passed
        short, long = rig.short(one), rig.long(one)
        if short is None:
            continue
        assert long is not None
        assert long.source == pb.CHECKPOINT_SOURCE_CACHE
        exactly, told = long.age.ToNanoseconds(), short.age.ToNanoseconds()
        assert exactly <= told < exactly + 1_000_001  # whole milliseconds, and never younger than it is
        short.age.CopyFrom(long.age)
        assert short == long


def test_a_caller_who_bounds_the_age_gets_nothing_older() -> None:
    rig = Rig(ttl=100.0)
    rig.long(request())
    rig.now += 1.0
    young = request(max_age={"nanos": 500_000_000})
    assert rig.short(young) is None
    assert rig.short_batch(batch("2", max_age={"nanos": 500_000_000})) is None
    rig.long(request(read_mode=pb.READ_MODE_FRESH))
    for _ in range(2):  # it is remembered
        assert rig.short(young) is not None
    rig.now += 0.6
    assert rig.short(young) is None
    assert rig.short(request()) is not None


def test_each_short_answer_is_counted_with_its_age() -> None:
    rig = Rig(ttl=100.0)
    rig.long(request())
    for _ in range(3):
        rig.now += 1.0
        rig.short(request())
    assert rig.ages == [1.0, 2.0, 3.0]


def test_what_is_cached_takes_the_short_way() -> None:
    rig = Rig(ttl=2.0, absent_ttl=1.0)
    for partition in ("2", "1"):
        assert rig.short(request(partition)) is None
        rig.long(request(partition))
        for passed in (0.0, 0.5):
            rig.now += passed
            short = rig.short(request(partition))
            assert short is not None
            assert short.found is (partition == "2")
    rig.now += 2.0
    assert rig.short(request("2")) is None


@pytest.mark.parametrize("more", [{"read_mode": pb.READ_MODE_FRESH}, {"max_age": {"seconds": 0}}, {"read_mode": 7}])
def test_who_wants_it_fresh_takes_the_long_way(more: dict[str, Any]) -> None:
    rig = Rig(ttl=2.0)
    rig.long(request())
    rig.now -= 1.0  # a clock that was read before the value was learned
    assert rig.short(request(**more)) is None


def test_a_caller_who_may_not_gets_nothing() -> None:
    rig = Rig(ttl=2.0)
    rig.long(request())

    def refuse(stream: str, app: str) -> None:
        raise CallerNotAllowed("somebody", "app", app)

    with pytest.raises(CallerNotAllowed):
        rig.quick.one(request().SerializeToString(), refuse, rig.now)


def test_each_caller_is_asked_for_whether_it_may_read_what_another_has_read() -> None:
    rig = Rig(ttl=2.0)
    rig.long(request())
    asked: list[str] = []

    def allow(stream: str, app: str) -> None:
        asked.append(app)

    def refuse(stream: str, app: str) -> None:
        raise CallerNotAllowed("somebody", "app", app)

    data = request().SerializeToString()
    for _ in range(2):
        assert rig.quick.one(data, allow, rig.now) is not None
        with pytest.raises(CallerNotAllowed):
            rig.quick.one(data, refuse, rig.now)
    assert asked == ["app", "app"]


def test_a_caller_is_asked_for_no_more_once_its_request_is_remembered() -> None:
    rig = Rig(ttl=2.0)
    rig.long(request())
    asked: list[str] = []

    def allow(stream: str, app: str) -> None:
        asked.append(app)

    for _ in range(5):
        assert rig.quick.one(request().SerializeToString(), allow, rig.now) is not None
    assert asked == ["app", "app"]  # when it was new, and when it was met again


def test_what_is_remembered_has_a_bound_and_what_is_asked_for_often_is_soon() -> None:
    rig = Rig(ttl=2.0)
    for partition in ("2", "4"):
        rig.long(request(partition))
    memo = rig.quick._memo
    for micros in range(1, 10_000):
        assert rig.short(request(max_age={"nanos": micros * 1000})) is not None
        assert len(memo) == min(micros, 4096)
    often = request("4")
    for _ in range(8):
        assert rig.short(often) is not None
    assert often.SerializeToString() in memo
    assert len(memo) == 4096


def test_what_is_not_cached_is_not_remembered() -> None:
    rig = Rig(ttl=2.0)
    assert rig.short(request()) is None
    assert not rig.quick._memo


def test_large_requests_are_not_remembered() -> None:
    rig = Rig(ttl=2.0)
    rig.long(request())
    padded = request().SerializeToString() + b"\xfa\x07" + b"\x90\x03" + b"x" * 400  # an unknown field
    assert pb.GetCheckpointRequest.FromString(padded).key.partition_id == "2"
    assert rig.quick.one(padded, anything, rig.now) is not None
    assert not rig.quick._memo
    longer = request().SerializeToString() + b"\xfa\x07" + b"\x84\x20" + b"x" * 4100
    assert pb.GetCheckpointRequest.FromString(longer).key.partition_id == "2"
    assert rig.quick.one(longer, anything, rig.now) is None


def batch(*partitions: str, **more: Any) -> pb.BatchGetCheckpointsRequest:
    return pb.BatchGetCheckpointsRequest(keys=[request(partition).key for partition in partitions], **more)


@given(
    partitions=st.lists(st.sampled_from(["0", "2", "4", "shardId-0000000002"]), min_size=1, max_size=300),
    passed=st.sampled_from([0.0, 0.0301, 1.9]),
    more=st.sampled_from([{}, {"max_age": {"seconds": 2}}, {"allow_stale": True}]),
)
def test_a_batch_answers_as_the_long_way(partitions: Sequence[str], passed: float, more: dict[str, Any]) -> None:
    rig = Rig(ttl=2.0)
    asked = batch(*partitions, **more)
    rig.long(request("4"))
    rig.now += 0.05  # they are not all as old
    rig.servicer.batch_get(asked, Caller(rig.now + 10), anything)
    rig.now += passed
    for _ in range(2):  # what is new, and what is remembered
        rig.ages.clear()
        short, long = rig.short_batch(asked), rig.servicer.batch_get(asked, Caller(rig.now + 10), anything)
        assert short is not None
        for one, other in zip(short.results, long.results, strict=True):
            exactly, told = other.response.age.ToNanoseconds(), one.response.age.ToNanoseconds()
            assert exactly <= told < exactly + 1_000_001
            one.response.age.CopyFrom(other.response.age)
        assert short == long
        assert len(rig.ages) == len(partitions)
    assert rig.batched.count == 2 * len(partitions)


def test_a_batch_that_is_asked_for_again_is_remembered_and_says_what_there_is_now() -> None:
    rig = Rig(ttl=2.0)
    asked = batch("2", "4")
    for partition in ("2", "4"):
        rig.long(request(partition))
    for _ in range(2):
        assert rig.short_batch(asked) is not None
    assert list(rig.quick._batch_memo) == [asked.SerializeToString()]
    rig.servicer.commit(
        pb.CommitCheckpointRequest(key=request("4").key, sequence_number="900"), Caller(NOW + 10), anything
    )
    answer = rig.short_batch(asked)
    assert answer is not None
    assert [one.response.checkpoint.sequence_number for one in answer.results][1] == "900"
    rig.now += 3.0
    assert rig.short_batch(asked) is None  # too old


def test_few_batches_are_remembered_and_no_large_ones() -> None:
    rig = Rig(ttl=2.0)
    rig.long(request("2"))
    for count in range(1, 200):
        for _ in range(2):
            assert rig.short_batch(batch(*["2"] * count)) is not None
    assert len(rig.quick._batch_memo) == 16
    large = batch(*["2"] * 1000)
    for _ in range(20):
        assert rig.short_batch(large) is not None
    assert large.SerializeToString() not in rig.quick._batch_memo
    assert len(large.SerializeToString()) > 16 * 1024


def test_batches_that_are_remembered_have_no_more_reads_together_than_single_ones_may_be() -> None:
    rig = Rig(ttl=2.0)
    rig.long(request("2"))
    small = batch("2").SerializeToString()
    assert rig.quick.many(small, anything, rig.now) is not None
    for count in range(300, 340):
        for _ in range(9):
            assert rig.short_batch(batch(*["2"] * count)) is not None
            assert sum(map(len, rig.quick._batch_memo.values())) <= 4096
    assert len(rig.quick._batch_memo) == 12
    assert small not in rig.quick._batch_memo
    before = set(rig.quick._batch_memo)
    for count in range(400, 408):
        assert rig.short_batch(batch(*["2"] * count)) is not None
    assert len(set(rig.quick._batch_memo) - before) == 1  # of those that come once few take the place of others


def test_a_batch_is_for_those_alone_who_may_read_all_of_it() -> None:
    rig = Rig(ttl=2.0)
    rig.long(request())

    def refuse(stream: str, app: str) -> None:
        raise CallerNotAllowed("somebody", "app", app)

    data = batch("2").SerializeToString()
    for _ in range(3):
        assert rig.quick.many(data, anything, rig.now) is not None
        assert rig.quick.many(data, refuse, rig.now) is None
    assert rig.quick._batch_memo


@pytest.mark.parametrize(
    "asked",
    [
        batch(),
        batch("2", "6"),  # not cached
        batch("2", "nonsense"),
        batch("2", read_mode=pb.READ_MODE_FRESH),
        batch("2", read_mode=9),
        batch("2", max_age={"seconds": -1}),
        batch(*["2"] * 1001),
    ],
)
def test_a_batch_that_needs_more_than_the_cache_takes_the_long_way(asked: pb.BatchGetCheckpointsRequest) -> None:
    rig = Rig(ttl=2.0)
    rig.long(request("2"))
    assert rig.short_batch(batch("2")) is not None
    rig.ages.clear()
    assert rig.short_batch(asked) is None
    assert not rig.ages


def test_a_batch_with_a_key_that_is_not_allowed_takes_the_long_way() -> None:
    rig = Rig(ttl=2.0)
    rig.long(request("2"))

    def refuse(stream: str, app: str) -> None:
        raise CallerNotAllowed("somebody", "app", app)

    assert rig.quick.many(batch("2").SerializeToString(), refuse, rig.now) is None


def test_each_app_of_a_batch_is_asked_for_whether_the_caller_may() -> None:
    rig = Rig(ttl=2.0)
    other = pb.CheckpointKey(stream_name="stream", app_name="other", partition_id="2")
    asked = pb.BatchGetCheckpointsRequest(keys=[request("2").key, other])
    rig.servicer.batch_get(asked, Caller(NOW + 10), anything)
    assert rig.short_batch(asked) is not None

    def refuse(stream: str, app: str) -> None:
        if app == "other":
            raise CallerNotAllowed("somebody", "app", app)

    assert rig.quick.many(asked.SerializeToString(), refuse, rig.now) is None


def test_what_is_wrong_is_not_remembered() -> None:
    rig = Rig(ttl=2.0)
    for number in range(5):
        assert rig.short_batch(batch("x" * 10_000 + str(number))) is None
        assert rig.short(request("02" + str(number))) is None
    assert len(rig.quick._memo) == 0


def test_answers_of_every_length_stand_in_a_batch() -> None:
    rig = Rig(ttl=2.0)
    for length in (0, 90, 1000):
        rig.service.commit(
            Commit.of(Checkpoint(CheckpointKey("stream", "app", "2"), SequenceNumber(1), "\U0001f600" * length)),
            Caller(NOW + 10),
        )
        short = rig.short_batch(batch("2", "2"))
        assert short is not None
        assert [one.response.checkpoint.metadata for one in short.results] == ["\U0001f600" * length] * 2
