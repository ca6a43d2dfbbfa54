"""Processes whose output is read as it comes, each wait with an end; and a gateway with its emulator as such."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from clients.conformance import ending
from clients.conformance.languages import ROOT

WAIT_SECONDS = 60
_EVERY_SECONDS = 0.05


class WentWrong(Exception):
    """A process did not do what it must: what it should have done, and what it printed."""


class Process:
    """A process, and the lines of its standard output with the time of each. Errors go to ``errors``."""

    def __init__(self, name: str, command: list[str], folder: Path, environ: dict[str, str], errors: Path) -> None:
        self.lines: list[str] = []
        self._name = name
        self._errors = errors
        self._queue: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
        with errors.open("a") as output:
            self._process = ending.start(
                command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def next_line(self, seconds: float = WAIT_SECONDS) -> tuple[float, str] | None:
        """The next line, and when it came; None after the last one. Raises :class:`WentWrong` if none comes in time."""
        try:
            return self._read_line(seconds)
        except queue.Empty:
            raise self.wrong(f"printed nothing for {seconds:g} s") from None

    def wait_for(self, fits: Callable[[str], bool], what: str, seconds: float = WAIT_SECONDS) -> str:
        """The next line that fits. Raises :class:`WentWrong`."""
        until = time.monotonic() + seconds
        while True:
            try:
                found = self._read_line(until - time.monotonic())
            except queue.Empty:
                raise self.wrong(f"has not printed {what} within {seconds:g} s") from None
            if found is None:
                raise self.wrong(f"ended without {what}")
            if fits(found[1]):
                return found[1]

    def watch(self, seconds: float, enough: Callable[[], bool]) -> None:
        """Take note of the lines that came so far, and of those that come meanwhile, until it is enough."""
        until = time.monotonic() + seconds
        with contextlib.suppress(queue.Empty):
            while not enough() and self._read_line(until - time.monotonic()) is not None:
                pass

    def signal(self, number: int) -> None:
        """Send a signal to it."""
        self._process.send_signal(number)

    def finish(self, seconds: float = WAIT_SECONDS) -> int:
        """Wait until it has ended; its exit code. Raises :class:`WentWrong`."""
        until = time.monotonic() + seconds
        try:
            while self._read_line(until - time.monotonic()) is not None:
                pass
            code = self._process.wait(max(until - time.monotonic(), _EVERY_SECONDS))
        except (queue.Empty, subprocess.TimeoutExpired):
            raise self.wrong(f"has not ended within {seconds:g} s") from None
        ending.gone(self._process)
        return code

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        ending.kill(self._process)
        self._process.wait()
        ending.gone(self._process)
        self._reader.join(WAIT_SECONDS)

    def wrong(self, problem: str) -> WentWrong:
        """What went wrong with it, with all that it printed."""
        printed = "\n".join(self.lines[-30:])
        errors = self._errors.read_text(errors="replace")[-2000:]
        return WentWrong(f"{self._name} {problem}. It printed:\n{printed}\n{errors}".rstrip())

    def _read_line(self, seconds: float) -> tuple[float, str] | None:
        found = self._queue.get(timeout=max(seconds, 0))
        if found:
            self.lines.append(found[1])
        else:
            self._queue.put(None)  # it stays at the end
        return found

    def _read(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                for line in lines:
                    self._queue.put((time.monotonic(), line.rstrip("\n")))
        self._queue.put(None)


@dataclass(frozen=True)
class Commit:
    """A commit as it came to DIS, and what DIS answered: an HTTP status, 0 while it has not."""

    number: int
    status: int

    @property
    def accepted(self) -> bool:
        """Whether it is stored."""
        return 200 <= self.status <= 299


class Backend:
    """A gateway and an emulator of DIS, processes of their own, that nobody has used before. Ends with ``with``."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1:0", **configuration: str) -> None:
        """``configuration`` is that of the gateway, as in its environment, over what is usual here."""
        self._folder = folder
        self._listen = listen
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DISGW_")}
        keys = {"DISGW_CREDENTIALS__ACCESS_KEY": "CONFORMANCE", "DISGW_CREDENTIALS__SECRET_KEY": os.urandom(20).hex()}
        # Asked to stop, it would serve those who stay connected for longer than anybody wants to watch.
        self._environ = {**kept, **keys, "PYTHONUNBUFFERED": "1", "DISGW_SERVER__GRACE_SECONDS": "1", **configuration}
        self._emulator: Process | None = None
        self._gateway: Process | None = None
        self.emulator = ""
        """URL of the emulator."""
        self.target = ""
        """The gateway, as gRPC names it."""

    def __enter__(self) -> Self:
        try:
            self._begin_emulator()
            self.begin_gateway()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._gateway, self._emulator):
            if process is not None:
                process.kill()

    def begin_gateway(self) -> None:
        """Start it, on the address that it had before; returns when it serves."""
        arguments = ["serve", "--listen", self._listen, "--admin-listen", "", "--log-format", "json"]
        log = self._folder / "gateway.log"
        written = log.stat().st_size if log.exists() else 0
        self._gateway = self._start("gateway", arguments, log)
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            for line in log.read_bytes()[written:].decode(errors="replace").splitlines():
                if '"serving"' in line and line.endswith("}"):
                    self.target = json.loads(line)["listen"][0]
                    return
            time.sleep(_EVERY_SECONDS)
        raise self._gateway.wrong("does not serve")

    def signal_gateway(self, number: int) -> None:
        """Send it a signal."""
        self._running().signal(number)

    def end_gateway(self, number: int) -> int:
        """Send it a signal, and wait until it has ended; its exit code."""
        self._running().signal(number)
        return self._running().finish()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the emulator's control API; what it answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.emulator}/_emulator/{path}", data=data, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def stored(self, stream: str, app: str) -> int | None:
        """The checkpoint of partition 0 as DIS has it."""
        found = self.control("GET", "")["streams"].get(stream, {"checkpoints": {}})["checkpoints"]
        number = found.get(app, {}).get("shardId-0000000000")
        return None if number is None else int(number)

    def commits(self, stream: str) -> list[Commit]:
        """Those that came to DIS for a stream, in this order."""
        requests = self.control("GET", "requests")
        sent = [one for one in requests if one["method"] == "POST" and one["path"].endswith("/checkpoints")]
        commits = [(json.loads(one["body"]), one["status"]) for one in sent]
        return [Commit(int(body["sequence_number"]), how) for body, how in commits if body["stream_name"] == stream]

    def _running(self) -> Process:
        if self._gateway is None:
            raise ValueError("there is no gateway")
        return self._gateway

    def _begin_emulator(self) -> None:
        self._emulator = self._start(
            "emulator", ["emulator", "--port", "0", "--auto-create"], self._folder / "emulator.log"
        )
        for name in ("ENDPOINT", "PROJECT_ID", "REGION"):
            variable = f"DISGW_UPSTREAM__{name}"
            self._environ[variable] = _exported(self._emulator, variable)
        self.emulator = self._environ["DISGW_UPSTREAM__ENDPOINT"]

    def _start(self, name: str, arguments: list[str], errors: Path) -> Process:
        command = [sys.executable, "-m", "gateway.cli", *arguments]
        return Process(name, command, ROOT, self._environ, errors)


def _exported(process: Process, variable: str) -> str:
    line = process.wait_for(lambda one: one.startswith(f"export {variable}="), variable)
    return line.partition("=")[2]
