"""One HTTP exchange over real sockets, and what a failure says about whether DIS may have seen the request."""

from __future__ import annotations

import math
import socket
import ssl
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from gateway.dis.http import AnswerLost, AnswerTooLarge, HttpAnswer, HttpRequest, NotSent, TransportError
from gateway.dis.transport import RequestsTransport, TransportSettings
from tests.rawserver import Handler, RawServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def answering(data: bytes, *, close: bool = False) -> Handler:
    def handler(connection: socket.socket) -> None:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_RDWR)

    return handler


def exchange(
    url: str,
    *,
    deadline: float = math.inf,
    body: bytes = b"",
    clock: Callable[[], float] | None = None,
    headers: dict[str, str] | None = None,
    **how: object,
) -> HttpAnswer:
    settings = TransportSettings(**{"connect_timeout": 5.0, "read_timeout": 5.0, **how})  # type: ignore[arg-type]
    transport = RequestsTransport(settings, clock) if clock else RequestsTransport(settings)
    try:
        sent = {"Host": "dis.example.com", **(headers or {})}
        return transport.send(HttpRequest("POST" if body else "GET", url, sent, body), deadline)
    finally:
        transport.close()


def closing(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def test_an_answer_comes_whole_with_headers_in_any_case(serve: Callable[..., RawServer]) -> None:
    server = serve(answering(b"HTTP/1.1 201 Created\r\nX-Request-Id: r1\r\nContent-Length: 2\r\n\r\nhi"))
    answer = exchange(f"http://127.0.0.1:{server.port}/v2/x?a=b", body=b"{}")
    assert (answer.status, answer.headers["x-request-id"], answer.body) == (201, "r1", b"hi")
    head = server.requests[0]
    assert head.startswith(b"POST /v2/x?a=b HTTP/1.1\r\n")
    assert head.count(b"Host: dis.example.com\r\n") == 1
    assert head.endswith(b"\r\n\r\n{}")


def test_connections_are_kept_and_used_again(serve: Callable[..., RawServer]) -> None:
    server = serve(answering(OK))
    transport = RequestsTransport(TransportSettings())
    for _ in range(3):
        transport.send(HttpRequest("GET", f"http://127.0.0.1:{server.port}/", {}), math.inf)
    transport.close()
    assert (len(server.requests), server.connections) == (3, 1)


def test_a_redirect_is_not_followed(serve: Callable[..., RawServer]) -> None:
    server = serve(answering(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"))
    assert exchange(f"http://127.0.0.1:{server.port}/").status == 302
    assert len(server.requests) == 1


def test_nothing_is_taken_from_the_environment(
    serve: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = serve(answering(OK))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hidden\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert exchange(f"http://127.0.0.1:{server.port}/").status == 200
    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize("handler", [closing, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", close=True)])
def test_what_breaks_off_behind_a_proxy_may_have_been_sent(serve: Callable[..., RawServer], handler: Handler) -> None:
    proxy = serve(handler)
    with pytest.raises(AnswerLost):
        exchange("http://dis.invalid/x", body=b"{}", proxy=f"http://127.0.0.1:{proxy.port}")
    assert len(proxy.requests) == 1


def test_a_proxy_that_cannot_be_reached_or_refuses_to_connect_sent_nothing(serve: Callable[..., RawServer]) -> None:
    with pytest.raises(NotSent, match="proxy"):
        exchange("http://dis.invalid/x", body=b"{}", proxy=f"http://127.0.0.1:{unused_port()}")
    refusing = serve(answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(NotSent, match="proxy"):
        exchange("https://dis.invalid/x", body=b"{}", proxy=f"http://127.0.0.1:{refusing.port}")


def test_a_ca_file_that_has_gone_sent_nothing() -> None:
    with pytest.raises(NotSent, match="CA file"):
        exchange(f"https://127.0.0.1:{unused_port()}/", body=b"{}", ca_file="/no/such/file")


def test_a_proxy_that_is_configured_is_used(serve: Callable[..., RawServer]) -> None:
    proxy = serve(answering(OK))
    assert exchange("http://dis.invalid/x", proxy=f"http://127.0.0.1:{proxy.port}").status == 200
    assert proxy.requests[0].startswith(b"GET http://dis.invalid/x HTTP/1.1\r\n")


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_refused_connection_was_not_sent() -> None:
    with pytest.raises(NotSent, match="Connection refused"):
        exchange(f"http://127.0.0.1:{unused_port()}/")


def test_a_name_that_does_not_resolve_was_not_sent() -> None:
    with pytest.raises(NotSent, match="does not resolve"):
        exchange("http://dis.invalid/")


def test_without_time_nothing_is_sent(serve: Callable[..., RawServer]) -> None:
    server = serve(answering(OK))
    with pytest.raises(NotSent):
        exchange(f"http://127.0.0.1:{server.port}/", deadline=5.0, clock=lambda: 5.0)
    assert server.requests == []


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(closing, id="closed before an answer"),
        pytest.param(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", close=True), id="truncated"),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi", close=True),
            id="truncated in a chunk",
        ),
        pytest.param(answering(b"SSH-2.0-OpenSSH\r\n", close=True), id="not HTTP"),
        pytest.param(answering(b"HTTP/1.1 200 OK\r\nContent-", close=True), id="cut in the headers"),
        pytest.param(answering(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", close=True), id="no length"),
        pytest.param(answering(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), id="101"),
        pytest.param(answering(b"HTTP/1.1 100 Continue\r\n\r\n", close=True), id="100 and no more"),
    ],
)
def test_an_answer_that_breaks_off_may_have_been_sent(serve: Callable[..., RawServer], handler: Handler) -> None:
    server = serve(handler)
    with pytest.raises(AnswerLost) as caught:
        exchange(f"http://127.0.0.1:{server.port}/", body=b"{}")
    assert caught.value.sent
    assert len(server.requests) == 1  # never sent twice


def test_a_server_that_does_not_answer_is_given_up(serve: Callable[..., RawServer]) -> None:
    done = threading.Event()
    server = serve(lambda _: done.wait(30) and None)
    with pytest.raises(AnswerLost, match="in time"):
        exchange(f"http://127.0.0.1:{server.port}/", read_timeout=0.05)
    done.set()


@pytest.mark.parametrize(
    ("head", "drop", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", b"x", 200),
    ],
    ids=["headers", "body"],
)
def test_an_answer_that_dribbles_has_one_time_for_all_of_it(
    serve: Callable[..., RawServer], head: bytes, drop: bytes, status: int | None
) -> None:
    over = threading.Event()

    def dribble(connection: socket.socket) -> None:
        connection.sendall(head)
        while not over.wait(0.005):
            connection.sendall(drop)

    server = serve(dribble)
    with pytest.raises(AnswerLost, match="in time") as caught:
        exchange(f"http://127.0.0.1:{server.port}/", read_timeout=0.1, max_answer=1 << 30)
    over.set()
    assert caught.value.status == status


def test_what_comes_before_and_after_an_answer_is_not_taken_for_it(serve: Callable[..., RawServer]) -> None:
    early = b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
    late = b"HTTP/1.1 500 Nobody asked\r\nX-Late: 1\r\nContent-Length: 2\r\n\r\nno"
    server = serve(answering(early + OK + late))
    transport = RequestsTransport(TransportSettings())
    for _ in range(2):
        answer = transport.send(HttpRequest("GET", f"http://127.0.0.1:{server.port}/", {}), math.inf)
        assert (answer.status, answer.body, dict(answer.headers)) == (200, b"hi", {"Content-Length": "2"})
    transport.close()
    assert server.connections == 2  # one that is out of step is not used again


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhi", b"hi"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", b"hi"),
        (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", b""),
    ],
)
def test_every_way_to_end_an_answer_is_understood(serve: Callable[..., RawServer], answer: bytes, body: bytes) -> None:
    server = serve(answering(answer, close=True))
    assert exchange(f"http://127.0.0.1:{server.port}/").body == body


def test_headers_without_end_are_too_large(serve: Callable[..., RawServer]) -> None:
    server = serve(answering(b"HTTP/1.1 200 OK\r\n" + b"X-Much: more\r\n" * 10_000, close=True))
    with pytest.raises(AnswerTooLarge) as caught:
        exchange(f"http://127.0.0.1:{server.port}/", max_answer=1024)
    assert caught.value.status is None


@pytest.mark.parametrize("headers", [{"X-A": "1\r\nX-B: 2"}, {"X-A\n": "1"}, {"X-A": "1\r"}])
def test_a_request_that_would_be_two_is_not_sent(serve: Callable[..., RawServer], headers: dict[str, str]) -> None:
    server = serve(answering(OK))
    with pytest.raises(NotSent):
        exchange(f"http://127.0.0.1:{server.port}/", headers=headers)
    assert server.requests == []


@pytest.mark.parametrize(
    "head", [b"Content-Length: 10485760\r\n\r\n", b"\r\n"], ids=["of an announced size", "of no announced size"]
)
def test_an_answer_that_is_too_large_is_not_read_to_its_end(serve: Callable[..., RawServer], head: bytes) -> None:
    server = serve(answering(b"HTTP/1.1 200 OK\r\n" + head + b"x" * 10_485_760, close=True))
    with pytest.raises(AnswerTooLarge) as caught:
        exchange(f"http://127.0.0.1:{server.port}/", max_answer=1000)
    assert caught.value.status == 200


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_a_certificate_of_an_own_authority_is_accepted_where_it_is_configured(
    serve: Callable[..., RawServer], authority: trustme.CA, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    server = serve(answering(OK), tls_context(authority, "127.0.0.1"))
    assert exchange(f"https://127.0.0.1:{server.port}/", ca_file=str(ca_file)).status == 200


@pytest.mark.parametrize("problem", ["unknown authority", "another name"])
def test_a_certificate_that_is_not_trusted_ends_it_before_anything_is_sent(
    serve: Callable[..., RawServer], authority: trustme.CA, tmp_path: Path, problem: str
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    name = "dis.example.com" if problem == "another name" else "127.0.0.1"
    server = serve(answering(OK), tls_context(authority, name))
    with pytest.raises(NotSent, match="not trusted"):
        exchange(f"https://127.0.0.1:{server.port}/", ca_file=str(ca_file) if problem == "another name" else "")
    assert server.requests == []


def test_the_certificate_is_not_checked_only_where_that_is_said(
    serve: Callable[..., RawServer], authority: trustme.CA
) -> None:
    server = serve(answering(OK), tls_context(authority, "dis.example.com"))
    with pytest.warns(match="Unverified HTTPS request"):
        assert exchange(f"https://127.0.0.1:{server.port}/", verify=False).status == 200


def test_no_failure_shows_the_headers_or_the_password_of_the_proxy(serve: Callable[..., RawServer]) -> None:
    secret = "-".join(("no", "body", "may", "see"))  # as tracebacks show the lines of this test
    request = HttpRequest("GET", "http://127.0.0.1/v2/p?x=1", {"Authorization": secret})
    assert secret not in repr(request)
    settings = TransportSettings(proxy=f"http://user:{secret}@proxy.example.com:1")
    assert secret not in repr(settings)
    server = serve(closing)
    for url, how in (
        (f"http://127.0.0.1:{server.port}/", {}),
        (f"http://127.0.0.1:{unused_port()}/", {}),
        ("http://dis.invalid/", {"proxy": f"http://user:{secret}@127.0.0.1:{server.port}"}),
        ("http://dis.invalid/", {"proxy": f"http://user:{secret}@127.0.0.1:{unused_port()}"}),
    ):
        with pytest.raises(TransportError) as caught:
            exchange(url, headers={"Authorization": secret}, **how)
        assert secret not in "".join(traceback.format_exception(caught.value))
