"""Binding the addresses of the configuration, so that a conflict is an error that says why."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import grpc

from gateway.errors import ListenError


@dataclass(frozen=True, slots=True)
class Bound:
    """An address that is listened on; ``port`` is the real one where 0 was asked for, 0 for a unix socket."""

    address: str
    port: int


def bind(server: grpc.Server, address: str) -> Bound:
    """Listen on ``host:port`` or ``unix:path``. Raises :class:`ListenError`."""
    try:
        return _bind(server, address)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot listen on {address}: {getattr(error, 'strerror', None) or error}") from error


def _bind(server: grpc.Server, address: str) -> Bound:
    if address.startswith("unix:"):
        path = _socket_path(address)
        _remove_stale_socket(path)
        address = f"unix:{path}"
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if not port:
        raise ListenError(f"cannot listen on {address}: {_why_not(address)}")
    if address.startswith("unix:"):
        return Bound(address, 0)
    host = address.rpartition(":")[0]
    return Bound(f"{host}:{port}", port)


def _socket_path(address: str) -> Path:
    path = address.removeprefix("unix:")
    return Path(path[2:] if path.startswith("//") else path)


def _remove_stale_socket(path: Path) -> None:
    """gRPC would take over any socket file: only one that nobody answers on may go."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on unix:{path}: the file exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise ListenError(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    raise ListenError(f"cannot listen on unix:{path}: another process is listening there")


def _why_not(address: str) -> str:
    """gRPC says only that it failed; the same attempt by hand says why."""
    if address.startswith("unix:"):
        directory = _socket_path(address).parent
        if not directory.is_dir():
            return f"there is no directory {directory}"
        return "no permission" if not os.access(directory, os.W_OK) else "the path may be too long"
    host, _, port = address.rpartition(":")
    try:
        family, kind, _, _, target = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(target)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "the address cannot be used"
