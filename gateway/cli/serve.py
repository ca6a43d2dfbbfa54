"""``serve``: the gateway itself."""

from __future__ import annotations

from typing import Any

import click

from gateway import app
from gateway.cli import options


@click.command
@click.option("--dev", is_flag=True, help="start an emulator of DIS beside it, and use that: nothing else is needed")
@options.configuration
@click.pass_context
def serve(ctx: click.Context, /, dev: bool, **given: Any) -> None:
    """Serve the gRPC CheckpointService until SIGTERM or Ctrl-C.

    Flags go over environment variables (DISGW_UPSTREAM__ENDPOINT and so on) over the file of --config over defaults;
    `dis-gateway config` shows what came of it. Secrets have no flag: every process could read them.
    """
    ctx.exit(app.serve(options.loaded(**given), dev=dev))
