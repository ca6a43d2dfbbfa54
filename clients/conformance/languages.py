"""A language: what its ``conformance.toml`` says, whether its toolchain is here, and its commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.conformance import ending

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "clients"
BUILDS = ROOT / ".cache" / "clients"

CHECK_SECONDS = 60
BUILD_SECONDS = 1200


class BadLanguage(Exception):
    """A ``conformance.toml`` that cannot be used, and why."""


class CommandFailed(Exception):
    """A command of the build or of the unit tests failed: which one, and what it printed."""


@dataclass(frozen=True)
class Need:
    """A tool that must be here."""

    check: tuple[str, ...]
    """It exits with 0 where the tool is here."""
    install: str
    """What to install where not."""
    at_least: str = ""
    """The lowest version that will do; then the check prints the one that is here, as the first number."""

    @classmethod
    def of(cls, content: dict[str, Any]) -> Need:
        """Raises TypeError, KeyError or ValueError."""
        one = cls(check=_words(content.pop("check")), install=content.pop("install"), **content)
        if one.at_least and not re.fullmatch(r"[0-9]+(\.[0-9]+)*", one.at_least):
            raise ValueError(f"{one.at_least!r} is no version")
        return one

    def missing(self, printed: str) -> str:
        """What to install, if what the check printed is not enough; else nothing."""
        if not self.at_least:
            return ""
        # The colours of a terminal have numbers, too.
        found = re.search(r"[0-9]+(\.[0-9]+)*", re.sub(r"\x1b\[[0-9;]*m", "", printed))
        if found and _version(found[0]) >= _version(self.at_least):
            return ""
        return f"{self.install} (here is {found[0] if found else 'no version'})"


@dataclass(frozen=True)
class Language:
    """One folder of ``clients/``."""

    folder: Path
    name: str
    debian: tuple[str, ...]
    needs: tuple[Need, ...]
    builds: tuple[tuple[str, ...], ...]
    tests: tuple[tuple[str, ...], ...]
    transcript: tuple[str, ...]
    example: tuple[str, ...]
    slow_example: tuple[str, ...]
    environment: dict[str, str]

    @classmethod
    def load(cls, folder: Path) -> Language:
        """Raises :class:`BadLanguage`."""
        try:
            return cls._of(folder, tomllib.loads((folder / "conformance.toml").read_text()))
        except KeyError as error:
            raise BadLanguage(f"{folder.name}/conformance.toml: there is no {error.args[0]}") from None
        except (OSError, TypeError, ValueError) as error:
            raise BadLanguage(f"{folder.name}/conformance.toml: {error}") from None

    @classmethod
    def _of(cls, folder: Path, content: dict[str, Any]) -> Language:
        names = {"{build}": str(BUILDS / folder.name), "{python}": sys.executable, "{root}": str(ROOT)}
        filled = _filled(content, names)
        language = cls(
            folder=folder,
            name=filled.pop("language"),
            debian=_words(filled.pop("debian", [])),
            needs=tuple(Need.of(one) for one in filled.pop("needs")),
            builds=_commands(filled.pop("build")),
            tests=_commands(filled.pop("test", [])),
            transcript=_words(filled.pop("transcript")),
            example=_words(filled.pop("example")),
            slow_example=_words(filled.pop("slow_example", [])),
            environment=filled.pop("environment", {}),
        )
        if filled:
            raise ValueError(f"what is {', '.join(filled)}?")
        return language

    def environ(self) -> dict[str, str]:
        """The environment of its commands: nothing that configures a gateway is in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DISGW_")}
        return {**kept, **self.environment}

    def missing(self) -> list[str]:
        """What is to be installed."""
        return [install for install in map(self._missing, self.needs) if install]

    def build(self) -> None:
        """Raises :class:`CommandFailed`."""
        (BUILDS / self.folder.name).mkdir(parents=True, exist_ok=True)
        for command in self.builds:
            self._run(command)

    def test(self) -> None:
        """Its unit tests. Raises :class:`CommandFailed`, also where it has none."""
        if not self.tests:
            raise CommandFailed("conformance.toml has no test")
        for command in self.tests:
            self._run(command)

    def _run(self, command: tuple[str, ...]) -> None:
        log = BUILDS / f"{self.folder.name}.log"
        with log.open("w") as output:
            try:
                code, _ = self._finished(command, BUILD_SECONDS, stdout=output, stderr=subprocess.STDOUT)
                problem = f"exit code {code}" if code else ""
            except (OSError, subprocess.TimeoutExpired) as error:
                problem = str(error)
        if problem:
            raise CommandFailed(f"{' '.join(command)}: {problem}\n{log.read_text(errors='replace')[-4000:]}")

    def _missing(self, need: Need) -> str:
        try:
            code, printed = self._finished(
                need.check, CHECK_SECONDS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, errors="replace"
            )
        except (OSError, subprocess.TimeoutExpired):
            return need.install
        return need.install if code else need.missing(printed)

    def _finished(self, command: tuple[str, ...], seconds: float, **options: Any) -> tuple[int, str]:
        """The exit code, and what it printed to a pipe."""
        process = ending.start(command, cwd=self.folder, env=self.environ(), stdin=subprocess.DEVNULL, **options)
        try:
            printed, _ = process.communicate(timeout=seconds)
        except BaseException:
            ending.kill(process)
            process.communicate()
            raise
        finally:
            ending.gone(process)
        return process.returncode, printed or ""


def folders() -> list[Path]:
    """The folders that have a ``conformance.toml``."""
    return sorted(found.parent for found in CLIENTS.glob("*/conformance.toml"))


def _commands(value: Any) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list of commands")
    return tuple(_words(one) for one in value)


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{value!r} is no list of strings")
    return tuple(value)


def _filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, names) for one in value]
    if isinstance(value, str):
        for placeholder, text in names.items():
            value = value.replace(placeholder, text)
    return value


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))
