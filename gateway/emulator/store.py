"""Streams, apps and checkpoints in SQLite: in memory, or in a file that outlives the emulator."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.emulator.answers import DisError

AUTO_PARTITIONS_MAX = 1000
"""How many partitions a stream gets at most because somebody named one."""
EXPIRED = "EXPIRED"
"""The status of a partition that a scale-down has closed: its checkpoints can be neither read nor written."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
  name TEXT PRIMARY KEY, id TEXT NOT NULL, created_ms INTEGER NOT NULL, stream_type TEXT NOT NULL,
  data_type TEXT NOT NULL, retention_hours INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS partitions (
  stream TEXT NOT NULL REFERENCES streams ON DELETE CASCADE, number INTEGER NOT NULL,
  earliest INTEGER NOT NULL DEFAULT 0, latest INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT 'ACTIVE',
  PRIMARY KEY (stream, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS apps (name TEXT PRIMARY KEY, id TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS checkpoints (
  stream TEXT NOT NULL, app TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, partition INTEGER NOT NULL,
  sequence_number INTEGER NOT NULL, metadata TEXT NOT NULL,
  PRIMARY KEY (stream, app, partition),
  FOREIGN KEY (stream, partition) REFERENCES partitions ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream. ``created`` is in milliseconds since 1970, ``retention`` in hours."""

    name: str
    id: str
    created: int
    stream_type: str
    data_type: str
    retention: int
    partitions: int


@dataclass(frozen=True, slots=True)
class App:
    """A consumer, and the streams that it has checkpoints of."""

    name: str
    id: str
    created: int
    streams: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition. ``sequence_number`` is an app's checkpoint, None where there is none or no app was asked for."""

    number: int
    earliest: int
    latest: int
    status: str
    sequence_number: int | None = None
    metadata: str = ""


class Store:
    """What the emulator keeps. Thread-safe; raises :class:`DisError` for what does not exist, with DIS's own codes."""

    def __init__(self, path: str = ":memory:", *, auto_create: bool = False) -> None:
        self._auto_create = auto_create
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def clear(self) -> None:
        """Forget everything."""
        with self._transaction():
            for table in ("checkpoints", "apps", "partitions", "streams"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608

    # streams

    def create_stream(
        self,
        name: str,
        partitions: int,
        now_ms: int,
        *,
        stream_type: str = "COMMON",
        data_type: str = "BLOB",
        retention: int = 24,
    ) -> None:
        """Make a stream with ``partitions`` partitions."""
        with self._transaction():
            if self._has("streams", name):
                raise DisError("DIS.4200", "The stream already exists.")
            self._insert_stream(name, now_ms, stream_type, data_type, retention)
            self._grow(name, partitions)

    def delete_stream(self, name: str) -> None:
        """Remove a stream and every checkpoint of it."""
        with self._transaction():
            self._need_stream(name)
            self._db.execute("DELETE FROM streams WHERE name = ?", (name,))

    def stream(self, name: str) -> Stream:
        """One stream."""
        with self._transaction():
            found = self._streams("AND s.name = ?", name)
        if not found:
            raise DisError("DIS.4301", name)
        return found[0]

    def streams(self, after: str = "") -> list[Stream]:
        """All streams whose name comes after ``after``, sorted."""
        with self._transaction():
            return self._streams("AND s.name > ?", after)

    def partitions(self, stream: str, app: str | None = None) -> list[Partition]:
        """The partitions of a stream, with the checkpoints of an app if one is named."""
        with self._transaction():
            self._need_stream(stream)
            if app is not None:
                self._need_app(app)
            rows = self._db.execute(
                "SELECT p.number, p.earliest, p.latest, p.status, c.sequence_number, coalesce(c.metadata, '') "
                "FROM partitions p LEFT JOIN checkpoints c "
                "ON c.stream = p.stream AND c.partition = p.number AND c.app = ? "
                "WHERE p.stream = ? ORDER BY p.number",
                (app, stream),
            )
            return [Partition(*row) for row in rows]

    def set_offsets(self, stream: str, partition: int, earliest: int, latest: int, status: str = "ACTIVE") -> None:
        """Say which records a partition has."""
        with self._transaction():
            self._need_partition(stream, partition, expired_too=True)
            self._db.execute(
                "UPDATE partitions SET earliest = ?, latest = ?, status = ? WHERE stream = ? AND number = ?",
                (earliest, latest, status, stream, partition),
            )

    # apps

    def create_app(self, name: str, now_ms: int) -> None:
        """Make an app."""
        with self._transaction():
            if self._has("apps", name):
                raise DisError("DIS.4330")
            self._insert_app(name, now_ms)

    def delete_app(self, name: str) -> None:
        """Remove an app and its checkpoints."""
        with self._transaction():
            self._need_app(name)
            self._db.execute("DELETE FROM apps WHERE name = ?", (name,))

    def app(self, name: str) -> App:
        """One app."""
        with self._transaction():
            found = self._apps("name = ?", name)
        if not found:
            raise DisError("DIS.4332")
        return found[0]

    def apps(self, after: str = "") -> list[App]:
        """All apps whose name comes after ``after``, sorted."""
        with self._transaction():
            return self._apps("name > ?", after)

    # checkpoints

    def checkpoint(self, stream: str, app: str, partition: int, now_ms: int) -> tuple[int, str] | None:
        """Sequence number and metadata; None where there is no checkpoint."""
        with self._transaction():
            self._need_all(stream, app, partition, now_ms)
            row = self._db.execute(
                "SELECT sequence_number, metadata FROM checkpoints WHERE stream = ? AND app = ? AND partition = ?",
                (stream, app, partition),
            ).fetchone()
            return None if row is None else (row[0], row[1])

    def commit(self, stream: str, app: str, partition: int, number: int, metadata: str, now_ms: int) -> None:
        """Store a checkpoint, be it higher or lower than the one before."""
        with self._transaction():
            self._need_all(stream, app, partition, now_ms)
            self._db.execute(
                "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?)", (stream, app, partition, number, metadata)
            )

    def delete_checkpoints(self, stream: str, app: str, partition: int | None) -> None:
        """Delete one partition's checkpoint; without ``partition`` every checkpoint of the app on the stream."""
        with self._transaction():
            self._need_stream(stream)
            self._need_app(app)
            where, values = "stream = ? AND app = ?", [stream, app]
            if partition is not None:
                self._need_partition(stream, partition)
                where, values = where + " AND partition = ?", [*values, str(partition)]
            self._db.execute(f"DELETE FROM checkpoints WHERE {where}", values)  # noqa: S608

    # inside a transaction

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _has(self, table: str, name: str) -> bool:
        return self._db.execute(f"SELECT 1 FROM {table} WHERE name = ?", (name,)).fetchone() is not None  # noqa: S608

    def _need_stream(self, name: str) -> None:
        if not self._has("streams", name):
            raise DisError("DIS.4301", name)

    def _need_app(self, name: str) -> None:
        if not self._has("apps", name):
            raise DisError("DIS.4332")

    def _need_partition(self, stream: str, number: int, *, expired_too: bool = False) -> None:
        self._need_stream(stream)
        query = "SELECT status FROM partitions WHERE stream = ? AND number = ?"
        row = self._db.execute(query, (stream, number)).fetchone()
        if row is None:
            raise DisError("DIS.4302", f"shardId-{number:010}")
        if row[0] == EXPIRED and not expired_too:
            raise DisError("DIS.4319", f"shardId-{number:010}")

    def _need_all(self, stream: str, app: str, partition: int, now_ms: int) -> None:
        if self._auto_create:
            if not self._has("streams", stream):
                self._insert_stream(stream, now_ms, "COMMON", "BLOB", 24)
            if partition < AUTO_PARTITIONS_MAX:
                self._grow(stream, partition + 1)
            if not self._has("apps", app):
                self._insert_app(app, now_ms)
        self._need_partition(stream, partition)
        self._need_app(app)

    def _insert_stream(self, name: str, now_ms: int, stream_type: str, data_type: str, retention: int) -> None:
        self._db.execute(
            "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?)",
            (name, uuid.uuid4().hex, now_ms, stream_type, data_type, retention),
        )

    def _insert_app(self, name: str, now_ms: int) -> None:
        self._db.execute("INSERT INTO apps VALUES (?, ?, ?)", (name, uuid.uuid4().hex, now_ms))

    def _grow(self, stream: str, partitions: int) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO partitions (stream, number) VALUES (?, ?)",
            ((stream, number) for number in range(partitions)),
        )

    def _streams(self, condition: str, value: str) -> list[Stream]:
        rows = self._db.execute(
            "SELECT s.name, s.id, s.created_ms, s.stream_type, s.data_type, s.retention_hours, count(p.number) "  # noqa: S608
            f"FROM streams s LEFT JOIN partitions p ON p.stream = s.name WHERE true {condition} "
            "GROUP BY s.name ORDER BY s.name",
            (value,),
        )
        return [Stream(*row) for row in rows]

    def _apps(self, condition: str, value: str) -> list[App]:
        rows = self._db.execute(
            f"SELECT name, id, created_ms FROM apps WHERE {condition} ORDER BY name",  # noqa: S608
            (value,),
        ).fetchall()
        streams = "SELECT DISTINCT stream FROM checkpoints WHERE app = ? ORDER BY stream"
        return [
            App(name, app_id, created, tuple(stream for (stream,) in self._db.execute(streams, (name,))))
            for name, app_id, created in rows
        ]
