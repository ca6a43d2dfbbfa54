"""How much the commit lanes win: acknowledgements per second of many callers, against one caller at a time.

A gateway in a process of its own, behind it a DIS that answers every commit after 20 ms, in front a load in Go. Figures
of one run may be compared with each other; those of two machines may not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOAD = str(ROOT / ".cache" / "bench-load")
DELAY = 0.02
CONNECTIONS = 64


@dataclass(frozen=True)
class Row:
    """A line of the page."""

    what: str
    value: float
    ratio: float
    of: str


@contextmanager
def running(*command: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def gateway() -> Iterator[str]:
    """A gateway before a DIS that is slow; gives the address to call."""
    with tempfile.TemporaryDirectory() as work:
        target = f"unix://{work}/gateway.sock"
        with running(LOAD, "-mode", "dis", "-delay", f"{DELAY}s") as dis:
            assert dis.stdout is not None
            settings = {
                "DISGW_UPSTREAM__ENDPOINT": dis.stdout.readline().strip(),
                "DISGW_UPSTREAM__PROJECT_ID": "0" * 32,
                "DISGW_UPSTREAM__REGION": "bench",
                "DISGW_UPSTREAM__POOL_SIZE": str(CONNECTIONS),
                "DISGW_CREDENTIALS__ACCESS_KEY": "bench",
                "DISGW_CREDENTIALS__SECRET_KEY": "bench",
            }
            command = [sys.executable, "-m", "gateway.cli", "serve", "--listen", target, "--admin-listen", ""]
            with running(*command, **settings) as serving:
                assert serving.stderr is not None
                while "serving" not in (line := serving.stderr.readline()):
                    if not line:
                        raise RuntimeError("the gateway did not start")
                threading.Thread(target=serving.stderr.read, daemon=True).start()  # a full pipe would hold it up
                yield target


def rate(target: str, *options: str) -> float:
    """Acknowledgements a second."""
    done = subprocess.run([LOAD, "-target", target, *options], capture_output=True, text=True, check=True, timeout=300)
    result = json.loads(done.stdout)
    return float(result["acknowledged"]) / float(result["seconds"])


def measured(*options: str, rounds: int = 3) -> float:
    """The median of some runs, each with a gateway of its own."""
    rates = []
    for _ in range(rounds):
        with gateway() as target:
            rates.append(rate(target, *options))
            time.sleep(0.1)
    return sorted(rates)[len(rates) // 2]


def rows() -> list[Row]:
    """What is acknowledged a second, and what that is of what it is compared with."""
    one = measured("-mode", "hot", "-callers", "1", "-seconds", "3")
    physical = CONNECTIONS / DELAY
    hot = (
        ("one key, 64 callers, unary calls", ("-mode", "hot")),
        ("one key, 64 callers on one stream", ("-mode", "hotstream")),
        ("one key, 64 callers on one stream, each with 4 commits under way", ("-mode", "hotstream", "-window", "4")),
    )
    many = (("1,000 keys in one batch", "batch"), ("1,000 keys over one stream", "stream"))
    return [
        Row("one key, one caller at a time", one, 1.0, "itself"),
        *(
            Row(name, value, value / one, "one caller")
            for name, options in hot
            for value in (measured(*options, "-seconds", "3"),)
        ),
        *(
            Row(name, value, value / physical, "what 64 connections can")
            for name, mode in many
            for value in (measured("-mode", mode),)
        ),
    ]
