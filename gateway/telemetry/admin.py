"""The admin HTTP server: probes for the platform, on a port of their own."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from gateway.errors import ListenError
from gateway.telemetry.readiness import Readiness


class AdminServer:
    """Answers ``/healthz`` (alive), ``/startupz`` (has started), ``/readyz`` (takes calls) and ``/metrics``."""

    def __init__(self, listen: str, readiness: Readiness, metrics: Callable[[], bytes] = bytes) -> None:
        self._listen = listen
        self._metrics = metrics
        self._readiness = readiness
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """``host:port`` that is listened on, with the real port; empty before the start."""
        if self._server is None:
            return ""
        return f"{self._listen.rpartition(':')[0]}:{self._server.server_port}"

    def start(self) -> None:
        """Listen and serve. Raises :class:`ListenError`."""
        host, _, port = self._listen.rpartition(":")
        try:
            self._server = _Server((host.strip("[]"), int(port)), _handler(self._readiness, self._metrics))
        except OSError as error:
            raise ListenError(f"cannot listen on {self._listen}: {(error.strerror or str(error)).lower()}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="admin", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a probe that keeps its connection open does not hold up the end
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Without the look-up of the host's name of ``HTTPServer``, which takes seconds where DNS is missing."""
        socketserver.TCPServer.server_bind(self)
        self.server_port = int(self.server_address[1])


def _handler(readiness: Readiness, metrics: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        server_version = "dis-gateway"
        sys_version = ""

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/metrics":
                status, kind, body = HTTPStatus.OK, CONTENT_TYPE, metrics()
            else:
                status, text = _probe(path, readiness, verbose="verbose" in query.split("&"))
                kind, body = "text/plain; charset=utf-8", f"{text}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Probes come every few seconds; they are not worth a line."""

    return Handler


def _probe(path: str, readiness: Readiness, *, verbose: bool) -> tuple[HTTPStatus, str]:
    stands = readiness.verbose() if verbose else readiness.words()
    checks = {
        "/healthz": (True, "alive", ""),
        "/startupz": (readiness.has_started, "started", "starting"),
        "/readyz": (readiness.ready, stands, stands),
    }
    if path == "/":
        return HTTPStatus.OK, "dis-gateway admin: /healthz /startupz /readyz /metrics"
    if path not in checks:
        return HTTPStatus.NOT_FOUND, "there are /healthz, /startupz, /readyz and /metrics"
    passed, yes, no = checks[path]
    return (HTTPStatus.OK, yes) if passed else (HTTPStatus.SERVICE_UNAVAILABLE, no)
