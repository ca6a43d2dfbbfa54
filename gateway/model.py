"""What a checkpoint is: values that are checked and canonical from birth, and cannot change afterwards.

The limits are those of the DIS checkpoint API reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from gateway.errors import InvalidField

LAST_READ = "LAST_READ"
MAX_SEQUENCE_NUMBER = 2**63 - 1
SEQUENCE_NUMBER_DIGITS = 19
STREAM_NAME_MAX = 64
APP_NAME_MAX = 50
"""The checkpoint pages' limit; the page on creating an app says 200, see ``APP_NAME_MAX_EVER``."""
APP_NAME_MAX_EVER = 200
METADATA_MAX = 1000
"""In Unicode code points."""
MEMBERSHIP_MAX = 256

_APPS_REMEMBERED = 1024

_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SHARD = "shardId-"
_SHARD_DIGITS = 10
_PRINTABLE = re.compile(r"[\x20-\x7e]*", re.ASCII)


def check_name(field: str, value: str, longest: int) -> str:
    """Return ``value`` if it is a DIS name of at most ``longest`` characters; raise :class:`InvalidField` otherwise."""
    if not value:
        raise InvalidField(field, "is mandatory")
    if len(value) > longest:
        raise InvalidField(field, f"has {len(value)} characters; at most {longest} are allowed")
    if not _NAME.fullmatch(value):
        raise InvalidField(field, "may hold only the characters A-Z a-z 0-9 _ -")
    return value


def canonical_partition(value: str, field: str = "partition_id") -> str:
    """The long spelling of a partition, ``shardId-0000000012``, from either spelling.

    The DIS API reference knows two: a plain number without leading zeros, and ``shardId-`` with exactly ten digits.
    Anything else, ``00`` and ``shardId-1`` included, raises :class:`InvalidField`.
    """
    if value.isdigit() and value.isascii():
        if value == "0" or (value[0] != "0" and len(value) <= _SHARD_DIGITS):
            return _SHARD + value.zfill(_SHARD_DIGITS)
    elif value[: len(_SHARD)] == _SHARD and len(value) == len(_SHARD) + _SHARD_DIGITS:
        if _are_digits(value[len(_SHARD) :]):
            return value
    elif not value:
        raise InvalidField(field, "is mandatory")
    raise InvalidField(field, 'must be a number without leading zeros such as "0", or "shardId-" and ten digits')


def _are_digits(text: str) -> bool:
    return text.isdigit() and text.isascii()


def check_metadata(value: str) -> str:
    """Return ``value`` if it is no longer than DIS takes; raise :class:`InvalidField` otherwise."""
    if len(value) > METADATA_MAX:
        raise InvalidField("metadata", f"has {len(value)} characters; at most {METADATA_MAX} are allowed")
    return value


class SequenceNumber(int):
    """The number of a record in a partition: 0 to 2**63 - 1, written as a string of digits.

    An integer with nothing beside it: of each cached checkpoint there is one.
    """

    __slots__ = ()

    def __new__(cls, value: int) -> SequenceNumber:
        """Raises :class:`InvalidField` where it is out of range."""
        if not 0 <= value <= MAX_SEQUENCE_NUMBER:
            raise InvalidField("sequence_number", "must lie between 0 and 9223372036854775807")
        return super().__new__(cls, value)

    @classmethod
    def parse(cls, text: str, field: str = "sequence_number") -> SequenceNumber:
        """From ASCII digits; leading zeros are dropped. Raises :class:`InvalidField` for everything else."""
        if not text:
            raise InvalidField(field, "is mandatory")
        if len(text) > SEQUENCE_NUMBER_DIGITS or not (text.isascii() and text.isdigit()):
            raise InvalidField(
                field, "must be a decimal number of 1 to 19 ASCII digits, without sign, space or fraction"
            )
        value = int(text)
        if value > MAX_SEQUENCE_NUMBER:
            raise InvalidField(field, "must lie between 0 and 9223372036854775807")
        return int.__new__(cls, value)


@lru_cache(_APPS_REMEMBERED)
def _app(stream_name: str, app_name: str) -> tuple[str, str]:
    """Checked names. There is one copy of them, however many partitions have them."""
    check_name("stream_name", stream_name, STREAM_NAME_MAX)
    check_name("app_name", app_name, APP_NAME_MAX_EVER)
    return stream_name, app_name


class CheckpointKey(tuple[tuple[str, str], str]):
    """Names one checkpoint. ``partition_id`` is in the long spelling whichever it was made from.

    A tuple, as keys are looked up all the time: those are hashed and compared without a call of Python.
    """

    __slots__ = ()

    def __new__(
        cls, stream_name: str, app_name: str, partition_id: str, checkpoint_type: str = LAST_READ
    ) -> CheckpointKey:
        """Raises :class:`InvalidField`."""
        app = _app(stream_name, app_name)
        if checkpoint_type != LAST_READ:
            raise InvalidField("checkpoint_type", f'must be "{LAST_READ}" or unset')
        return cls.of(app, partition_id)

    @classmethod
    def of(cls, app: tuple[str, str], partition_id: str) -> CheckpointKey:
        """A key with the ``app`` of another one. Raises :class:`InvalidField`."""
        return tuple.__new__(cls, (app, canonical_partition(partition_id)))

    @property
    def app(self) -> tuple[str, str]:
        """Stream and app."""
        return self[0]

    @property
    def stream_name(self) -> str:
        return self[0][0]

    @property
    def app_name(self) -> str:
        return self[0][1]

    @property
    def partition_id(self) -> str:
        return self[1]

    @property
    def checkpoint_type(self) -> str:
        """The only one that there is."""
        return LAST_READ

    def __getnewargs__(self) -> tuple[str, str, str]:
        """What copies are made from."""
        return self.stream_name, self.app_name, self.partition_id

    def __repr__(self) -> str:
        return f"CheckpointKey{self.__getnewargs__()}"

    def __str__(self) -> str:
        return f"{self.stream_name}/{self.app_name}/{self.partition_id}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One consumer's place in one partition: the number of the LAST record that it has finished."""

    key: CheckpointKey
    sequence_number: SequenceNumber
    metadata: str = ""

    def __post_init__(self) -> None:
        check_metadata(self.metadata)


@dataclass(frozen=True, slots=True)
class Membership:
    """A consumer's place in its group, as the DIS coordinator gave it: DIS fences those who lost theirs."""

    client_id: str = ""
    generation_id: str = ""

    def __post_init__(self) -> None:
        for field, value in (("client_id", self.client_id), ("generation_id", self.generation_id)):
            if value and (len(value) > MEMBERSHIP_MAX or not _PRINTABLE.fullmatch(value)):
                raise InvalidField(field, f"must be at most {MEMBERSHIP_MAX} characters of printable ASCII")


NO_MEMBERSHIP = Membership()
"""Of a consumer that belongs to no group."""


class Commit(NamedTuple):  # which costs a third of a frozen dataclass, and batches make thousands
    """What a consumer wants stored, and on what terms.

    It is flat for the same reason: few become a checkpoint, as most of a batch fold into others. Whoever makes one
    without a checkpoint checks its metadata.
    """

    key: CheckpointKey
    number: SequenceNumber
    metadata: str = ""
    allow_rewind: bool = False
    membership: Membership = NO_MEMBERSHIP

    @classmethod
    def of(cls, checkpoint: Checkpoint, allow_rewind: bool = False, membership: Membership = NO_MEMBERSHIP) -> Commit:
        """One that wants ``checkpoint`` stored."""
        return cls(checkpoint.key, checkpoint.sequence_number, checkpoint.metadata, allow_rewind, membership)

    @property
    def checkpoint(self) -> Checkpoint:
        """What it is when it is stored."""
        return Checkpoint(self.key, self.number, self.metadata)


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A partition and an app's place in it. Offsets are sequence numbers; ``number`` None: no checkpoint."""

    key: CheckpointKey
    number: SequenceNumber | None
    earliest: int
    latest: int
    status: str

    @property
    def lag(self) -> int:
        """Records between the checkpoint and the newest one; without a checkpoint, all that there are."""
        return max(0, self.latest - (self.earliest if self.number is None else self.number))


@dataclass(frozen=True, slots=True)
class PartitionPage:
    """Some partitions of a stream, in order; ``more`` tells that there are others after them."""

    partitions: Sequence[PartitionState]
    more: bool
