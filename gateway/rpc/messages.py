"""Between the messages of the proto and the values of the model. A message that is wrong is refused with its field."""

from __future__ import annotations

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.service import ReadResult, Source
from gateway.errors import InvalidField
from gateway.model import (
    APP_NAME_MAX,
    LAST_READ,
    Checkpoint,
    CheckpointKey,
    Commit,
    Membership,
    SequenceNumber,
    check_name,
)
from gateway.rpc.status import duration

_SOURCES = {
    Source.CACHE: pb.CHECKPOINT_SOURCE_CACHE,
    Source.UPSTREAM: pb.CHECKPOINT_SOURCE_UPSTREAM,
}


KeyedRequest = pb.GetCheckpointRequest | pb.CommitCheckpointRequest | pb.DeleteCheckpointRequest


class MessageReader:
    """Reads requests into the model. ``app_name_max`` is the longest app name taken, in characters."""

    def __init__(self, app_name_max: int = APP_NAME_MAX) -> None:
        self._app_name_max = app_name_max

    def key(self, message: KeyedRequest) -> CheckpointKey:
        """The ``key`` of a request. Raises :class:`InvalidField` with a path such as ``key.partition_id``."""
        if not message.HasField("key"):
            raise InvalidField("key", "is mandatory")
        key = message.key
        try:
            check_name("app_name", key.app_name, self._app_name_max)
            return CheckpointKey(key.stream_name, key.app_name, key.partition_id, key.checkpoint_type or LAST_READ)
        except InvalidField as error:
            raise error.under("key") from None

    def commit(self, message: pb.CommitCheckpointRequest) -> Commit:
        """A whole commit. Raises :class:`InvalidField`."""
        return Commit(
            Checkpoint(self.key(message), SequenceNumber.parse(message.sequence_number), message.metadata),
            allow_rewind=message.allow_rewind,
            membership=Membership(message.client_id, message.generation_id),
        )


def wants_fresh(message: pb.GetCheckpointRequest) -> bool:
    """Whether the read mode passes the cache by. Raises :class:`InvalidField` for a mode that is not known."""
    mode = message.read_mode
    if mode not in (pb.READ_MODE_UNSPECIFIED, pb.READ_MODE_CACHED, pb.READ_MODE_FRESH):
        raise InvalidField("read_mode", f"has the unknown value {mode}")
    return mode == pb.READ_MODE_FRESH


def max_age(message: pb.GetCheckpointRequest) -> float | None:
    """``max_age`` in seconds; None where it is unset. Raises :class:`InvalidField` for a negative or broken one."""
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
