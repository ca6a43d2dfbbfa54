"""TLS and mTLS through real handshakes: what is refused, and certificates that are replaced."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config, ServerConfig
from gateway.emulator import Emulator
from gateway.errors import ConfigurationError
from gateway.rpc import tls
from gateway.rpc.tls import TlsSettings
from tests.certificates import Authority, Issued, replace
from tests.support import Client, Running, config_for, key

Start = Callable[[Config], Running]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def looking_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at each time, not once a second."""
    monkeypatch.setattr("gateway.watched.CHECK_SECONDS", 0.0)


class Secured:
    """A gateway with TLS, and the files of its certificate."""

    def __init__(
        self, emulator: Emulator, start: Start, directory: Path, authority: Authority, ca: Path | None
    ) -> None:
        self.directory = directory
        self.authority = authority
        self.first = authority.server()
        cert, key = self.first.write(directory)
        server = ServerConfig(
            listen=f"127.0.0.1:0,unix://{directory}/gateway.sock",
            admin_listen="",
            tls_cert_file=str(cert),
            tls_key_file=str(key),
            tls_client_ca_file=str(ca or ""),
        )
        self.gateway = start(config_for(emulator, server=server)).gateway
        self.address = self.gateway.bound[0].address

    def client(self, own: Issued | None = None) -> Client:
        credentials = grpc.ssl_channel_credentials(self.authority.cert, own and own.key, own and own.cert)
        return Client(self.address, credentials)

    def shown(self) -> int:
        """The serial number of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cadata=self.authority.cert.decode())
        context.set_alpn_protocols(["h2"])
        with closing(self._connected(context)) as connection:
            certificate = connection.getpeercert()
            assert certificate is not None
            return int(str(certificate["serialNumber"]), 16)

    def version(self, context: ssl.SSLContext) -> str | None:
        with closing(self._connected(context)) as connection:
            return connection.version()

    def _connected(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        host, _, port = self.address.rpartition(":")
        return context.wrap_socket(socket.create_connection((host, int(port)), timeout=20), server_hostname=host)


@pytest.fixture
def secured(emulator: Emulator, start: Start, tmp_path: Path, authority: Authority) -> Secured:
    return Secured(emulator, start, tmp_path, authority, None)


def old_client(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    """One that speaks this version alone, as weak as it may be."""
    context = ssl.create_default_context(cadata=authority.cert.decode())
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.fixture
def old_server(authority: Authority, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A server that still speaks TLS 1.0 and 1.1: what fails elsewhere, but not here, is not the client's fault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server().write(tmp_path / "old"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                taken, _ = listening.accept()
                with suppress(OSError), context.wrap_socket(taken, server_side=True) as connection:
                    connection.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(20)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_before_1_2_is_refused(
    secured: Secured, authority: Authority, old_server: tuple[str, int], version: ssl.TLSVersion
) -> None:
    context = old_client(authority, version)
    with (
        socket.create_connection(old_server, timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        assert connection.version() == {ssl.TLSVersion.TLSv1: "TLSv1"}.get(version, "TLSv1.1")
    with pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|EOF"):
        secured.version(context)


@pytest.mark.parametrize(
    ("version", "spoken"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_tls_1_2_and_1_3_are_spoken(
    secured: Secured, authority: Authority, version: ssl.TLSVersion, spoken: str
) -> None:
    context = ssl.create_default_context(cadata=authority.cert.decode())
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    assert secured.version(context) == spoken


def test_with_a_certificate_tcp_is_by_tls_alone_and_a_unix_socket_is_not(secured: Secured) -> None:
    assert secured.client().commit(1).effective.sequence_number == "1"
    plain = Client(secured.address)
    with pytest.raises(grpc.RpcError) as caught:
        plain.stub.GetCheckpoint(pb.GetCheckpointRequest(key=key()), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    beside = Client(secured.gateway.bound[1].address)
    assert beside.get().checkpoint.sequence_number == "1"


def test_by_mtls_only_who_has_a_certificate_of_the_ca_comes_in(
    emulator: Emulator, start: Start, tmp_path: Path, authority: Authority
) -> None:
    ours = Authority()
    secured = Secured(emulator, start, tmp_path, authority, replace(tmp_path / "ca.crt", ours.cert))
    assert secured.client(ours.issue("billing")).commit(1).effective.sequence_number == "1"
    for own in (None, authority.issue("billing")):
        assert refused(secured.client(own))


def refused(client: Client) -> bool:
    with pytest.raises(grpc.FutureTimeoutError):
        grpc.channel_ready_future(client.channel).result(timeout=0.7)
    return True


@pytest.mark.usefixtures("looking_at_once")
def test_a_certificate_that_is_replaced_is_shown_to_new_connections_and_the_old_ones_stay(secured: Secured) -> None:
    before = secured.client()
    before.commit(1)
    assert secured.shown() == secured.first.serial
    second = secured.authority.server()
    second.write(secured.directory)
    assert secured.shown() == second.serial
    assert before.commit(2).effective.sequence_number == "2"
    assert secured.client().get().checkpoint.sequence_number == "2"


@pytest.mark.usefixtures("looking_at_once")
def test_a_pair_that_does_not_fit_is_told_once_and_the_old_one_stays(secured: Secured) -> None:
    other = secured.authority.server()
    with capture_logs() as logs:
        replace(secured.directory / "tls.key", other.key)
        assert [secured.shown() for _ in range(3)] == [secured.first.serial] * 3
    told = [line for line in logs if line["log_level"] == "warning"]
    assert [line["event"] for line in told] == ["certificate_not_reloaded"]
    assert "is not the key of the certificate" in told[0]["problem"]
    replace(secured.directory / "tls.crt", other.cert)
    assert secured.shown() == other.serial


@pytest.mark.usefixtures("looking_at_once")
def test_cas_of_clients_are_replaced_too(
    emulator: Emulator, start: Start, tmp_path: Path, authority: Authority
) -> None:
    old, new = Authority(), Authority()
    ca = replace(tmp_path / "ca.crt", old.cert)
    secured = Secured(emulator, start, tmp_path, authority, ca)
    connected = secured.client(old.issue("a"))
    connected.commit(1)
    replace(ca, new.cert)
    assert secured.client(new.issue("a")).commit(2).effective.sequence_number == "2"
    assert refused(secured.client(old.issue("a")))
    assert connected.commit(3).effective.sequence_number == "3"


def test_files_that_cannot_be_used_are_named(tmp_path: Path, authority: Authority) -> None:
    cert, key = authority.server().write(tmp_path)
    ca = replace(tmp_path / "ca.crt", authority.cert)
    nothing = replace(tmp_path / "nothing", "no PEM")
    other = replace(tmp_path / "other.key", authority.server().key)
    tls.check(TlsSettings(cert, key, ca))
    for settings, named, words in (
        (TlsSettings(tmp_path / "none", key), "server.tls_cert_file", "none cannot be read: No such file"),
        (TlsSettings(cert, tmp_path / "none"), "server.tls_key_file", "none cannot be read"),
        (TlsSettings(cert, other), "server.tls_key_file", "is not the key of the certificate"),
        (TlsSettings(nothing, key), "server.tls_cert_file", "are not a certificate and its key"),
        (TlsSettings(cert, nothing), "server.tls_cert_file", "are not a certificate and its key"),
        (TlsSettings(cert, locked_key(tmp_path)), "server.tls_cert_file", "without a password"),
        (TlsSettings(cert, key, nothing), "server.tls_client_ca_file", "holds no certificates"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            tls.check(settings)
        assert caught.value.key == named
        assert words in caught.value.problem


def locked_key(directory: Path) -> Path:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return replace(
        directory / "locked.key",
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        ),
    )
