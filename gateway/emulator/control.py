"""The control API of the emulator, apart from that of DIS: ``/_emulator/…``, JSON in and out, no signature.

GET    /_emulator/                   what there is: streams, apps, checkpoints, faults, number of requests
PUT    /_emulator/streams/{name}     {"partitions": 3}
PUT    /_emulator/apps/{name}
PUT    /_emulator/offsets            {"stream": "s", "partition": "0", "earliest": 0, "latest": 100}
PUT    /_emulator/checkpoints        {"stream": "s", "app": "a", "partition": "0", "sequence_number": "7"}
GET    /_emulator/faults
POST   /_emulator/faults             {"kind": "error", "code": "DIS.4303", "times": 3, "method": "POST"}
DELETE /_emulator/faults
POST   /_emulator/release            lets go what the fault "hold" keeps
GET    /_emulator/requests           the last requests
DELETE /_emulator/requests
POST   /_emulator/reset              forgets everything
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from gateway.emulator.answers import DisError
from gateway.emulator.api import PARTITIONS_MAX
from gateway.emulator.faults import Fault, Faults
from gateway.emulator.http import Held
from gateway.emulator.journal import Journal
from gateway.emulator.store import Store
from gateway.errors import InvalidField
from gateway.model import SequenceNumber, canonical_partition, check_name

PREFIX = "/_emulator"

BodyT = TypeVar("BodyT")


class StreamBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stream to make."""

    partitions: int = 1


class OffsetsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which records a partition has."""

    stream: str
    partition: str
    earliest: int
    latest: int
    status: str = "ACTIVE"


class CheckpointBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A checkpoint that somebody else commits."""

    stream: str
    app: str
    partition: str
    sequence_number: str
    metadata: str = ""


def partition_number(partition: str | int) -> int:
    """The number in either spelling of a partition. Raises :class:`gateway.errors.InvalidField`."""
    return int(canonical_partition(str(partition))[-10:])


class Control:
    """Answers the control API. ``now_ms`` gives milliseconds since 1970."""

    def __init__(self, store: Store, faults: Faults, journal: Journal, held: Held, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._faults = faults
        self._journal = journal
        self._held = held
        self._now_ms = now_ms

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve it."""
        for method, path, handler in (
            ("GET", "/", self._summary),
            ("PUT", "/streams/{name}", self._put_stream),
            ("PUT", "/apps/{name}", self._put_app),
            ("PUT", "/offsets", self._put_offsets),
            ("PUT", "/checkpoints", self._put_checkpoint),
            ("GET", "/faults", self._list_faults),
            ("POST", "/faults", self._add_fault),
            ("DELETE", "/faults", self._clear_faults),
            ("POST", "/release", self._release),
            ("GET", "/requests", self._requests),
            ("DELETE", "/requests", self._clear_requests),
            ("POST", "/reset", self._reset),
        ):
            router.add_route(method, PREFIX + path, _guarded(handler))
        router.add_route("*", PREFIX + "{anything:.*}", _guarded(self._nothing))

    async def _summary(self, request: web.Request) -> Any:
        apps = self._store.apps()
        return {
            "streams": {
                stream.name: {
                    "partitions": stream.partitions,
                    "checkpoints": {
                        app.name: {
                            f"shardId-{one.number:010}": str(one.sequence_number)
                            for one in self._store.partitions(stream.name, app.name)
                            if one.sequence_number is not None
                        }
                        for app in apps
                        if stream.name in app.streams
                    },
                }
                for stream in self._store.streams()
            },
            "apps": [app.name for app in apps],
            "faults": self._faults.pending(),
            "requests": self._journal.count(),
        }

    async def _put_stream(self, request: web.Request) -> Any:
        body = await _body(request, StreamBody, StreamBody())
        if not 1 <= body.partitions <= PARTITIONS_MAX:
            raise InvalidField("partitions", f"must be 1 to {PARTITIONS_MAX}")
        self._store.create_stream(check_name("stream", request.match_info["name"], 64), body.partitions, self._now_ms())

    async def _put_app(self, request: web.Request) -> Any:
        self._store.create_app(check_name("app", request.match_info["name"], 200), self._now_ms())

    async def _put_offsets(self, request: web.Request) -> Any:
        body = await _body(request, OffsetsBody)
        self._store.set_offsets(body.stream, partition_number(body.partition), body.earliest, body.latest, body.status)

    async def _put_checkpoint(self, request: web.Request) -> Any:
        body = await _body(request, CheckpointBody)
        number = int(SequenceNumber.parse(body.sequence_number))
        partition = partition_number(body.partition)
        self._store.commit(body.stream, body.app, partition, number, body.metadata, self._now_ms())

    async def _list_faults(self, request: web.Request) -> Any:
        return self._faults.pending()

    async def _add_fault(self, request: web.Request) -> Any:
        self._faults.add(await _body(request, Fault))

    async def _clear_faults(self, request: web.Request) -> Any:
        self._faults.clear()

    async def _release(self, request: web.Request) -> Any:
        return {"released": self._held.release()}

    async def _requests(self, request: web.Request) -> Any:
        return self._journal.requests()

    async def _clear_requests(self, request: web.Request) -> Any:
        self._journal.clear()

    async def _reset(self, request: web.Request) -> Any:
        self._faults.clear()
        self._held.release()
        self._store.clear()
        self._journal.clear()

    async def _nothing(self, request: web.Request) -> Any:
        return _json(404, {"error": f"there is no {request.method} {request.path} in the control API"})


def _guarded(handler: Callable[[web.Request], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """What is wrong in a request is answered with 400 and words, what does not exist in the store too."""

    async def guarded(request: web.Request) -> web.Response:
        try:
            content = await handler(request)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return _json(400, {"error": str(error)})
        except InvalidField as error:
            return _json(400, {"error": error.message})
        except DisError as error:
            return _json(404 if error.code in _MISSING else 409, {"error": f"{error.code} {error.detail}".strip()})
        if content is None:
            return web.Response(status=204)
        return content if isinstance(content, web.Response) else _json(200, content)

    return guarded


_MISSING = ("DIS.4301", "DIS.4302", "DIS.4332")


async def _body(request: web.Request, kind: type[BodyT], default: BodyT | None = None) -> BodyT:
    body = await request.read()
    if not body and default is not None:
        return default
    return msgspec.json.decode(body, type=kind)


def _json(status: int, content: Any) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content) + b"\n", content_type="application/json")
