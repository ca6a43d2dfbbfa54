"""``doctor``: why a gateway with this configuration would not reach DIS."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from gateway.cli import options
from gateway.cli.exits import Exit
from gateway.doctor import Doctor, Finding, Verdict
from gateway.errors import InvalidField
from gateway.model import APP_NAME_MAX_EVER, STREAM_NAME_MAX, check_name

_EXITS = {
    "configuration": Exit.USAGE,
    "name": Exit.UNAVAILABLE,
    "connection": Exit.UNAVAILABLE,
    "tls": Exit.UNAVAILABLE,
    "answer": Exit.UNAVAILABLE,
}
_COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red", Verdict.SKIPPED: "bright_black"}


@click.command
@options.configuration
@click.option("--stream", default="", help="a stream of yours, to find out whether its checkpoints may be read")
@click.option("--app", default="", help="an app on it")
@options.output
@click.pass_context
def doctor(ctx: click.Context, /, stream: str, app: str, output: str, **given: Any) -> None:
    """Check configuration, name, connection, TLS, clock, signature, permission and latency, and say what to do.

    It reads from DIS and changes nothing. Give it the configuration that `serve` has. Exits with 0 if nothing failed,
    with 2 if the configuration cannot be used, with 4 if DIS cannot be reached, else with 1.
    """
    for option, value, longest in (("--stream", stream, STREAM_NAME_MAX), ("--app", app, APP_NAME_MAX_EVER)):
        if value:
            try:
                check_name(option, value, longest)
            except InvalidField as error:
                raise click.UsageError(str(error)) from None
    findings = Doctor(options.loaded(**given).config, stream, app).examine()
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
    else:
        for finding in findings:
            _print(finding)
    failed = [finding.check for finding in findings if finding.verdict is Verdict.FAILED]
    ctx.exit(_EXITS.get(failed[0], Exit.FAILED) if failed else Exit.DONE)


def _print(finding: Finding) -> None:
    verdict = click.style(f"{finding.verdict.value:8}", fg=_COLOURS[finding.verdict])
    click.echo(f"{verdict} {finding.check:14} {finding.detail}")
    if finding.advice:
        click.echo(f"{'':23} -> {finding.advice}")
