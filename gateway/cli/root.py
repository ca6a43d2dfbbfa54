"""The root command. Commands are imported when they are asked for, so that none pays for another's libraries."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from gateway.cli.exits import Exit
from gateway.errors import ConfigurationError
from gateway.rpc.environment import prepare

PROGRAM = "dis-gateway"

COMMANDS: Mapping[str, str] = {
    "serve": "gateway.cli.serve:serve",
    "emulator": "gateway.cli.emulator:emulator",
    "get": "gateway.cli.checkpoints:get",
    "commit": "gateway.cli.checkpoints:commit",
    "delete": "gateway.cli.checkpoints:delete",
    "doctor": "gateway.cli.doctor:doctor",
    "health": "gateway.cli.health:health",
    "token": "gateway.cli.token:token",
    "config": "gateway.cli.configuration:config",
    "version": "gateway.cli.version:version",
}
"""Each command, in the order of the help, and where it lives."""


class LazyGroup(click.Group):
    """Imports a command when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of :data:`COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, None where there is no such one."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run; a configuration that cannot be used is told in one line."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            click.echo(f"{PROGRAM}: {error}", err=True)
            ctx.exit(Exit.USAGE)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def root() -> None:
    """Keeps consumer checkpoints of DIS streams: a gRPC sidecar, its tools, and an emulator of DIS.

    \b
    Try it, in two shells:
      dis-gateway serve --dev
      dis-gateway commit --stream orders --app billing --partition 0 --sequence-number 41

    \b
    Exit codes:
      0  done
      1  failed
      2  wrong usage or configuration
      3  not found
      4  unavailable
    """


def main() -> None:
    """The entry point of ``dis-gateway``."""
    prepare()  # gRPC is not loaded yet: only commands load it
    root.main(prog_name=PROGRAM)
