"""The admin HTTP server, on a port of its own: a small WSGI application on waitress.

waitress reads requests without a thread for each, so that slow clients hold none; it costs 0.3 MiB, aiohttp 9.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from gateway.config import is_loopback
from gateway.errors import ListenError
from gateway.telemetry.pages import Pages, Sources

THREADS = 4
CONNECTIONS_MAX = 64
LIFE_SECONDS = 60.0
"""A connection is closed after so long, whatever its client does; or sooner, while there is no room for others."""
_LIFE_WHILE_FULL = 5.0
_IDLE_SECONDS = 10.0


class AdminServer:
    """Serves :class:`Pages` on ``host:port``; :meth:`start`, then :meth:`stop`."""

    def __init__(self, listen: str, sources: Sources, wall: Callable[[], float] = time.time) -> None:
        self._listen = listen
        host, _, port = listen.rpartition(":")
        self._host = host.strip("[]")
        self._port = int(port)
        # Where it listens for this machine only, no name may stand for it that a web site can point here.
        self._pages = Pages(sources, self._host if is_loopback(self._host) else "", wall)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """``host:port`` that is listened on, with the real port; empty before the start."""
        if self._server is None:
            return ""
        return f"{self._listen.rpartition(':')[0]}:{self._server.effective_port}"

    def start(self) -> None:
        """Listen and serve. Raises :class:`ListenError`."""
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that a request waits for a thread is no news
        try:
            self._server = _serving(self._pages, _listener(self._host, self._port))
        except OSError as error:
            raise ListenError(f"cannot listen on {self._listen}: {(error.strerror or str(error)).lower()}") from error
        self._thread = threading.Thread(target=self._server.run, name="admin", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        if self._server is not None and self._thread is not None and self._thread.is_alive():
            self._server.leave()
            self._thread.join()
            self._server.finish()


def _listener(host: str, port: int) -> socket.socket:
    """A bound socket. Without the look-up of the host's own name, which takes seconds where DNS is missing."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _serving(pages: Pages, listener: socket.socket) -> _Server:
    settings = Adjustments(
        sockets=[listener],
        threads=THREADS,
        connection_limit=CONNECTIONS_MAX,
        backlog=CONNECTIONS_MAX,
        cleanup_interval=1,
        channel_timeout=int(_IDLE_SECONDS),
        max_request_header_size=16 * 1024,
        max_request_body_size=16 * 1024,
        outbuf_overflow=16 * 1024 * 1024,  # an answer is never put into a file: there may be no place for one
        asyncore_use_poll=True,  # a gateway may have more descriptors than select() takes
        ident="dis-gateway",
    )
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(settings.threads)
    about = (listener.family, listener.type, listener.proto, listener.getsockname())
    return _Server(pages, {}, True, listener, dispatcher=dispatcher, adj=settings, sockinfo=about, bind_socket=False)


class _Server(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    def maintenance(self, now: float) -> None:
        """Close what has lasted too long: waitress itself waits for who reads nothing, or sends a byte at a time."""
        life = _LIFE_WHILE_FULL if len(self.active_channels) >= CONNECTIONS_MAX // 2 else LIFE_SECONDS
        old = [
            channel
            for channel in list(self.active_channels.values())
            if not channel.requests
            and (now - channel.creation_time > life or now - channel.last_activity > _IDLE_SECONDS)
        ]
        if old:  # this is asked from the middle of the loop, which must not lose descriptors here
            self.trigger.pull_trigger(lambda: [channel.handle_close() for channel in old])

    def leave(self) -> None:
        """Close every connection; :meth:`run` returns then."""
        self.trigger.pull_trigger(self._leave)

    def _leave(self) -> None:
        for channel in list(self.active_channels.values()):
            channel.handle_close()
        wasyncore.dispatcher.close(self)  # which leaves the trigger
        self._map.clear()

    def finish(self) -> None:
        """Close what wakes the loop, once :meth:`run` has returned and no thread answers any more.

        Not sooner: who wakes it does it by the number of a descriptor, which may be another's by then.
        """
        self.task_dispatcher.shutdown(cancel_pending=True, timeout=1)
        if not self.task_dispatcher.threads:
            self.trigger.close()
