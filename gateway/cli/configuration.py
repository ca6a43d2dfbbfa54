"""``config``: what is in force, and where it came from."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from gateway.cli import options
from gateway.cli.exits import Exit
from gateway.cli.root import PROGRAM
from gateway.config import describe, require_serving, tables
from gateway.errors import ConfigurationError


@click.command
@options.configuration
@click.option("--check", is_flag=True, help="exit with 2 if `serve` would refuse this configuration")
@options.output
@click.pass_context
def config(ctx: click.Context, /, check: bool, output: str, **given: Any) -> None:
    """Print the configuration that `serve` would have, and where each value came from. Secrets stay hidden."""
    loaded = options.loaded(**given)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(tables(loaded))).decode())
    else:
        rows = [(one.key.dotted, msgspec.json.encode(one.value).decode(), one.origin) for one in describe(loaded)]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        for row in rows:
            click.echo(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}")
    from gateway.wiring import check_files  # costly to import, and --help shall not pay for it

    try:
        require_serving(loaded.config)
        check_files(loaded.config)
    except ConfigurationError as error:
        click.echo(f"{PROGRAM}: serve would refuse this: {error}", err=True)
        ctx.exit(Exit.USAGE if check else Exit.DONE)
