"""The emulator as a whole: start it, ask it, stop it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from gateway.emulator.api import Api
from gateway.emulator.auth import Identity
from gateway.emulator.control import Control, partition_number
from gateway.emulator.faults import Fault, Faults
from gateway.emulator.http import MAX_BODY, DisHttp, Held
from gateway.emulator.journal import Journal, Recorded
from gateway.emulator.store import Store

ResultT = TypeVar("ResultT")

_STOP_SECONDS = 5.0


class Emulator:
    """A DIS to run against, on an event loop and a thread of its own. Its methods may be called from any thread.

    It lets in who signs with ``access_key`` and ``secret_key`` (and sends ``security_token``, where there is one), or
    sends ``token``. ``project`` and ``region`` are checked only where they are given. ``db`` is a file, or in memory.
    ``port`` 0 takes a free one. ``auto_create`` makes streams and apps when they are first named. ``clock`` gives
    seconds since 1970. All projects share one set of streams and apps.
    """

    def __init__(
        self,
        *,
        access_key: str,
        secret_key: str,
        token: str | None = None,
        security_token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        db: str = ":memory:",
        auto_create: bool = False,
        project: str | None = None,
        region: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._store = Store(db, auto_create=auto_create)
        self._faults = Faults()
        self._journal = Journal()
        self._held = Held()
        identity = Identity(access_key, secret_key, security_token or "", token or "", region or "")
        api = Api(self._store, self._now_ms)
        self._dis = DisHttp(api, identity, self._faults, self._journal, self._held, clock, project)
        self._control = Control(self._store, self._faults, self._journal, self._held, self._now_ms)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="emulator", daemon=True)
        self._runner: web.AppRunner | None = None
        self._endpoint = ""

    # life

    def start(self) -> None:
        """Listen and serve. Raises :class:`OSError` where the address cannot be used."""
        listening = _listening(self._host, self._port)
        host, port = listening.getsockname()[:2]
        self._endpoint = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._thread.start()
        self._run(self._serve(listening))

    def stop(self) -> None:
        """Answer what is under way, then stop. What is held is let go."""
        if self._thread.is_alive():
            self._run(self._cleanup())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()
            self._store.close()

    def __enter__(self) -> Emulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """The URL to give to a client, such as ``http://127.0.0.1:9552``; empty before :meth:`start`."""
        return self._endpoint

    # what is there

    def create_stream(self, name: str, partitions: int = 1) -> None:
        """Make a stream. Raises :class:`~gateway.emulator.answers.DisError` where it exists."""
        self._store.create_stream(name, partitions, self._now_ms())

    def create_app(self, name: str) -> None:
        """Make an app. Raises :class:`~gateway.emulator.answers.DisError` where it exists."""
        self._store.create_app(name, self._now_ms())

    def set_offsets(
        self, stream: str, partition: str | int, earliest: int, latest: int, status: str = "ACTIVE"
    ) -> None:
        """Say which records a partition has; ``status`` EXPIRED closes it."""
        self._store.set_offsets(stream, partition_number(partition), earliest, latest, status)

    def checkpoint(self, stream: str, app: str, partition: str | int) -> tuple[str, str] | None:
        """Sequence number and metadata that the store has; None where there is no checkpoint."""
        found = self._store.checkpoint(stream, app, partition_number(partition), self._now_ms())
        return None if found is None else (str(found[0]), found[1])

    def set_checkpoint(
        self, stream: str, app: str, partition: str | int, number: str | int, metadata: str = ""
    ) -> None:
        """Commit behind everybody's back, as another program would."""
        self._store.commit(stream, app, partition_number(partition), int(number), metadata, self._now_ms())

    def reset(self) -> None:
        """Forget streams, apps, checkpoints, faults and requests."""
        self.clear_faults()
        self.release()
        self._store.clear()
        self._journal.clear()

    def replace_keys(self, access_key: str, secret_key: str) -> None:
        """Let in who has this pair, and nobody any more who has the one before."""
        identity = self._dis.identity
        self._dis.identity = Identity(access_key, secret_key, token=identity.token, region=identity.region)

    # what goes wrong

    def inject(self, kind: str, **fields: Any) -> None:
        """Let something go wrong; the fields are those of :class:`Fault`, which are checked."""
        self._faults.add(msgspec.convert({"kind": kind, **fields}, Fault))

    def clear_faults(self) -> None:
        """Nothing goes wrong any more; what is held stays held, see :meth:`release`."""
        self._faults.clear()

    def release(self) -> int:
        """Let the requests go that the faults ``hold`` and ``hold_answer`` keep; returns how many."""

        async def release() -> int:
            return self._held.release()

        return self._run(release()) if self._thread.is_alive() else 0

    def wait_for_held(self, count: int, timeout: float = 30.0) -> None:
        """Wait until so many requests are held. Raises :class:`TimeoutError` after ``timeout`` seconds."""
        if not self._held.wait_for(count, timeout):
            raise TimeoutError(f"no {count} requests are held after {timeout} seconds")

    # what was asked

    def requests(self) -> list[Recorded]:
        """The last requests to the API of DIS, the oldest first."""
        return self._journal.requests()

    def request_count(self, method: str | None = None) -> int:
        """How many requests to the API of DIS there were, all or those of one method."""
        return self._journal.count(method)

    def wait_for_requests(self, count: int, method: str | None = None, timeout: float = 30.0) -> None:
        """Wait until so many requests have come in. Raises :class:`TimeoutError` after ``timeout`` seconds."""
        if not self._journal.wait_for(count, method, timeout):
            raise TimeoutError(f"{self._journal.count(method)} of {count} requests came in {timeout} seconds")

    # inside

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self, listening: socket.socket) -> None:
        app = web.Application(client_max_size=MAX_BODY)
        self._control.add_routes(app.router)
        self._dis.add_routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def _cleanup(self) -> None:
        self._faults.clear()
        self._held.release()
        if self._runner is not None:
            await self._runner.cleanup()


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    return listening
