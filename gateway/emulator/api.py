"""The calls of DIS that the emulator knows, as functions of a request and the store."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from gateway.emulator.answers import Answer, DisError, as_json
from gateway.emulator.store import Partition, Store, Stream
from gateway.errors import InvalidField
from gateway.model import (
    APP_NAME_MAX_EVER,
    LAST_READ,
    METADATA_MAX,
    STREAM_NAME_MAX,
    SequenceNumber,
    canonical_partition,
    check_name,
)

NO_CHECKPOINT = "-1"
PARTITIONS_MAX = 10_000
_PREFIX = "shardId-"

Query = dict[str, str]
Handler = Callable[["Api", dict[str, str], Query, bytes], Answer]
BodyT = TypeVar("BodyT")


class CommitBody(msgspec.Struct):
    """What a commit sends. Other fields (``client_id``, ``generation_id``) are taken and not looked at."""

    stream_name: str = ""
    app_name: str = ""
    partition_id: str = ""
    sequence_number: str | int = ""
    checkpoint_type: str = ""
    metadata: str | None = None


class StreamBody(msgspec.Struct):
    """What creating a stream sends, as far as it matters here."""

    stream_name: str = ""
    partition_count: int = 1
    stream_type: str = "COMMON"
    data_type: str = "BLOB"
    data_duration: int = 24


class AppBody(msgspec.Struct):
    """What creating an app sends."""

    app_name: str = ""


class Api:
    """Answers the calls. ``now_ms`` gives milliseconds since 1970. Raises :class:`DisError`."""

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms

    def get_checkpoint(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``GET /checkpoints``."""
        stream, app = _stream_name(query.get("stream_name", "")), _app_name(query.get("app_name", ""))
        partition = _partition(query.get("partition_id", ""))
        _check_type(query.get("checkpoint_type", ""))
        found = self._store.checkpoint(stream, app, partition, self._now_ms())
        number, metadata = (NO_CHECKPOINT, "") if found is None else (str(found[0]), found[1])
        return as_json(200, {"sequence_number": number, "metadata": metadata})

    def commit_checkpoint(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``POST /checkpoints``."""
        commit = _decoded(body, CommitBody)
        stream, app = _stream_name(commit.stream_name), _app_name(commit.app_name)
        partition = _partition(commit.partition_id)
        _check_type(commit.checkpoint_type)
        try:
            number = int(SequenceNumber.parse(str(commit.sequence_number)))
        except InvalidField as error:
            raise DisError("DIS.4216", error.message) from None
        metadata = commit.metadata or ""
        if len(metadata) > METADATA_MAX:
            raise DisError("DIS.4200", f"metadata has more than {METADATA_MAX} characters.")
        self._store.commit(stream, app, partition, number, metadata, self._now_ms())
        return Answer(201)

    def delete_checkpoints(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``DELETE /checkpoints``: without ``partition_id`` it deletes them all.

        The older Python SDK sends no ``checkpoint_type``, so it is not asked for here.
        """
        stream, app = _stream_name(query.get("stream_name", "")), _app_name(query.get("app_name", ""))
        _check_type(query.get("checkpoint_type", LAST_READ))
        partition = _partition(query["partition_id"]) if query.get("partition_id") else None
        self._store.delete_checkpoints(stream, app, partition)
        return Answer(204)

    def consumer_state(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``GET /apps/{app}/streams/{stream}``: where an app stands in every partition of a stream."""
        _check_type(query.get("checkpoint_type", ""))
        limit = _limit(query)
        start = query.get("start_partition_id", "")
        after = _partition(start) if start else -1
        partitions = [one for one in self._store.partitions(path["stream"], path["app"]) if one.number > after]
        return as_json(
            200,
            {
                "has_more": len(partitions) > limit,
                "stream_name": path["stream"],
                "app_name": path["app"],
                "partition_consuming_states": [_state(one) for one in partitions[:limit]],
            },
        )

    def create_stream(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``POST /streams``."""
        wanted = _decoded(body, StreamBody)
        name = _stream_name(wanted.stream_name)
        if not 1 <= wanted.partition_count <= PARTITIONS_MAX:
            raise DisError("DIS.4200", f"partition_count must be 1 to {PARTITIONS_MAX}.")
        self._store.create_stream(
            name,
            wanted.partition_count,
            self._now_ms(),
            stream_type=wanted.stream_type,
            data_type=wanted.data_type,
            retention=wanted.data_duration,
        )
        return Answer(201)

    def delete_stream(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``DELETE /streams/{stream}``."""
        self._store.delete_stream(path["stream"])
        return Answer(204)

    def list_streams(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``GET /streams``."""
        limit = _limit(query)
        found = self._store.streams(query.get("start_stream_name", ""))
        return as_json(
            200,
            {
                "total_number": len(self._store.streams()),
                "stream_names": [one.name for one in found[:limit]],
                "has_more_streams": len(found) > limit,
                "stream_info_list": [
                    {**_stream_fields(one), "partition_count": one.partitions} for one in found[:limit]
                ],
            },
        )

    def describe_stream(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``GET /streams/{stream}``."""
        stream = self._store.stream(path["stream"])
        limit = _limit(query, "limit_partitions")
        start = query.get("start_partitionId") or query.get("start_partition_id", "")
        after = _partition(start) if start else -1
        partitions = [one for one in self._store.partitions(stream.name) if one.number > after]
        return as_json(
            200,
            {
                **_stream_fields(stream),
                "stream_id": stream.id,
                "last_modified_time": stream.created,
                "partitions": [_partition_fields(one) for one in partitions[:limit]],
                "has_more_partitions": len(partitions) > limit,
                "writable_partition_count": stream.partitions,
                "readable_partition_count": stream.partitions,
            },
        )

    def create_app(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``POST /apps``."""
        self._store.create_app(_app_name(_decoded(body, AppBody).app_name), self._now_ms())
        return Answer(201)

    def delete_app(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``DELETE /apps/{app}``."""
        self._store.delete_app(path["app"])
        return Answer(204)

    def list_apps(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``GET /apps``."""
        limit = _limit(query)
        found = self._store.apps(query.get("start_app_name", ""))
        return as_json(
            200,
            {
                "has_more_app": len(found) > limit,
                "apps": [_app_fields(one) for one in found[:limit]],
                "total_number": len(self._store.apps()),
            },
        )

    def describe_app(self, path: dict[str, str], query: Query, body: bytes) -> Answer:
        """``GET /apps/{app}``."""
        return as_json(200, _app_fields(self._store.app(path["app"])))


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/checkpoints", Api.get_checkpoint),
    ("POST", "/checkpoints", Api.commit_checkpoint),
    ("DELETE", "/checkpoints", Api.delete_checkpoints),
    ("GET", "/apps/{app}/streams/{stream}", Api.consumer_state),
    ("POST", "/streams", Api.create_stream),
    ("GET", "/streams", Api.list_streams),
    ("GET", "/streams/{stream}", Api.describe_stream),
    ("DELETE", "/streams/{stream}", Api.delete_stream),
    ("POST", "/apps", Api.create_app),
    ("GET", "/apps", Api.list_apps),
    ("GET", "/apps/{app}", Api.describe_app),
    ("DELETE", "/apps/{app}", Api.delete_app),
)
"""Method, path below ``/v2/{project}``, and what answers; a slash at the end is let pass."""


def _decoded(body: bytes, kind: type[BodyT]) -> BodyT:
    if not body:
        raise DisError("DIS.4202")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DisError("DIS.4200", str(error)) from None


def _stream_name(value: str) -> str:
    return _name("stream_name", value, STREAM_NAME_MAX)


def _app_name(value: str) -> str:
    return _name("app_name", value, APP_NAME_MAX_EVER)


def _name(field: str, value: str, longest: int) -> str:
    try:
        return check_name(field, value, longest)
    except InvalidField as error:
        raise DisError("DIS.4200", error.message) from None


def _partition(value: str) -> int:
    try:
        return int(canonical_partition(value).removeprefix(_PREFIX))
    except InvalidField as error:
        raise DisError("DIS.4201", error.message) from None


def _check_type(value: str) -> None:
    if value != LAST_READ:
        raise DisError("DIS.4200", f"checkpoint_type must be {LAST_READ}.")


def _limit(query: Query, name: str = "limit") -> int:
    text = query.get(name) or "100"
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= 1000:
        raise DisError("DIS.4200", f"{name} must be 1 to 1000.")
    return int(text)


def _state(one: Partition) -> dict[str, Any]:
    number = NO_CHECKPOINT if one.sequence_number is None else str(one.sequence_number)
    return {
        "partition_id": f"{_PREFIX}{one.number:010}",
        "sequence_number": number,
        "latest_offset": one.latest,
        "earliest_offset": one.earliest,
        "checkpoint_type": LAST_READ,
        "status": one.status,
    }


def _stream_fields(stream: Stream) -> dict[str, Any]:
    return {
        "stream_name": stream.name,
        "create_time": stream.created,
        "retention_period": stream.retention,
        "status": "RUNNING",
        "stream_type": stream.stream_type,
        "data_type": stream.data_type,
    }


def _partition_fields(one: Partition) -> dict[str, Any]:
    return {
        "status": one.status,
        "partition_id": f"{_PREFIX}{one.number:010}",
        "sequence_number_range": f"[{one.earliest} : {one.latest}]",
        "parent_partitions": "",
    }


def _app_fields(app: Any) -> dict[str, Any]:
    return {
        "app_name": app.name,
        "app_id": app.id,
        "create_time": app.created,
        "commit_checkpoint_stream_names": list(app.streams),
    }
