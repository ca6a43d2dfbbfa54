"""What the runner has started and made, so that nothing of it stays when a signal ends the runner."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

_lock = threading.Lock()
"""Held while something begins, and for good from when the runner ends: nothing begins any more."""
_DIES_SECONDS = 5
_processes: set[subprocess.Popen[Any]] = set()
_folders: set[Path] = set()


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """A process in a group of its own, so that those that it starts end with it. `gone` is for who has seen it end."""
    with _lock:
        process: subprocess.Popen[Any] = subprocess.Popen(command, start_new_session=True, **options)
        _processes.add(process)
    return process


def gone(process: subprocess.Popen[Any]) -> None:
    """It has ended."""
    _processes.discard(process)


def kill(process: subprocess.Popen[Any]) -> None:
    """End a process at once, if it has not ended, and those that it has started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new one, which goes with ``with``."""
    with _lock:
        made = tempfile.TemporaryDirectory(prefix="conformance-")
        _folders.add(Path(made.name))
    try:
        with made:
            yield Path(made.name)
    finally:
        _folders.discard(Path(made.name))


def upon_signals() -> None:
    """From now on SIGTERM and SIGINT end the runner with all that it has started, and remove its folders."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _begin_to_end)


def _begin_to_end(number: int, _: FrameType | None) -> None:
    # In a thread of its own, as what is interrupted here may have the lock.
    threading.Thread(target=_end, args=(number,)).start()


def _end(number: int) -> NoReturn:
    _lock.acquire()
    print(f"ended by {signal.Signals(number).name}", file=sys.stderr, flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is killed here has not failed
    ended = list(_processes)
    for process in ended:
        kill(process)
    for process in ended:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_DIES_SECONDS)
    for one in list(_folders):
        for _ in range(100):  # somebody may still be writing
            shutil.rmtree(one, ignore_errors=True)
            if not one.exists():
                break
    os._exit(128 + number)  # at once: others wait for what has ended
