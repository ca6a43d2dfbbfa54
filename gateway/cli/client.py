"""Calls a gateway: one channel, one deadline, and failures that end the command with the right exit code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import click
import grpc
import msgspec
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from gateway.cli import options
from gateway.cli.connection import connected
from gateway.cli.exits import Exit

DETAILS_KEY = "grpc-status-details-bin"

_EXITS = {
    grpc.StatusCode.INVALID_ARGUMENT: Exit.USAGE,
    grpc.StatusCode.NOT_FOUND: Exit.NOT_FOUND,
    grpc.StatusCode.UNAVAILABLE: Exit.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNAVAILABLE,
}

DetailT = TypeVar("DetailT", bound=Message)


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call that failed, taken apart. ``retry_after_seconds`` None: a retry does not help."""

    code: str
    message: str
    reason: str = ""
    field: str = ""
    retry_after_seconds: float | None = None
    metadata: dict[str, str] = {}

    @classmethod
    def of(cls, error: grpc.RpcError) -> Failure:
        """From what gRPC raises."""
        status = _status(error)
        info = _detail(status, error_details_pb2.ErrorInfo)
        retry = _detail(status, error_details_pb2.RetryInfo)
        bad = _detail(status, error_details_pb2.BadRequest)
        return cls(
            code=error.code().name,
            message=error.details() or "",
            reason=info.reason if info else "",
            field=bad.field_violations[0].field if bad and bad.field_violations else "",
            retry_after_seconds=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
            metadata=dict(info.metadata) if info else {},
        )

    def __str__(self) -> str:
        about = [self.reason or self.code]
        about += [f"{name} {value}" for name, value in sorted(self.metadata.items())]
        if self.retry_after_seconds is not None:
            about.append(f"retry in {self.retry_after_seconds:g} s")
        return f"{self.message} ({', '.join(about)})"


@contextmanager
def channel(target: str, output: str) -> Iterator[grpc.Channel]:
    """A channel to the gateway. A call on it that fails ends the command: the failure on stderr, and an exit code."""
    with connected(target, **options.connection(click.get_current_context())) as opened:
        try:
            yield opened
        except grpc.RpcError as error:
            fail(error, target, output)


def fail(error: grpc.RpcError, target: str, output: str) -> NoReturn:
    """Say what went wrong, and end the command."""
    failure = Failure.of(error)
    if not failure.reason and error.code() is grpc.StatusCode.UNAVAILABLE:
        failure = msgspec.structs.replace(failure, message=f"no gateway answers at {target}: {failure.message}")
    if output == "json":
        click.echo(msgspec.json.encode({"error": failure}).decode(), err=True)
    else:
        click.echo(f"error: {failure}", err=True)
    click.get_current_context().exit(_EXITS.get(error.code(), Exit.FAILED))


def shown_seconds(seconds: float) -> str:
    """A time for people."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{math.floor(seconds * 10) / 10:g} s"


def _status(error: Any) -> status_pb2.Status:
    for name, value in error.trailing_metadata() or ():
        if name == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break  # from a proxy, say; code and message are still true
    return status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[DetailT]) -> DetailT | None:
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            found = kind()
            packed.Unpack(found)
            return found
    return None
