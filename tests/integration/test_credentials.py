"""Credentials that expire or are replaced: where they come from, and when they are fetched anew."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.config import Config, CredentialsConfig
from gateway.dis.credentials import AuthToken, Credentials, KeyPair, WatchedCredentials, read_credentials
from gateway.dis.renewal import RenewedCredentials
from gateway.dis.sources import MetadataSource, TokenSource
from gateway.dis.transport import RequestsTransport, TransportSettings
from gateway.emulator import Emulator
from gateway.errors import ConfigurationError, CredentialsUnavailable
from tests.rawserver import Handler, RawServer
from tests.support import ACCESS_KEY, APP, PROJECT, REGION, SECRET_KEY, STREAM, Running, config_for

Start = Callable[[Config], Running]
Serve = Callable[[Handler], RawServer]

BEGIN = datetime(2026, 11, 24, 12, tzinfo=UTC)
PASSWORD = "password-that-nothing-may-show"


def http(status: int, body: object = "", **headers: str) -> bytes:
    text = (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(text)}\r\n\r\n".encode() + text


def keys_document(access: str = ACCESS_KEY, secret: str = SECRET_KEY, token: str = "", hours: int = 24) -> object:
    expires = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    return {"credential": {"access": access, "secret": secret, "securitytoken": token, "expires_at": expires}}


class Service:
    """Answers by method, in a script."""

    def __init__(self, serve: Serve, **answers: bytes) -> None:
        self.answers = answers
        self.server = serve(self.handle)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def handle(self, connection: socket.socket) -> None:
        method = self.server.requests[-1].partition(b" ")[0].decode()
        connection.sendall(self.answers[method])


@pytest.fixture
def transport() -> Iterator[RequestsTransport]:
    opened = RequestsTransport(TransportSettings())
    yield opened
    opened.close()


def test_temporary_keys_of_a_server_come_from_its_metadata_service(start: Start, serve: Serve) -> None:
    service = Service(serve, PUT=http(200, "a-session"), GET=http(200, keys_document(token="temporary")))
    credentials = CredentialsConfig(metadata=True, metadata_endpoint=service.url)
    with Emulator(
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        security_token="temporary",
        project=PROJECT,
        region=REGION,
        auto_create=True,
    ) as emulator:
        client = start(config_for(emulator, credentials=credentials)).client
        for number in (1, 2, 3):
            client.commit(number)
        assert emulator.request_count() == 3
    session, keys = service.server.requests  # once, not for every call
    assert session.startswith(b"PUT /meta-data/latest/api/token HTTP/1.1\r\n")
    assert b"X-Metadata-Token-Ttl-Seconds: 21600\r\n" in session
    assert keys.startswith(b"GET /openstack/latest/securitykey HTTP/1.1\r\n")
    assert b"X-Metadata-Token: a-session\r\n" in keys


def test_a_metadata_service_without_sessions_will_do(transport: RequestsTransport, serve: Serve) -> None:
    service = Service(serve, PUT=http(404), GET=http(200, keys_document("a", "s")))
    credentials, expires = MetadataSource(transport, service.url).fetch()
    assert credentials == KeyPair("a", "s")
    assert expires > datetime.now(UTC)
    assert b"X-Metadata-Token:" not in service.server.requests[1]


def test_a_token_is_got_by_password_for_the_project(transport: RequestsTransport, serve: Serve) -> None:
    body = {"token": {"expires_at": "2026-11-25T12:00:00.000000Z", "user": {}}}
    service = Service(serve, POST=http(201, body, X_Subject_Token="the-token"))
    source = TokenSource(transport, service.url, domain="d", user="u", password=PASSWORD, project_id="p" * 32)
    assert source.fetch() == (AuthToken("the-token"), datetime(2026, 11, 25, 12, tzinfo=UTC))
    head, _, sent = service.server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v3/auth/tokens?nocatalog=true HTTP/1.1\r\n")
    auth = json.loads(sent)["auth"]
    assert auth["identity"]["methods"] == ["password"]
    assert auth["identity"]["password"]["user"] == {"name": "u", "password": PASSWORD, "domain": {"name": "d"}}
    assert auth["scope"] == {"project": {"id": "p" * 32}}


@pytest.mark.parametrize(
    "answer",
    [
        http(401, {"error": {"message": f"wrong {PASSWORD}"}}),
        http(500, PASSWORD),
        http(201, {"token": {"expires_at": "2026-11-25T12:00:00.000000Z"}}),
        http(201, {"token": {"expires_at": "soon"}}, X_Subject_Token="t"),
        http(201, {"token": {"expires_at": "2026-11-25T12:00:00"}}, X_Subject_Token="t"),
        http(201, "<html>", X_Subject_Token="t"),
        b"nothing that is HTTP\r\n\r\n",
    ],
)
def test_an_identity_service_that_gives_no_token_is_told_without_its_words(
    transport: RequestsTransport, serve: Serve, answer: bytes
) -> None:
    service = Service(serve, POST=answer)
    source = TokenSource(transport, service.url, domain="d", user="u", password=PASSWORD, project_id="p" * 32)
    with pytest.raises(CredentialsUnavailable, match="the identity service gave no credentials") as caught:
        source.fetch()
    assert PASSWORD not in caught.value.message
    assert caught.value.retry_after in (5.0, 60.0)


@pytest.mark.parametrize(
    "answer", [http(404, "Please configure Cloud Service Agency first"), http(200, "{}"), http(200, "[1]")]
)
def test_without_keys_a_gateway_does_not_start_and_says_why(
    emulator: Emulator, start: Start, serve: Serve, answer: bytes
) -> None:
    service = Service(serve, PUT=http(404), GET=answer)
    credentials = CredentialsConfig(metadata=True, metadata_endpoint=service.url)
    with pytest.raises(CredentialsUnavailable, match="the metadata service gave no credentials") as caught:
        start(config_for(emulator, credentials=credentials))
    assert caught.value.retry_after is not None
    assert emulator.request_count() == 0


class Scripted:
    """A source that gives what it is told to, and counts."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fetched = 0
        self.failing = False
        self.lifetime = timedelta(hours=24)
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self) -> tuple[Credentials, datetime]:
        self.gate.wait(30)
        self.fetched += 1
        if self.failing:
            raise CredentialsUnavailable("no", retry_after=60.0)
        return AuthToken(f"token-{self.fetched}"), self.clock.now + self.lifetime


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


class Rig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.source = Scripted(self.clock)
        self.background: list[Callable[[], None]] = []
        self.provider = RenewedCredentials(self.source, self.clock, self.background.append)

    def token(self) -> str:
        found = self.provider.snapshot()
        assert isinstance(found, AuthToken)
        return found.token


def test_they_are_renewed_early_once_and_in_the_background() -> None:
    rig = Rig()
    assert rig.token() == "token-1"
    rig.clock.pass_by(hours=23, minutes=49)
    assert rig.token() == "token-1"
    assert rig.background == []
    rig.clock.pass_by(minutes=1)
    assert [rig.token() for _ in range(5)] == ["token-1"] * 5
    assert len(rig.background) == 1  # and nobody waits for it
    rig.background.pop()()
    assert rig.token() == "token-2"
    assert (rig.source.fetched, rig.background) == (2, [])


def test_a_short_life_is_renewed_in_its_last_fifth() -> None:
    rig = Rig()
    rig.source.lifetime = timedelta(minutes=10)
    rig.token()
    rig.clock.pass_by(minutes=7, seconds=59)
    rig.token()
    assert rig.background == []
    rig.clock.pass_by(seconds=1)
    rig.token()
    assert len(rig.background) == 1


def test_an_early_renewal_that_fails_keeps_the_old_ones_until_they_expire_and_tries_again_later() -> None:
    rig = Rig()
    rig.token()
    rig.clock.pass_by(hours=23, minutes=50)
    rig.source.failing = True
    rig.token()
    rig.background.pop()()
    assert rig.token() == "token-1"
    assert rig.background == []  # not at once
    rig.clock.pass_by(minutes=1)
    assert rig.token() == "token-1"
    rig.background.pop()()
    rig.clock.pass_by(minutes=9)
    with pytest.raises(CredentialsUnavailable):
        rig.token()
    rig.clock.pass_by(minutes=1)
    rig.source.failing = False
    assert rig.token() == "token-5"


def test_a_source_that_fails_is_not_asked_by_every_caller() -> None:
    rig = Rig()
    rig.source.failing = True
    for _ in range(100):
        with pytest.raises(CredentialsUnavailable):
            rig.token()
    assert rig.source.fetched == 1


def test_many_callers_without_credentials_wait_for_one_fetch() -> None:
    rig = Rig()
    rig.source.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        tokens = [pool.submit(rig.token) for _ in range(20)]
        rig.source.gate.set()
        assert {token.result(30) for token in tokens} == {"token-1"}
    assert rig.source.fetched == 1


def test_rejected_ones_are_replaced_at_once_and_by_one_fetch() -> None:
    rig = Rig()
    used = rig.provider.snapshot()
    rig.clock.pass_by(minutes=1)
    assert [rig.provider.reload(used) for _ in range(10)] == [AuthToken("token-2")] * 10
    assert rig.source.fetched == 2


def test_a_source_that_goes_on_giving_what_dis_rejects_is_not_asked_again_at_once() -> None:
    rig = Rig()
    for _ in range(10):
        rig.provider.reload(rig.provider.snapshot())
    assert rig.source.fetched == 1


def test_rejected_ones_stay_where_there_are_no_others() -> None:
    rig = Rig()
    used = rig.provider.snapshot()
    rig.clock.pass_by(minutes=1)
    rig.source.failing = True
    assert rig.provider.reload(used) == used


def test_a_clock_that_is_wrong_does_not_make_every_call_fetch() -> None:
    rig = Rig()
    rig.source.lifetime = timedelta(hours=-5)
    assert [rig.token() for _ in range(10)] == ["token-1"] * 10
    assert rig.source.fetched == 1


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"access_key": "a", "secret_key": " s\n", "security_token": "t"}, KeyPair("a", "s", "t")),
        ({"token": "t"}, AuthToken("t")),
        ({"credential": {"access": "a", "secret": "s", "securitytoken": "t"}}, KeyPair("a", "s", "t")),
    ],
)
def test_a_json_file_is_read_in_both_shapes(tmp_path: Path, document: object, expected: Credentials) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps(document))
    assert read_credentials(file, directory=False) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"access_key":"a"}',
        '{"access_key":7,"secret_key":"s"}',
        '{"token":"a\\u0000"}',
        "\xff",
    ],
)
def test_a_json_file_that_is_none_is_told_without_its_text(tmp_path: Path, text: str) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationError) as caught:
        read_credentials(file, directory=False)
    assert caught.value.key == "credentials.file"
    assert text not in str(caught.value) or not text


def test_a_json_file_that_is_replaced_is_taken_over(tmp_path: Path) -> None:
    now = [0.0]
    file = tmp_path / "credentials.json"
    file.write_text('{"token":"one"}')
    provider = WatchedCredentials(file, lambda: now[0], directory=False)
    newer = tmp_path / "newer"
    newer.write_text('{"token":"two"}')
    newer.replace(file)
    now[0] += 1
    assert provider.snapshot() == AuthToken("two")


def test_a_secret_that_is_replaced_under_load_makes_no_gap(emulator: Emulator, start: Start, tmp_path: Path) -> None:
    """Kubernetes' way to replace a secret, again and again, while callers commit: no call fails."""
    for version in range(20):
        folder = tmp_path / f"..v{version}"
        folder.mkdir()
        (folder / "access_key").write_text(ACCESS_KEY)
        (folder / "secret_key").write_text(SECRET_KEY)
    (tmp_path / "..data").symlink_to("..v0")
    for name in ("access_key", "secret_key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    client = start(config_for(emulator, credentials=CredentialsConfig(directory=str(tmp_path)))).client

    def publish() -> None:
        for version in range(1, 20):
            link = tmp_path / "..data_tmp"
            link.symlink_to(f"..v{version}")
            link.replace(tmp_path / "..data")

    def commit(partition: int) -> None:
        for number in range(20):
            client.commit(number, str(partition))

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(publish), *(pool.submit(commit, partition) for partition in range(3))]
        for work in working:
            work.result(60)
    assert {emulator.checkpoint(STREAM, APP, partition) for partition in range(3)} == {("19", "")}
