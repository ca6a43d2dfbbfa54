"""A TCP server that says what a test wants, for answers that no HTTP server would give."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

Handler = Callable[[socket.socket], None]


class RawServer:
    """Accepts connections one after the other and lets ``handler`` do what it likes with each."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self._current: socket.socket | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._current = connection
            with contextlib.suppress(OSError), connection:
                if self._context:
                    with self._context.wrap_socket(connection, server_side=True) as secured:
                        self._serve(secured)
                else:
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        while (data := read_request(connection)) is not None:
            self.requests.append(data)
            self._handler(connection)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        if self._current is not None:
            with contextlib.suppress(OSError):
                self._current.shutdown(socket.SHUT_RDWR)  # whoever keeps it open does not hold up the end
        self._listener.close()
        self._thread.join(30)


def read_request(connection: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    wanted = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < wanted:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
