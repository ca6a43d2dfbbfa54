"""Reads the configuration once: flags over environment over a TOML file over defaults."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from gateway.config.check import check
from gateway.config.model import Config, Key, keys
from gateway.errors import ConfigurationError

PREFIX = "DISGW_"
CONFIG_VARIABLE = "DISGW_CONFIG"
TARGET_VARIABLE = "DISGW_TARGET"
CALLER_TOKEN_VARIABLE = "DISGW_CALLER_TOKEN"
CALLER_TOKEN_FILE_VARIABLE = "DISGW_CALLER_TOKEN_FILE"
DEFAULT = "default"

_OTHER_VARIABLES = frozenset({CONFIG_VARIABLE, TARGET_VARIABLE, CALLER_TOKEN_VARIABLE, CALLER_TOKEN_FILE_VARIABLE})
# Kubernetes tells each container about the services of its namespace, so about one that is called "disgw" or
# "disgw-something" too: DISGW_SERVICE_HOST, DISGW_PORT_50551_TCP_ADDR and so on.
_OF_KUBERNETES = re.compile(r"DISGW_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The effective configuration, and for each dotted key where its value came from."""

    config: Config
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Described:
    """One key as people may see it."""

    key: Key
    value: Any
    origin: str


@dataclass(frozen=True, slots=True, repr=False)
class _Given:
    """A value that somebody set. ``textual`` tells that it is a string that stands for the value."""

    value: Any
    origin: str
    textual: bool


def load(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, file: Path | None = None
) -> LoadedConfig:
    """The configuration from every source.

    ``flags`` maps dotted keys to values; a value of None was not given. Raises :class:`ConfigurationError`, which names
    the key and the source, and shows no secret.
    """
    known = {key.dotted: key for key in keys()}
    given: dict[str, _Given] = {}
    if file is not None:
        given.update(_from_file(file, known))
    given.update(_from_environment(environ or {}, known))
    given.update(
        (dotted, _Given(value, f"flag {flag_of(dotted)}", textual=isinstance(value, str)))
        for dotted, value in (flags or {}).items()
        if value is not None
    )
    config = Config()
    for dotted, one in given.items():
        config = _with(config, known[dotted], one)
    origins = {dotted: given[dotted].origin if dotted in given else DEFAULT for dotted in known}
    try:
        check(config)
    except ConfigurationError as error:
        origin = origins.get(error.key, DEFAULT)
        if origin == DEFAULT:
            raise
        raise ConfigurationError(error.key, f"{error.problem} (from {origin})") from None
    return LoadedConfig(config, origins)


def describe(loaded: LoadedConfig) -> list[Described]:
    """Every key with its value, secrets hidden, and where the value came from."""
    return [
        Described(key, getattr(loaded.config, key.section).shown(key.name), loaded.origins[key.dotted])
        for key in keys()
    ]


def tables(loaded: LoadedConfig) -> dict[str, dict[str, Any]]:
    """The same as :func:`describe`, by section and name, for JSON."""
    found: dict[str, dict[str, Any]] = {}
    for one in describe(loaded):
        found.setdefault(one.key.section, {})[one.key.name] = {"value": one.value, "origin": one.origin}
    return found


FLAGS: Mapping[str, str] = {
    "upstream.endpoint": "--endpoint",
    "upstream.project_id": "--project-id",
    "upstream.region": "--region",
    "upstream.signing": "--signing",
    "upstream.ca_file": "--ca-file",
    "credentials.directory": "--credentials-directory",
    "cache.ttl_seconds": "--cache-ttl-seconds",
    "server.listen": "--listen",
    "server.admin_listen": "--admin-listen",
    "log.level": "--log-level",
    "log.format": "--log-format",
}
"""The keys that have a flag. No secret has one: an argument is seen by every process of the machine."""


def flag_of(dotted: str) -> str:
    """The flag of a key; empty where it has none."""
    return FLAGS.get(dotted, "")


def _from_file(file: Path, known: Mapping[str, Key]) -> dict[str, _Given]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError("--config", f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError("--config", f"{file} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError("--config", f"{file} is not TOML: {error}") from None
    given = {}
    sections = get_type_hints(Config)
    for section, table in tables.items():
        if section not in sections:
            raise ConfigurationError(section, f"is not a key of the configuration{_near(section, sections)} ({file})")
        if not isinstance(table, dict):
            raise ConfigurationError(section, f"must be a table ({file})")
        for name, value in table.items():
            dotted = f"{section}.{name}"
            if dotted not in known:
                raise ConfigurationError(dotted, f"is not a key of the configuration{_near(dotted, known)} ({file})")
            given[dotted] = _Given(value, f"file {file}", textual=False)
    return given


def _from_environment(environ: Mapping[str, str], known: Mapping[str, Key]) -> dict[str, _Given]:
    variables = {key.variable: dotted for dotted, key in known.items()}
    given = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in _OTHER_VARIABLES or _OF_KUBERNETES.fullmatch(variable):
            continue
        if variable not in variables:
            raise ConfigurationError(
                variable, f"is not a variable of the configuration{_near(variable, [*variables, *_OTHER_VARIABLES])}"
            )
        given[variables[variable]] = _Given(value, f"environment {variable}", textual=True)
    return given


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def _with(config: Config, key: Key, given: _Given) -> Config:
    """The configuration with one value set. Raises :class:`ConfigurationError` where it has a wrong type."""
    try:
        value = msgspec.convert(given.value, key.type, strict=not given.textual)
    except msgspec.ValidationError:
        value = None
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        shown = "" if key.secret else f", not {given.value!r}"
        raise ConfigurationError(key.dotted, f"must be {expected(key)}{shown} (from {given.origin})")
    section = msgspec.structs.replace(getattr(config, key.section), **{key.name: value})
    return msgspec.structs.replace(config, **{key.section: section})


_KINDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def expected(key: Key) -> str:
    """What the value of a key must be, in words."""
    kind, bounds = key.type.__origin__, key.type.__metadata__[0]
    if issubclass(kind, StrEnum):
        return "one of " + ", ".join(kind)
    words = _KINDS[kind]
    if bounds.gt is not None:
        words += f" above {bounds.gt}"
    if bounds.ge is not None:
        words += f" from {bounds.ge}"
    if bounds.le is not None:
        words += f" up to {bounds.le}"
    return words
