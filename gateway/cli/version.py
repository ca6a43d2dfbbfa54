"""``version``: what runs here."""

from __future__ import annotations

import platform
from importlib import metadata

import click
import msgspec

from gateway.cli import options

_SHOWN = ("grpcio", "protobuf", "requests")


@click.command
@options.output
def version(output: str) -> None:
    """Print the version of the gateway and of what it stands on."""
    versions = {
        "dis-gateway": metadata.version("dis-checkpoint-gateway"),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _SHOWN},
    }
    if output == "json":
        click.echo(msgspec.json.encode(versions).decode())
        return
    own, *others = (f"{name} {number}" for name, number in versions.items())
    click.echo(f"{own} ({', '.join(others)})")
