"""A DIS that does nothing but wait: takes commits, deletes and reads on kept connections, and answers after a time.

It is much faster than the emulator, which verifies and stores, and so it is not what a benchmark measures.

    python bench/slow_dis.py --delay 0.02        prints its URL, then serves until it is ended
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
NUMBER = re.compile(rb'"sequence_number":"(\d+)"')
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
BODY = b'{"sequence_number":"%d","metadata":""}'


class Connection(asyncio.Protocol):
    """One connection. ``stats`` is shared by all."""

    def __init__(self, delay: float, stats: dict[str, int]) -> None:
        self._delay = delay
        self._stats = stats
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = LENGTH.search(head)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            asyncio.get_running_loop().call_later(self._delay, self._answer, head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if self._transport.is_closing():
            return
        if head.startswith(b"POST"):
            self._stats["writes"] += 1
            number = NUMBER.search(body)
            self._stats["highest"] = max(self._stats["highest"], int(number[1]) if number else 0)
            self._stats["last"] = int(number[1]) if number else 0
            self._transport.write(CREATED)
        elif b"/stats " in head[:100]:
            self._send(json.dumps(self._stats).encode())
        else:
            self._send(BODY % self._stats["last"])

    def _send(self, content: bytes) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))


async def serve(delay: float) -> None:
    stats = {"writes": 0, "highest": 0, "last": 0}
    server = await asyncio.get_running_loop().create_server(lambda: Connection(delay, stats), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds until an answer")
    asyncio.run(serve(parser.parse_args().delay))
