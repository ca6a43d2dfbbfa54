"""Answers to cached reads, put together from bytes: those of a message's parts add up to the whole."""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.duration_pb2 import Duration

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.cache import Known
from gateway.model import LAST_READ, canonical_partition

_REMEMBERED = 2048


def tag(field: int) -> bytes:
    """What stands before the length of a field that has one."""
    return _varint(field << 3 | 2)


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


_CACHED = pb.GetCheckpointResponse(source=pb.CHECKPOINT_SOURCE_CACHE).SerializeToString()
_FOUND = pb.GetCheckpointResponse(found=True).SerializeToString()
_FOUND += tag(pb.GetCheckpointResponse.CHECKPOINT_FIELD_NUMBER)
_TYPE = pb.CheckpointKey(checkpoint_type=LAST_READ).SerializeToString()
_PARTITION_LENGTH = len(canonical_partition("0"))


def ageless(known: Known) -> bytes:
    """The answer as :func:`gateway.rpc.messages.read_response` makes it, but for the age."""
    checkpoint = known.checkpoint
    if checkpoint is None:
        return _CACHED
    app, partition = checkpoint.key
    number = b"%d" % checkpoint.sequence_number
    metadata = checkpoint.metadata.encode()
    return _found(app, len(number), len(metadata)) % (partition.encode(), number, metadata)


@lru_cache(_REMEMBERED)
def _found(app: tuple[str, str], digits: int, metadata: int) -> bytes:
    """The answer with these names, for a partition, a number and metadata of these lengths to be put in.

    Few lengths are met together; where thousands are, it takes 4 µs to make and is not remembered for long.
    """
    stream_name, app_name = app
    until_partition = pb.CheckpointKey(stream_name=stream_name, app_name=app_name).SerializeToString()
    until_partition += tag(pb.CheckpointKey.PARTITION_ID_FIELD_NUMBER) + _varint(_PARTITION_LENGTH)
    key = len(until_partition) + _PARTITION_LENGTH + len(_TYPE)
    until_partition = tag(pb.Checkpoint.KEY_FIELD_NUMBER) + _varint(key) + until_partition
    until_number = _TYPE + tag(pb.Checkpoint.SEQUENCE_NUMBER_FIELD_NUMBER) + _varint(digits)
    until_metadata = tag(pb.Checkpoint.METADATA_FIELD_NUMBER) + _varint(metadata) if metadata else b""
    checkpoint = len(until_partition) + _PARTITION_LENGTH + len(until_number) + digits + len(until_metadata) + metadata
    parts = (_FOUND + _varint(checkpoint) + until_partition, until_number, until_metadata, _CACHED)
    return b"%b".join(part.replace(b"%", b"%%") for part in parts)


_NANOS = [Duration(nanos=milliseconds * 1_000_000).SerializeToString() for milliseconds in range(1000)]
"""What says the part of an age that is less than a second: a list, as few ages come twice soon."""


def age_of(milliseconds: int) -> bytes:
    """What an answer says of its age, which is told in whole milliseconds, and never as less than it is."""
    whole, rest = divmod(milliseconds, 1000)
    nanos = _NANOS[rest]
    return _until_nanos(whole, len(nanos)) + nanos


@lru_cache(_REMEMBERED)
def _until_nanos(whole: int, size: int) -> bytes:
    """How an age of so many seconds begins, if ``size`` more bytes say what is beyond them."""
    seconds = Duration(seconds=whole).SerializeToString()
    return tag(pb.GetCheckpointResponse.AGE_FIELD_NUMBER) + _varint(len(seconds) + size) + seconds


class _ResultHeads(dict[int, bytes]):
    """Made when they are asked for; there are no more than there are lengths of answers, which are of some KiB."""

    def __missing__(self, size: int) -> bytes:
        within = tag(pb.BatchGetCheckpointsResult.RESPONSE_FIELD_NUMBER) + _varint(size)
        head = tag(pb.BatchGetCheckpointsResponse.RESULTS_FIELD_NUMBER) + _varint(len(within) + size) + within
        self[size] = head
        return head


RESULT_HEADS = _ResultHeads()
"""What stands before an answer in the answer to a batch, by the bytes of it."""
