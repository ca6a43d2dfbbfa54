"""One exchange on a kept connection: the request leaves in one piece, the answer is read within one time.

``urllib3`` keeps the connections (pool, TLS, proxy) and ``llhttp`` parses; what stands here is what lies between them.
The standard library's reader bounds each read of a socket, so that a server which sends a byte now and then holds a
call for ever, and it takes most of the time of a call. Here the whole answer has one time, and one size.
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Mapping

import httptools
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection

from gateway.dis.http import AnswerLost, AnswerTooLarge, NotSent

_FRESH_SECONDS = 1.0
"""So soon after an answer no server closes a connection that it said it keeps."""
_CHUNK = 64 * 1024
_HEAD_MAX = 64 * 1024
"""Bytes that an answer may have beyond its body."""


class _Answer:
    """What the parser has found so far. ``status`` is None until all headers are there."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status: int | None = None
        self.headers = HTTPHeaderDict()
        self.body = bytearray()
        self.complete = False
        self.reusable = False

    def on_message_begin(self) -> None:
        self.reusable = False  # of a second answer, if the first is complete: the connection is out of step

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status >= 200 and not self.complete:
            self.status = status

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self.body += data

    def on_message_complete(self) -> None:
        if self.status is None:  # 100 to 199: the answer is yet to come
            self.headers.clear()
            return
        self.reusable = not self.complete and self.parser.should_keep_alive()
        self.complete = True

    def ended(self) -> None:
        """The server has closed: that ends an answer which says nothing of its length."""
        headers = self.headers
        if self.status is None or "Content-Length" in headers or "Transfer-Encoding" in headers:
            return
        self.complete = True


class _OneAnswer(HTTPConnection):
    """Sends ready requests, and reads their answers whole. ``timeout`` is for all of an answer, in seconds."""

    max_answer = 1024 * 1024
    _answered_at = -math.inf

    @property
    def is_connected(self) -> bool:
        """Whether it can be used. One that has just been used is not looked at: every look lets other threads in."""
        if self.sock is not None and time.monotonic() - self._answered_at < _FRESH_SECONDS:
            return True
        return super().is_connected

    def connect(self) -> None:
        """Connect. Raises :class:`NotSent` where TLS does not come about, and what urllib3 raises."""
        try:
            super().connect()
        except ssl.SSLError as error:
            if error.reason == "CERTIFICATE_VERIFY_FAILED":
                raise NotSent(
                    "the certificate of the DIS endpoint is not trusted; set upstream.ca_file to its CA"
                ) from error
            raise NotSent(f"no TLS connection to DIS ({error.reason or type(error).__name__})") from error

    def request(  # type: ignore[override]
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> None:
        """Send a request whose headers, but for the length, are all given. Raises :class:`OSError`."""
        lines = [f"{name}: {value}\r\n" for name, value in (headers or {}).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}\r\n")
        head = f"{method} {url} HTTP/1.1\r\n{''.join(lines)}\r\n"
        if head.count("\r") != len(lines) + 2 or head.count("\n") != len(lines) + 2:
            raise NotSent("a header of the request has a line break in it")
        data = head.encode("latin-1") + (body or b"")
        if self.sock is None:
            self.connect()
        if (self.sock.gettimeout() or 0.0) < (self.timeout or 0.0):  # as an answer that dribbled may have left it
            self.sock.settimeout(self.timeout)
        self.sock.sendall(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """The whole answer. Raises :class:`AnswerLost`, :class:`AnswerTooLarge` or :class:`OSError`."""
        answer = _Answer()
        self._receive(answer)
        if not answer.reusable:
            self.close()
        self._answered_at = time.monotonic()
        return HTTPResponse(bytes(answer.body), answer.headers, answer.status or 0, decode_content=False)

    def _receive(self, answer: _Answer) -> None:
        left = self.timeout or 0.0
        deadline = time.monotonic() + left
        received = 0
        while not answer.complete:
            if left <= 0:
                raise AnswerLost("DIS did not answer in time", answer.status)
            if self.sock.gettimeout() != left:  # it is a system call
                self.sock.settimeout(left)
            try:
                data = self.sock.recv(_CHUNK)
            except TimeoutError:
                data = None
            except OSError as error:
                raise AnswerLost(f"the connection to DIS broke ({type(error).__name__})", answer.status) from error
            left = deadline - time.monotonic()
            if data is None:
                continue
            received += len(data)
            self._take(answer, data)
            if len(answer.body) > self.max_answer or received > self.max_answer + _HEAD_MAX:
                raise AnswerTooLarge(f"DIS answered more than {self.max_answer} bytes", answer.status)

    def _take(self, answer: _Answer, data: bytes) -> None:
        if data:
            try:
                answer.parser.feed_data(data)
            except httptools.HttpParserUpgrade as error:
                raise AnswerLost("DIS wants to speak another protocol", answer.status) from error
            except httptools.HttpParserError as error:
                if not answer.complete:
                    raise AnswerLost(f"the answer of DIS is not HTTP ({error})", answer.status) from error
                answer.reusable = False
            announced = answer.headers.get("Content-Length", "")
            if answer.status and announced.isdecimal() and int(announced) > self.max_answer:
                raise AnswerTooLarge(
                    f"DIS answered {announced} bytes; at most {self.max_answer} are taken", answer.status
                )
            return
        answer.ended()
        if not answer.complete:
            where = f"after {len(answer.body)} bytes of its body" if answer.status else "before its headers were whole"
            raise AnswerLost(f"the answer of DIS broke off {where}", answer.status)


class PlainConnection(_OneAnswer):
    """Over TCP."""


class TlsConnection(_OneAnswer, HTTPSConnection):
    """Over TLS."""
