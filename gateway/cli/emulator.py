"""``emulator``: a DIS to run against, alone."""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path

import click

from gateway.cli.exits import Exit
from gateway.config import CredentialsConfig, load
from gateway.signals import stop_signal

_VARIABLES = tuple(f"DISGW_CREDENTIALS__{name}" for name in ("ACCESS_KEY", "SECRET_KEY", "SECURITY_TOKEN"))
_TOKEN = "DISGW_CREDENTIALS__TOKEN"


@click.command
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on")
@click.option("--port", type=click.IntRange(0, 65535), default=9552, show_default=True, help="0 takes a free one")
@click.option("--db", default=":memory:", metavar="FILE", help="keep everything in this SQLite file")
@click.option("--auto-create", is_flag=True, help="make streams and apps when they are first named")
@click.option("--project", metavar="ID", help="take this project only")
@click.option("--region", metavar="NAME", help="take signatures for this region only")
@click.pass_context
def emulator(
    ctx: click.Context, host: str, port: int, db: str, auto_create: bool, project: str | None, region: str | None
) -> None:
    """Serve an emulator of DIS until SIGTERM or Ctrl-C.

    It verifies signatures and tokens. Its key pair is DISGW_CREDENTIALS__ACCESS_KEY and
    DISGW_CREDENTIALS__SECRET_KEY where they are set, else one that it makes and prints, ready for a shell.
    """
    from gateway.emulator import Emulator  # costly to import, and --help shall not pay for it

    given = load(environ={name: os.environ[name] for name in _VARIABLES if name in os.environ}).config.credentials
    # a gateway has keys or a token; the emulator lets in both
    token = load(environ={_TOKEN: os.environ[_TOKEN]} if _TOKEN in os.environ else {}).config.credentials.token
    keys = given if given.access_key else _new_keys()
    with stop_signal() as stopping:
        try:
            running = Emulator(
                access_key=keys.access_key,
                secret_key=keys.secret_key,
                security_token=given.security_token,
                token=token,
                host=host,
                port=port,
                db=db,
                auto_create=auto_create,
                project=project,
                region=region,
            )
        except sqlite3.Error as error:
            click.echo(f"error: {Path(db)} cannot be used: {error}", err=True)
            ctx.exit(Exit.FAILED)
        try:
            running.start()
        except OSError as error:
            click.echo(f"error: cannot listen on {host}:{port}: {error.strerror or error}", err=True)
            running.stop()
            ctx.exit(Exit.FAILED)
        click.echo(f"# DIS emulator; faults and offsets: {running.endpoint}/_emulator/")
        click.echo(f"export DISGW_UPSTREAM__ENDPOINT={running.endpoint}")
        if not given.access_key:
            click.echo(f"export DISGW_CREDENTIALS__ACCESS_KEY={keys.access_key}")
            click.echo(f"export DISGW_CREDENTIALS__SECRET_KEY={keys.secret_key}")
        click.echo(f"export DISGW_UPSTREAM__PROJECT_ID={project or '0' * 32}")
        click.echo(f"export DISGW_UPSTREAM__REGION={region or 'dev'}")
        stopping.wait()
        running.stop()


def _new_keys() -> CredentialsConfig:
    return CredentialsConfig(access_key=f"EMULATOR{secrets.token_hex(6).upper()}", secret_key=secrets.token_urlsafe(30))
