"""A runner that is asked to end leaves nothing: no process that it has started, and no folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients.conformance.languages import ROOT

WAIT_SECONDS = 50
RUNNER = """
import sys
from pathlib import Path
from clients.conformance import ending, languages, run
languages.BUILDS = Path(sys.argv[1], "builds")
ending.upon_signals()
run.put_through(Path(sys.argv[1]))
"""
STAYS = """["{python}", "-c", "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"]"""
NOTHING = """["{python}", "-c", ""]"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Its name is short, as it is part of the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="ending-") as name:
        yield Path(name)
        for number in running(Path(name)):
            os.kill(number, signal.SIGKILL)


def runner(folder: Path, temporary: Path, build: str) -> subprocess.Popen[str]:
    content = f"""
language = "Test"
needs = []
build = [{build}]
test = [{NOTHING}]
transcript = {STAYS}
example = {STAYS}
"""
    (folder / "conformance.toml").write_text(content)
    environ = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUNNER, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def running(temporary: Path) -> list[int]:
    """The processes that have this folder in their environment: those of the runner, however far down."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={temporary}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("building", [True, False])
def test_nothing_stays(tmp_path: Path, temporary: Path, number: int, building: bool) -> None:
    process = runner(tmp_path, temporary, STAYS if building else NOTHING)
    if building:
        wait_until(lambda: len(running(temporary)) == 3)  # the runner, the command, and what that has started
    else:
        # The runner, three gateways, three emulators, and four programs, each with what it has started.
        wait_until(lambda: len(running(temporary)) == 15)
        assert len(list(temporary.iterdir())) == 4
    process.send_signal(number)
    said, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 128 + number
    assert (said, errors) == ("", f"ended by {signal.Signals(number).name}\n")
    assert list(temporary.iterdir()) == []
    wait_until(lambda: not running(temporary))  # what has been killed is not gone at once
