"""``token``: a new token of a caller, and the line by which the gateway knows it."""

from __future__ import annotations

import secrets
import sys

import click
import msgspec

from gateway.cli import options
from gateway.rpc.callers import digest

_BYTES = 32


@click.command
@click.option("--stdin", "given", is_flag=True, help="take the token from standard input instead of making one")
@options.output
def token(given: bool, output: str) -> None:
    """Make a random token for a caller. It is printed alone; the line for `callers.file` goes to standard error.

    \b
    Keep it where only the caller may read it:
      (umask 077; dis-gateway token > billing.token)
    """
    new = sys.stdin.readline().strip() if given else f"dgw_{secrets.token_urlsafe(_BYTES)}"
    if not (new and new.isascii() and new.isprintable()):
        raise click.UsageError("the token must be printable ASCII characters")
    shown = digest(new.encode()).hex()
    if output == "json":
        click.echo(msgspec.json.encode({"token": new, "token_sha256": shown}).decode())
        return
    if not given:
        click.echo(new)
    click.echo(f'token_sha256 = ["{shown}"]', err=not given)
