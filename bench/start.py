"""What a gateway costs before it has done anything: from the start of its process to serving, and its idle memory."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time

import psutil

from bench.lanes import Row, running

ROUNDS = 9
SECONDS_GOAL = 0.8
MEBIBYTES_GOAL = 64.0
_IDLE_SECONDS = 0.5


def rows() -> list[Row]:
    """Seconds and MiB, and what they are of their goals."""
    seconds, mebibytes = [], []
    settings = {
        "DISGW_UPSTREAM__ENDPOINT": "https://dis.example.com",
        "DISGW_UPSTREAM__PROJECT_ID": "0" * 32,
        "DISGW_UPSTREAM__REGION": "bench",
        "DISGW_CREDENTIALS__ACCESS_KEY": "bench",
        "DISGW_CREDENTIALS__SECRET_KEY": "bench",
        "DISGW_SERVER__ADMIN_LISTEN": "127.0.0.1:0",
        "DISGW_SERVER__QUIET_SECONDS": "0",
    }
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as work:
            began = time.monotonic()
            command = [sys.executable, "-m", "gateway.cli", "serve", "--listen", f"unix://{work}/gateway.sock"]
            with running(*command, **settings) as serving:
                assert serving.stderr is not None
                while "serving" not in (line := serving.stderr.readline()):
                    if not line:
                        raise RuntimeError("the gateway did not start")
                seconds.append(time.monotonic() - began)
                time.sleep(_IDLE_SECONDS)
                mebibytes.append(psutil.Process(serving.pid).memory_info().rss / 2**20)
    start, memory = statistics.median(seconds), statistics.median(mebibytes)
    return [
        Row("start to serving, seconds", start, start / SECONDS_GOAL, f"{SECONDS_GOAL:g} s"),
        Row("idle memory (RSS), MiB", memory, memory / MEBIBYTES_GOAL, f"{MEBIBYTES_GOAL:g} MiB"),
    ]
