"""Between the messages of the proto and the values of the model. A message that is wrong is refused with its field."""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.message import DecodeError

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.waits import ReadWish
from gateway.checkpoints.work import CommitResult, ReadResult, Result, Source
from gateway.errors import GatewayError, InvalidField
from gateway.model import (
    APP_NAME_MAX,
    LAST_READ,
    NO_MEMBERSHIP,
    STREAM_NAME_MAX,
    Checkpoint,
    CheckpointKey,
    Commit,
    Membership,
    PartitionState,
    SequenceNumber,
    canonical_partition,
    check_metadata,
    check_name,
)
from gateway.rpc.encoded import tag
from gateway.rpc.status import duration, status_of

_SOURCES = {
    Source.CACHE: pb.CHECKPOINT_SOURCE_CACHE,
    Source.UPSTREAM: pb.CHECKPOINT_SOURCE_UPSTREAM,
    Source.STALE: pb.CHECKPOINT_SOURCE_STALE,
}


_KEYS_REMEMBERED = 8192
_NAMES_REMEMBERED = 1024
_KEY, _PARTITION = tag(pb.GetCheckpointRequest.KEY_FIELD_NUMBER), tag(pb.CheckpointKey.PARTITION_ID_FIELD_NUMBER)
"""The tags of the key in a request, and of the partition in a key."""
_LONG = 0x80
"""Lengths from here on have more than one byte."""
_OF_ALL_MAX = 64
"""Bytes of what a batch says of all its keys; a wish on how to read has far less."""
BATCH_MAX = 1000
_BATCH_LONG = BATCH_MAX * (2 + _LONG) + _OF_ALL_MAX
"""A batch with more bytes has too many keys, or long ones."""
PAGE_SIZE = 100
PAGE_SIZE_MAX = 1000

KeyedRequest = pb.GetCheckpointRequest | pb.CommitCheckpointRequest | pb.DeleteCheckpointRequest
AppRequest = pb.ListCheckpointsRequest | pb.DeleteAppCheckpointsRequest
ReadRequest = pb.GetCheckpointRequest | pb.BatchGetCheckpointsRequest


class MessageReader:
    """Reads requests into the model. ``app_name_max`` is the longest app name taken, in characters."""

    def __init__(self, app_name_max: int = APP_NAME_MAX) -> None:
        self._app_name_max = app_name_max
        self._checked = lru_cache(_KEYS_REMEMBERED)(self._check)
        self._app_in = lru_cache(_NAMES_REMEMBERED)(self._app)

    def key(self, message: KeyedRequest) -> CheckpointKey:
        """The ``key`` of a request. Raises :class:`InvalidField` with a path such as ``key.partition_id``."""
        try:
            return self.bare_key(message.key, "key")
        except InvalidField:
            if not message.HasField("key"):
                raise InvalidField("key", "is mandatory") from None
            raise

    def bare_key(self, key: pb.CheckpointKey, field: str) -> CheckpointKey:
        """A key that stands in ``field``. Raises :class:`InvalidField`."""
        try:
            return self.key_of(key.stream_name, key.app_name, key.partition_id, key.checkpoint_type)
        except InvalidField as error:
            raise error.under(field) from None

    def key_of(self, stream_name: str, app_name: str, partition_id: str, checkpoint_type: str) -> CheckpointKey:
        """A key from its parts as they came; those that are good are remembered. Raises :class:`InvalidField`."""
        return self._checked(stream_name, app_name, partition_id, checkpoint_type)

    def _check(self, stream_name: str, app_name: str, partition_id: str, checkpoint_type: str) -> CheckpointKey:
        check_name("app_name", app_name, self._app_name_max)
        return CheckpointKey(stream_name, app_name, partition_id, checkpoint_type or LAST_READ)

    def plain_key(self, request: bytes) -> CheckpointKey | None:
        """The key of a ``GetCheckpointRequest`` that says nothing else, without a message: most requests are such.

        None where it says more, or in another way. Raises :class:`InvalidField` or ``DecodeError``.
        """
        names, _, partition = request.rpartition(_PARTITION)
        if names[:1] != _KEY or not request[1] == len(request) - 2 < _LONG:
            return None
        if not partition or partition[0] != len(partition) - 1:
            return None
        app = self._app_in(names[2:])
        return None if app is None else CheckpointKey.of(app, partition[1:].decode("latin-1"))

    def _app(self, names: bytes) -> tuple[str, str] | None:
        """Stream and app of a key that begins with these bytes; None where they say more, or in another way."""
        key = pb.CheckpointKey.FromString(names)
        plain = pb.CheckpointKey(stream_name=key.stream_name, app_name=key.app_name)
        if plain.SerializeToString() != names:
            return None
        return self.key_of(key.stream_name, key.app_name, "0", "").app

    def commit(self, message: pb.CommitCheckpointRequest) -> Commit:
        """A whole commit. Raises :class:`InvalidField`."""
        key, number = self.key(message), SequenceNumber.parse(message.sequence_number)
        metadata = check_metadata(message.metadata)
        client, generation = message.client_id, message.generation_id
        membership = Membership(client, generation) if client or generation else NO_MEMBERSHIP
        return Commit(key, number, metadata, message.allow_rewind, membership)

    def app(self, message: AppRequest) -> tuple[str, str]:
        """Stream and app of a request. Raises :class:`InvalidField`."""
        return (
            check_name("stream_name", message.stream_name, STREAM_NAME_MAX),
            check_name("app_name", message.app_name, self._app_name_max),
        )


def single_requests(batch: bytes) -> list[bytes] | None:
    """What a ``BatchGetCheckpointsRequest`` asks for, as a ``GetCheckpointRequest`` for each of its keys.

    Both have the same fields, so these are pieces of its bytes. None where it is written in another way than its keys
    first, and then what is said of them all, and where there are too many of them: what is said of all is in each.
    """
    keys: list[bytes] = []
    place, end, key = 0, len(batch), _KEY[0]
    if end > _BATCH_LONG:
        return None
    while place + 1 < end and batch[place] == key:
        size = batch[place + 1]
        after = place + 2 + size
        if size >= _LONG or after > end:
            return None
        keys.append(batch[place:after])
        place = after
    if len(keys) > BATCH_MAX:
        return None
    if place == end:
        return keys
    if end - place > _OF_ALL_MAX:
        return None
    of_all = batch[place:]
    try:
        if pb.GetCheckpointRequest.FromString(of_all).HasField("key"):
            return None
    except DecodeError:
        return None
    return [one + of_all for one in keys]


def read_wish(message: ReadRequest) -> ReadWish:
    """How the caller wants to read. Raises :class:`InvalidField`."""
    return ReadWish(_wants_fresh(message), _max_age(message), message.allow_stale)


def check_count(field: str, count: int) -> None:
    """Raises :class:`InvalidField` where a batch is empty or too large."""
    if not 1 <= count <= BATCH_MAX:
        raise InvalidField(field, f"has {count} elements; 1 to {BATCH_MAX} are taken")


def page(message: pb.ListCheckpointsRequest) -> tuple[str, int]:
    """The partition after which a page begins (empty: the first), and its size. Raises :class:`InvalidField`."""
    if not 0 <= message.page_size <= PAGE_SIZE_MAX:
        raise InvalidField("page_size", f"must be 1 to {PAGE_SIZE_MAX}, or unset")
    after = message.page_token and canonical_partition(message.page_token, "page_token")
    return after, message.page_size or PAGE_SIZE


def _wants_fresh(message: ReadRequest) -> bool:
    mode = message.read_mode
    if mode not in (pb.READ_MODE_UNSPECIFIED, pb.READ_MODE_CACHED, pb.READ_MODE_FRESH):
        raise InvalidField("read_mode", f"has the unknown value {mode}")
    return mode == pb.READ_MODE_FRESH


def _max_age(message: ReadRequest) -> float | None:
    if not message.HasField("max_age"):
        return None
    age = message.max_age
    if not (age.seconds >= 0 and 0 <= age.nanos < 1_000_000_000):
        raise InvalidField("max_age", "must be a duration that is not negative")
    return age.seconds + age.nanos / 1e9


def key_message(key: CheckpointKey) -> pb.CheckpointKey:
    """The key as answers have it: long partition spelling, type set."""
    return pb.CheckpointKey(
        stream_name=key.stream_name,
        app_name=key.app_name,
        partition_id=key.partition_id,
        checkpoint_type=key.checkpoint_type,
    )


def checkpoint_message(checkpoint: Checkpoint) -> pb.Checkpoint:
    """A checkpoint as answers have it."""
    return pb.Checkpoint(
        key=key_message(checkpoint.key),
        sequence_number=str(checkpoint.sequence_number),
        metadata=checkpoint.metadata,
    )


def read_response(result: ReadResult) -> pb.GetCheckpointResponse:
    """The answer to a read."""
    response = pb.GetCheckpointResponse(
        found=result.checkpoint is not None,
        source=_SOURCES[result.source],
        age=duration(result.age),
    )
    if result.checkpoint is not None:
        response.checkpoint.CopyFrom(checkpoint_message(result.checkpoint))
    return response


def commit_response(result: CommitResult) -> pb.CommitCheckpointResponse:
    """The answer to a commit."""
    return pb.CommitCheckpointResponse(result=commit_outcome(result), effective=checkpoint_message(result.effective))


def tell(result: Result, answer: pb.BatchCommitCheckpointsResult | pb.StreamCommitsResponse) -> None:
    """Put how a commit has ended into an answer that has room for a response or an error."""
    if isinstance(result, CommitResult):
        answer.response.CopyFrom(commit_response(result))
    elif isinstance(result, GatewayError):
        answer.status.CopyFrom(status_of(result))
    else:
        raise TypeError(f"{result!r} is no answer to a commit")


def commit_outcome(result: CommitResult) -> pb.CommitResult.ValueType:
    """What became of a commit that is stored."""
    return pb.COMMIT_RESULT_SUPERSEDED if result.superseded else pb.COMMIT_RESULT_COMMITTED


def partition_message(state: PartitionState) -> pb.PartitionState:
    """A partition as a list has it."""
    return pb.PartitionState(
        checkpoint=pb.Checkpoint(
            key=key_message(state.key), sequence_number="" if state.number is None else str(state.number)
        ),
        found=state.number is not None,
        earliest_sequence_number=str(state.earliest),
        latest_sequence_number=str(state.latest),
        lag=state.lag,
        status=state.status,
    )


def watch_response(key: CheckpointKey, checkpoint: Checkpoint | None) -> pb.WatchCheckpointsResponse:
    """A value of a key that is followed."""
    response = pb.WatchCheckpointsResponse(key=key_message(key), found=checkpoint is not None)
    if checkpoint is not None:
        response.checkpoint.CopyFrom(checkpoint_message(checkpoint))
    return response
