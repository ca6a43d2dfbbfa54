"""Binding the addresses of the configuration, so that a conflict is an error that says why."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import grpc

from gateway.errors import ListenError
from gateway.rpc.sockets import Placed, SocketAccess, place
from gateway.rpc.tls import Certificates


@dataclass(frozen=True, slots=True)
class Bound:
    """An address that is listened on; ``port`` is the real one where 0 was asked for, 0 for a unix socket."""

    address: str
    port: int
    placed: Placed | None = None

    @property
    def bound_as(self) -> str:
        """The path that the kernel shows for a unix socket and its connections; empty for TCP."""
        return str(self.placed.bound_as) if self.placed is not None else ""

    def remove(self) -> None:
        """Take the file of a unix socket away; call it when nobody new shall come."""
        if self.placed is not None:
            self.placed.remove()


class Listeners:
    """Binds ``host:port``, by TLS where there are certificates, and ``unix:path``, which is never by TLS."""

    def __init__(self, server: grpc.Server, certificates: Certificates | None, access: SocketAccess) -> None:
        self._server = server
        self._certificates = certificates
        self._access = access

    def bind(self, address: str) -> Bound:
        """Listen on an address. Raises :class:`ListenError`."""
        try:
            return self._unix(address) if address.startswith("unix:") else self._tcp(address)
        except (OSError, UnicodeError) as error:
            raise ListenError(f"cannot listen on {address}: {getattr(error, 'strerror', None) or error}") from error

    def _unix(self, address: str) -> Bound:
        path = _socket_path(address)

        def listen(bound: Path) -> None:
            try:
                port = self._server.add_insecure_port(f"unix:{bound}")
            except RuntimeError:
                port = 0
            if not port:
                raise ListenError(f"cannot listen on unix:{path}: the path may be too long")

        return Bound(f"unix:{path}", 0, place(path, self._access, listen))

    def _tcp(self, address: str) -> Bound:
        try:
            if self._certificates is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, self._certificates.credentials())
        except RuntimeError:
            port = 0
        if not port:
            raise ListenError(f"cannot listen on {address}: {_why_not(address)}")
        host = address.rpartition(":")[0]
        return Bound(f"{host}:{port}", port)


def _socket_path(address: str) -> Path:
    path = address.removeprefix("unix:")
    return Path(path[2:] if path.startswith("//") else path)


def _why_not(address: str) -> str:
    """gRPC says only that it failed; the same attempt by hand says why."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, _, _, target = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(target)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "the address cannot be used"
