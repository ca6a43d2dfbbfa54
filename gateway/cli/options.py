"""Options that several commands share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.config import (
    CALLER_TOKEN_FILE_VARIABLE,
    CALLER_TOKEN_VARIABLE,
    CONFIG_VARIABLE,
    FLAGS,
    TARGET_VARIABLE,
    LoadedConfig,
    keys,
    load,
)

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_KEPT = "gateway.cli.connection"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CONNECTION = {
    "--ca-file": "PEM file of the CAs to trust instead of the public ones",
    "--cert-file": "PEM file of the client's certificate",
    "--key-file": "PEM file of its key",
}

DEFAULT_TARGET = "127.0.0.1:50551"


class Seconds(click.FloatRange):
    """A number of seconds; what is no number is refused, though Python calls it one (nan)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See :class:`click.ParamType`."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


def configuration(command: CommandT) -> CommandT:
    """``--config`` and a flag for each key that has one; :func:`loaded` makes a configuration of them."""
    descriptions = {key.dotted: (key.description.replace("`", ""), key.default) for key in keys()}
    for dotted, flag in reversed(list(FLAGS.items())):
        words, default = descriptions[dotted]
        shown = f"  [default: {default}]" if default != "" else ""
        command = click.option(flag, _parameter(dotted), metavar="VALUE", help=words + shown)(command)
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        help=f"TOML file with the configuration  [env: {CONFIG_VARIABLE}]",
    )(command)


def loaded(config_file: Path | None, **flags: Any) -> LoadedConfig:
    """The configuration. Raises :class:`gateway.errors.ConfigurationError`."""
    given = {dotted: flags[_parameter(dotted)] for dotted in FLAGS}
    return load(given, os.environ, config_file)


def _parameter(dotted: str) -> str:
    return dotted.replace(".", "__")


def target(command: CommandT) -> CommandT:
    """``--target``, ``--timeout`` and how to connect, for the commands that call a gateway.

    How to connect is kept in the context, where :func:`gateway.cli.client.channel` finds it.
    """
    for flag, words in reversed(_CONNECTION.items()):
        command = click.option(flag, metavar="FILE", type=_FILE, expose_value=False, callback=_keep, help=words)(
            command
        )
    command = click.option(
        "--token-file",
        metavar="FILE",
        type=_FILE,
        envvar=CALLER_TOKEN_FILE_VARIABLE,
        expose_value=False,
        callback=_keep,
        help=f"file with the caller's token  [env: {CALLER_TOKEN_FILE_VARIABLE}, or {CALLER_TOKEN_VARIABLE} itself]",
    )(command)
    command = click.option(
        "--server-name",
        metavar="NAME",
        expose_value=False,
        callback=_keep,
        help="name that the gateway's certificate must have, where it is not that of the target",
    )(command)
    command = click.option(
        "--tls",
        is_flag=True,
        expose_value=False,
        callback=_keep,
        help="connect by TLS; so do the options for its files",
    )(command)
    command = click.option(
        "--timeout",
        type=Seconds(min=0, max=1e9, min_open=True),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="longest wait for the answer",
    )(command)
    return click.option(
        "--target",
        default=DEFAULT_TARGET,
        show_default=True,
        envvar=TARGET_VARIABLE,
        metavar="ADDRESS",
        help=f"the gateway: host:port or unix:///path  [env: {TARGET_VARIABLE}]",
    )(command)


def connection(ctx: click.Context) -> Mapping[str, Any]:
    """How to connect, by the names of the parameters: ``tls``, ``server_name``, ``ca_file`` and so on."""
    kept: Mapping[str, Any] = ctx.meta.get(_KEPT, {})
    return kept


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    ctx.meta.setdefault(_KEPT, {})[parameter.name] = value


def output(command: CommandT) -> CommandT:
    """``--output text|json``."""
    return click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="for people, or for programs",
    )(command)


def checkpoint_key(command: CommandT) -> CommandT:
    """``--stream``, ``--app`` and ``--partition``."""
    for name, words in (
        ("--partition", 'the partition: "0" or "shardId-0000000000"'),
        ("--app", "name of the consumer"),
        ("--stream", "name of the stream"),
    ):
        command = click.option(name, required=True, help=words)(command)
    return command
