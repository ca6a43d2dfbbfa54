"""A language: what its ``conformance.toml`` says, whether its toolchain is here, and its commands."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "clients"
BUILDS = ROOT / ".cache" / "clients"

CHECK_SECONDS = 60
BUILD_SECONDS = 1200


class BuildFailed(Exception):
    """A command of the build failed: which one, and what it printed."""


@dataclass(frozen=True)
class Language:
    """One folder of ``clients/``."""

    folder: Path
    name: str
    debian: tuple[str, ...]
    needs: tuple[tuple[tuple[str, ...], str], ...]
    """Commands that exit with 0 where the toolchain is here, and what to install where not."""
    builds: tuple[tuple[str, ...], ...]
    transcript: tuple[str, ...]
    example: tuple[str, ...]
    environment: dict[str, str]

    @classmethod
    def load(cls, folder: Path) -> Language:
        """Raises ``KeyError`` for a file that lacks something, and ``ValueError`` for one that has too much."""
        build = BUILDS / folder.name
        build.mkdir(parents=True, exist_ok=True)
        content = tomllib.loads((folder / "conformance.toml").read_text())
        filled = _filled(content, {"{build}": str(build), "{python}": sys.executable, "{root}": str(ROOT)})
        language = cls(
            folder=folder,
            name=filled.pop("language"),
            debian=tuple(filled.pop("debian", ())),
            needs=tuple((tuple(one["check"]), one["install"]) for one in filled.pop("needs")),
            builds=tuple(tuple(one) for one in filled.pop("build")),
            transcript=tuple(filled.pop("transcript")),
            example=tuple(filled.pop("example")),
            environment=filled.pop("environment", {}),
        )
        if filled:
            raise ValueError(f"{folder.name}/conformance.toml: what is {', '.join(filled)}?")
        return language

    def environ(self) -> dict[str, str]:
        """The environment of its commands: nothing that configures a gateway is in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DISGW_")}
        return {**kept, **self.environment}

    def missing(self) -> list[str]:
        """What is to be installed."""
        return [install for check, install in self.needs if not self._works(check)]

    def build(self) -> None:
        """Raises :class:`BuildFailed`."""
        for command in self.builds:
            log = BUILDS / f"{self.folder.name}.log"
            with log.open("w") as output:
                try:
                    done = subprocess.run(
                        command,
                        cwd=self.folder,
                        env=self.environ(),
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        timeout=BUILD_SECONDS,
                        check=False,
                    )
                    problem = f"exit code {done.returncode}" if done.returncode else ""
                except (OSError, subprocess.TimeoutExpired) as error:
                    problem = str(error)
            if problem:
                raise BuildFailed(f"{' '.join(command)}: {problem}\n{log.read_text(errors='replace')[-4000:]}")

    def _works(self, check: tuple[str, ...]) -> bool:
        try:
            done = subprocess.run(
                check,
                cwd=self.folder,
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=CHECK_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def known() -> list[Language]:
    """All that have a ``conformance.toml``, in the order of their folders."""
    return [Language.load(found.parent) for found in sorted(CLIENTS.glob("*/conformance.toml"))]


def _filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, names) for one in value]
    if isinstance(value, str):
        for placeholder, text in names.items():
            value = value.replace(placeholder, text)
    return value
