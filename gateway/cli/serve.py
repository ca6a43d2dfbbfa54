"""``serve``: the gateway itself."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from gateway import signals
from gateway.cli import options


@click.command
@click.option("--dev", is_flag=True, help="start an emulator of DIS beside it, and use that: nothing else is needed")
@options.configuration
@click.pass_context
def serve(ctx: click.Context, /, dev: bool, **given: Any) -> None:
    """Serve the gRPC CheckpointService until SIGTERM or Ctrl-C.

    Asked to stop, it says that it is not ready, and serves on until its clients have left or the grace period is over;
    then it finishes what it took. Asked again, it ends at once. Exits with 0 after a stop, 1 if an address cannot be
    listened on, or DIS has not answered all writes when the time for a stop is over, 2 for a configuration that cannot
    be used, 4 if there were no credentials in time.

    Flags go over environment variables (DISGW_UPSTREAM__ENDPOINT and so on) over the file of --config over defaults;
    `dis-gateway config` shows what came of it. Secrets have no flag: every process could read them.
    """
    signals.hold()
    from gateway import process  # most of the time that a start takes

    code = process.serve(options.loaded(**given), dev=dev)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # at once: a read that DIS has not answered, and nobody waits for any more, would hold it up
