"""Bytes that are taken apart and put together by hand are those of the messages."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.cache import Known
from gateway.checkpoints.work import ReadResult, Source
from gateway.errors import InvalidField
from gateway.model import MAX_SEQUENCE_NUMBER, Checkpoint, CheckpointKey, SequenceNumber
from gateway.rpc.encoded import age_of, ageless
from gateway.rpc.messages import MessageReader, read_response, single_requests

names = st.text("abcXYZ019_-", min_size=1, max_size=50)
partitions = st.integers(0, 9_999_999_999).map(str)
partitions |= partitions.map(lambda number: f"shardId-{number:0>10}")
numbers = st.integers(0, MAX_SEQUENCE_NUMBER) | st.integers(0, 1000)
metadata = st.text(max_size=300) | st.integers(0, 1000).map(lambda size: "\U0001f600" * size)


@given(stream=names, app=names, partition=partitions, number=numbers, text=metadata)
@example(stream="s", app="a", partition="0", number=0, text="")
def test_an_answer_is_as_the_message_would_be(stream: str, app: str, partition: str, number: int, text: str) -> None:
    for said in (Checkpoint(CheckpointKey(stream, app, partition), SequenceNumber(number), text), None):
        message = read_response(ReadResult(said, Source.CACHE))
        message.ClearField("age")
        assert ageless(Known(1, 1, 0.0, said)) == message.SerializeToString()


def test_an_answer_is_as_the_message_would_be_whatever_its_length() -> None:
    for size in range(1000):
        said = Checkpoint(CheckpointKey("s", "a", "1"), SequenceNumber(7), "m" * size)
        message = read_response(ReadResult(said, Source.CACHE))
        message.ClearField("age")
        assert ageless(Known(1, 1, 0.0, said)) == message.SerializeToString()


@given(stream=names, app=names, partition=partitions)
def test_a_request_that_says_nothing_but_its_key_is_read(stream: str, app: str, partition: str) -> None:
    request = pb.GetCheckpointRequest(
        key=pb.CheckpointKey(stream_name=stream, app_name=app, partition_id=partition)
    ).SerializeToString()
    plain = MessageReader().plain_key(request)
    if len(request) < 130:
        assert plain == CheckpointKey(stream, app, partition)
    else:
        assert plain is None


pieces = st.sampled_from(
    [b"\x0a", b"\x12", b"\x1a", b"\x22", b"\x01", b"\x02", b"\x03", b"\x06", b"a", b"s", b"0", b"12"]
)


@st.composite
def altered(draw: st.DrawFn) -> bytes:
    """A request in which some bytes are others, or more, or fewer; its length is often right all the same."""
    key = pb.CheckpointKey(
        stream_name=draw(names),
        app_name=draw(names),
        partition_id=draw(partitions),
        checkpoint_type=draw(st.sampled_from(["", "", "LAST_READ", "LATEST"])),
    )
    data = bytearray(key.SerializeToString())
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 3))] = draw(pieces)
    length = len(data) if draw(st.booleans()) else draw(st.integers(0, 255))
    more = draw(st.sampled_from([b"", b"", b"\x10\x02", b"\x1a\x00", b"\x20\x01", b"\x0a\x00"]))
    return bytes([draw(st.sampled_from([0x0A, 0x0A, 0x12])), length % 256]) + bytes(data) + more


@given(data=altered() | st.binary(max_size=40) | st.lists(pieces, max_size=20).map(b"".join))
@example(data=b"")
@example(data=b"\x0a")
@example(data=b"\x0a\x1a\x19" + b"1" * 25)
@example(data=b"\x0a\x09\x0a\x01s\x12\x01a\x1a\x010")
@example(data=b"\x0a\x0b\x0a\x01s\x12\x01a\x1a\x01101")  # what is behind the partition is another field
@example(data=b"\x0a\x0c\x0a\x01s\x12\x01a\x22\x01X\x1a\x010")  # a checkpoint_type before it
def test_a_request_is_read_as_the_message_or_not_at_all(data: bytes) -> None:
    reader = MessageReader()
    try:
        plain = reader.plain_key(data)
    except (InvalidField, DecodeError):
        return
    if plain is None:
        return
    message = pb.GetCheckpointRequest.FromString(data)
    assert reader.key(message) == plain
    message.ClearField("key")
    assert message == pb.GetCheckpointRequest()


@pytest.mark.parametrize("app", ["y" * 51, "no good", ""])
def test_wrong_names_are_no_key(app: str) -> None:
    key = pb.CheckpointKey(stream_name="s", app_name=app, partition_id="0")
    with pytest.raises(InvalidField):
        MessageReader().plain_key(pb.GetCheckpointRequest(key=key).SerializeToString())


def test_a_batch_that_would_be_many_times_its_size_is_not_taken_apart() -> None:
    key = b"\x0a\x09\x0a\x01s\x12\x01a\x1a\x010"
    assert len(single_requests(1000 * key) or ()) == 1000
    assert single_requests(1001 * key) is None
    unknown = b"\xfa\x07"
    assert len(single_requests(key + unknown + bytes([20]) + b"x" * 20) or ()) == 1
    assert single_requests(key + unknown + bytes([100]) + b"x" * 100) is None


@pytest.mark.parametrize("milliseconds", [0, 1, 999, 1000, 1001, 127_999, 128_000, 10**12])
def test_an_age_is_told_in_milliseconds(milliseconds: int) -> None:
    assert pb.GetCheckpointResponse.FromString(age_of(milliseconds)).age.ToMilliseconds() == milliseconds


def test_a_batch_has_the_fields_of_a_single_request() -> None:
    def fields(kind: type[pb.GetCheckpointRequest | pb.BatchGetCheckpointsRequest]) -> dict[int, tuple[str, object]]:
        found = {one.number: (one.name, one.message_type or one.enum_type) for one in kind.DESCRIPTOR.fields}
        return {number: ("key", kind) if name == "keys" else (name, kind) for number, (name, kind) in found.items()}

    assert fields(pb.BatchGetCheckpointsRequest) == fields(pb.GetCheckpointRequest)


said_of_all = st.sampled_from([b"", b"", b"\x10\x01", b"\x1a\x02\x08\x01", b"\x20\x01", b"\x28\x01", b"\x1a\x00\x10"])


@given(data=st.builds(lambda keys, more: b"".join(keys) + more, st.lists(altered(), max_size=4), said_of_all))
@example(data=b"\x0a\x00\x10\x01\x0a\x00")
@example(data=b"\x0a")
@example(data=b"\x10\x01")
def test_a_batch_is_what_its_single_requests_are_or_not_taken_apart(data: bytes) -> None:
    singles = single_requests(data)
    if singles is None:
        return
    try:
        requests = [pb.GetCheckpointRequest.FromString(one) for one in singles]
    except DecodeError:
        return  # the long way says so
    batch = pb.BatchGetCheckpointsRequest.FromString(data)
    assert list(batch.keys) == [one.key for one in requests]
    assert all(one.HasField("key") for one in requests)
    for one in requests:
        assert (one.read_mode, one.HasField("max_age"), one.max_age, one.allow_stale) == (
            batch.read_mode, batch.HasField("max_age"), batch.max_age, batch.allow_stale,
        )  # fmt: skip
