import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReadMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    READ_MODE_UNSPECIFIED: _ClassVar[ReadMode]
    READ_MODE_CACHED: _ClassVar[ReadMode]
    READ_MODE_FRESH: _ClassVar[ReadMode]

class CheckpointSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECKPOINT_SOURCE_UNSPECIFIED: _ClassVar[CheckpointSource]
    CHECKPOINT_SOURCE_CACHE: _ClassVar[CheckpointSource]
    CHECKPOINT_SOURCE_UPSTREAM: _ClassVar[CheckpointSource]
    CHECKPOINT_SOURCE_STALE: _ClassVar[CheckpointSource]

class CommitResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMIT_RESULT_UNSPECIFIED: _ClassVar[CommitResult]
    COMMIT_RESULT_COMMITTED: _ClassVar[CommitResult]
    COMMIT_RESULT_SUPERSEDED: _ClassVar[CommitResult]
READ_MODE_UNSPECIFIED: ReadMode
READ_MODE_CACHED: ReadMode
READ_MODE_FRESH: ReadMode
CHECKPOINT_SOURCE_UNSPECIFIED: CheckpointSource
CHECKPOINT_SOURCE_CACHE: CheckpointSource
CHECKPOINT_SOURCE_UPSTREAM: CheckpointSource
CHECKPOINT_SOURCE_STALE: CheckpointSource
COMMIT_RESULT_UNSPECIFIED: CommitResult
COMMIT_RESULT_COMMITTED: CommitResult
COMMIT_RESULT_SUPERSEDED: CommitResult

class CheckpointKey(_message.Message):
    __slots__ = ("stream_name", "app_name", "partition_id", "checkpoint_type")
    STREAM_NAME_FIELD_NUMBER: _ClassVar[int]
    APP_NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITION_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_TYPE_FIELD_NUMBER: _ClassVar[int]
    stream_name: str
    app_name: str
    partition_id: str
    checkpoint_type: str
    def __init__(self, stream_name: _Optional[str] = ..., app_name: _Optional[str] = ..., partition_id: _Optional[str] = ..., checkpoint_type: _Optional[str] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("key", "sequence_number", "metadata")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    key: CheckpointKey
    sequence_number: str
    metadata: str
    def __init__(self, key: _Optional[_Union[CheckpointKey, _Mapping]] = ..., sequence_number: _Optional[str] = ..., metadata: _Optional[str] = ...) -> None: ...

class GetCheckpointRequest(_message.Message):
    __slots__ = ("key", "read_mode", "max_age", "allow_stale")
    KEY_FIELD_NUMBER: _ClassVar[int]
    READ_MODE_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_STALE_FIELD_NUMBER: _ClassVar[int]
    key: CheckpointKey
    read_mode: ReadMode
    max_age: _duration_pb2.Duration
    allow_stale: bool
    def __init__(self, key: _Optional[_Union[CheckpointKey, _Mapping]] = ..., read_mode: _Optional[_Union[ReadMode, str]] = ..., max_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., allow_stale: _Optional[bool] = ...) -> None: ...

class GetCheckpointResponse(_message.Message):
    __slots__ = ("found", "checkpoint", "source", "age")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    found: bool
    checkpoint: Checkpoint
    source: CheckpointSource
    age: _duration_pb2.Duration
    def __init__(self, found: _Optional[bool] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., source: _Optional[_Union[CheckpointSource, str]] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CommitCheckpointRequest(_message.Message):
    __slots__ = ("key", "sequence_number", "metadata", "allow_rewind", "client_id", "generation_id")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ALLOW_REWIND_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    key: CheckpointKey
    sequence_number: str
    metadata: str
    allow_rewind: bool
    client_id: str
    generation_id: str
    def __init__(self, key: _Optional[_Union[CheckpointKey, _Mapping]] = ..., sequence_number: _Optional[str] = ..., metadata: _Optional[str] = ..., allow_rewind: _Optional[bool] = ..., client_id: _Optional[str] = ..., generation_id: _Optional[str] = ...) -> None: ...

class CommitCheckpointResponse(_message.Message):
    __slots__ = ("result", "effective")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_FIELD_NUMBER: _ClassVar[int]
    result: CommitResult
    effective: Checkpoint
    def __init__(self, result: _Optional[_Union[CommitResult, str]] = ..., effective: _Optional[_Union[Checkpoint, _Mapping]] = ...) -> None: ...

class DeleteCheckpointRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: CheckpointKey
    def __init__(self, key: _Optional[_Union[CheckpointKey, _Mapping]] = ...) -> None: ...

class DeleteCheckpointResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("stream_name", "app_name", "page_size", "page_token")
    STREAM_NAME_FIELD_NUMBER: _ClassVar[int]
    APP_NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    stream_name: str
    app_name: str
    page_size: int
    page_token: str
    def __init__(self, stream_name: _Optional[str] = ..., app_name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("partitions", "next_page_token")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionState]
    next_page_token: str
    def __init__(self, partitions: _Optional[_Iterable[_Union[PartitionState, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PartitionState(_message.Message):
    __slots__ = ("checkpoint", "found", "earliest_sequence_number", "latest_sequence_number", "lag", "status")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    LATEST_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    checkpoint: Checkpoint
    found: bool
    earliest_sequence_number: str
    latest_sequence_number: str
    lag: int
    status: str
    def __init__(self, checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., found: _Optional[bool] = ..., earliest_sequence_number: _Optional[str] = ..., latest_sequence_number: _Optional[str] = ..., lag: _Optional[int] = ..., status: _Optional[str] = ...) -> None: ...

class BatchGetCheckpointsRequest(_message.Message):
    __slots__ = ("keys", "read_mode", "max_age", "allow_stale")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    READ_MODE_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_STALE_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[CheckpointKey]
    read_mode: ReadMode
    max_age: _duration_pb2.Duration
    allow_stale: bool
    def __init__(self, keys: _Optional[_Iterable[_Union[CheckpointKey, _Mapping]]] = ..., read_mode: _Optional[_Union[ReadMode, str]] = ..., max_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., allow_stale: _Optional[bool] = ...) -> None: ...

class BatchGetCheckpointsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchGetCheckpointsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchGetCheckpointsResult, _Mapping]]] = ...) -> None: ...

class BatchGetCheckpointsResult(_message.Message):
    __slots__ = ("response", "status")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    response: GetCheckpointResponse
    status: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[GetCheckpointResponse, _Mapping]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class BatchCommitCheckpointsRequest(_message.Message):
    __slots__ = ("commits",)
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    commits: _containers.RepeatedCompositeFieldContainer[CommitCheckpointRequest]
    def __init__(self, commits: _Optional[_Iterable[_Union[CommitCheckpointRequest, _Mapping]]] = ...) -> None: ...

class BatchCommitCheckpointsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchCommitCheckpointsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchCommitCheckpointsResult, _Mapping]]] = ...) -> None: ...

class BatchCommitCheckpointsResult(_message.Message):
    __slots__ = ("response", "status")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    response: CommitCheckpointResponse
    status: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[CommitCheckpointResponse, _Mapping]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class StreamCommitsRequest(_message.Message):
    __slots__ = ("id", "commit")
    ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    id: int
    commit: CommitCheckpointRequest
    def __init__(self, id: _Optional[int] = ..., commit: _Optional[_Union[CommitCheckpointRequest, _Mapping]] = ...) -> None: ...

class StreamCommitsResponse(_message.Message):
    __slots__ = ("id", "response", "status")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    id: int
    response: CommitCheckpointResponse
    status: _status_pb2.Status
    def __init__(self, id: _Optional[int] = ..., response: _Optional[_Union[CommitCheckpointResponse, _Mapping]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class WatchCheckpointsRequest(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[CheckpointKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[CheckpointKey, _Mapping]]] = ...) -> None: ...

class WatchCheckpointsResponse(_message.Message):
    __slots__ = ("key", "checkpoint", "found")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    key: CheckpointKey
    checkpoint: Checkpoint
    found: bool
    def __init__(self, key: _Optional[_Union[CheckpointKey, _Mapping]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., found: _Optional[bool] = ...) -> None: ...

class DeleteAppCheckpointsRequest(_message.Message):
    __slots__ = ("stream_name", "app_name")
    STREAM_NAME_FIELD_NUMBER: _ClassVar[int]
    APP_NAME_FIELD_NUMBER: _ClassVar[int]
    stream_name: str
    app_name: str
    def __init__(self, stream_name: _Optional[str] = ..., app_name: _Optional[str] = ...) -> None: ...

class DeleteAppCheckpointsResponse(_message.Message):
    __slots__ = ("deleted_partitions",)
    DELETED_PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    deleted_partitions: int
    def __init__(self, deleted_partitions: _Optional[int] = ...) -> None: ...
