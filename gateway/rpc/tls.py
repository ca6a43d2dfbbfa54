"""TLS of the TCP listeners: a certificate that is replaced is shown from the next handshake on; connections stay."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from gateway.errors import ConfigurationError
from gateway.watched import Watched

CERT, KEY, CLIENT_CA = "server.tls_cert_file", "server.tls_key_file", "server.tls_client_ca_file"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files. With ``client_ca_file`` each client must show a certificate of one of these CAs."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None


@dataclass(frozen=True, slots=True, repr=False)
class _Pem:
    """What the files hold."""

    chain: bytes
    key: bytes
    client_ca: bytes | None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """What gRPC takes."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], root_certificates=self.client_ca)


class Certificates:
    """The certificate, its key and the CAs of clients, as the files have them now.

    Raises :class:`ConfigurationError` where they cannot be used at the start; later the ones before stay.
    gRPC takes TLS 1.2 and 1.3.
    """

    def __init__(self, settings: TlsSettings, clock: Callable[[], float] = time.monotonic) -> None:
        files = [file for file in (settings.cert_file, settings.key_file, settings.client_ca_file) if file]
        self._asks_clients = settings.client_ca_file is not None
        self._pem = Watched("certificate", files, lambda: _read(settings), clock)

    def credentials(self) -> grpc.ServerCredentials:
        """For one listener: each keeps track of what it has taken over."""
        taken = self._pem.current()

        def newer() -> grpc.ServerCertificateConfiguration | None:
            """Asked at each handshake."""
            nonlocal taken
            if (pem := self._pem.current()) is taken:
                return None
            taken = pem
            return pem.configuration()

        return grpc.dynamic_ssl_server_credentials(
            taken.configuration(),
            newer,  # type: ignore[arg-type]  # None stands for "no other one"
            require_client_authentication=self._asks_clients,
        )


def check(settings: TlsSettings) -> None:
    """Raises :class:`ConfigurationError` where the files cannot be used."""
    _read(settings)


def _read(settings: TlsSettings) -> _Pem:
    pem = _Pem(
        _bytes(CERT, settings.cert_file),
        _bytes(KEY, settings.key_file),
        _bytes(CLIENT_CA, settings.client_ca_file) if settings.client_ca_file else None,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # without a password of its own OpenSSL would ask for one on the terminal
        context.load_cert_chain(settings.cert_file, settings.key_file, password=b"")
    except (OSError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(
                KEY, f"{settings.key_file} is not the key of the certificate in {settings.cert_file}"
            ) from None
        raise ConfigurationError(
            CERT, f"{settings.cert_file} and {settings.key_file} are not a certificate and its key without a password"
        ) from None
    if pem.client_ca is not None:
        try:
            context.load_verify_locations(cadata=pem.client_ca.decode("ascii"))
        except (OSError, ValueError):
            raise ConfigurationError(CLIENT_CA, f"{settings.client_ca_file} holds no certificates") from None
    return pem


def _bytes(key: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(key, f"{file} cannot be read: {error.strerror}") from None
