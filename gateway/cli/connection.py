"""Connects to a gateway: plainly or by TLS, with a certificate or a token where one is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import grpc

from gateway.config import CALLER_TOKEN_VARIABLE, is_loopback


def connected(
    target: str,
    *,
    tls: bool = False,
    server_name: str | None = None,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    token_file: Path | None = None,
) -> grpc.Channel:
    """A channel. Raises :class:`click.UsageError` for what does not go together."""
    # A proxy from the environment is for the world outside, not for a sidecar.
    arguments: list[tuple[str, int | str]] = [("grpc.enable_http_proxy", 0)]
    if bool(cert_file) != bool(key_file):
        raise click.UsageError("--cert-file and --key-file go together")
    token = _token(token_file)
    if tls or server_name or ca_file or cert_file:
        if server_name:
            arguments.append(("grpc.ssl_target_name_override", server_name))
        credentials = grpc.ssl_channel_credentials(_content(ca_file), _content(key_file), _content(cert_file))
        channel = grpc.secure_channel(target, credentials, arguments)
    else:
        if token and not _stays_here(target):
            raise click.UsageError(f"the token would be shown to the network on the way to {target}: use --tls")
        channel = grpc.insecure_channel(target, arguments)
    return grpc.intercept_channel(channel, _Bearer(token)) if token else channel


class _Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds the token to each call."""

    def __init__(self, token: str) -> None:
        self._header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """With the token."""
        return continuation(self._with_token(client_call_details), request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """With the token."""
        return continuation(self._with_token(client_call_details), request)

    def _with_token(self, details: Any) -> Any:
        return details._replace(metadata=[*(details.metadata or ()), self._header])


def _token(file: Path | None) -> str:
    """From the file, or the environment: never from an argument, which every process could read."""
    token = (_content(file) or b"").decode("ascii", "replace") if file else os.environ.get(CALLER_TOKEN_VARIABLE, "")
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise click.UsageError("the token may hold only printable ASCII characters")
    return token


def _content(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}") from None


def _stays_here(target: str) -> bool:
    return target.startswith(("unix:", "unix-abstract:")) or is_loopback(target.rpartition(":")[0].strip("[]"))
