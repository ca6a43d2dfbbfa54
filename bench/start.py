"""What a gateway costs before it has done anything: from the start of its process to serving, and its idle memory."""

from __future__ import annotations

import statistics
import tempfile
import time

from bench.parts import Figure, Pace, gateway, spread

SECONDS_GOAL = 0.8
MEBIBYTES_GOAL = 64.0
_IDLE_SECONDS = 0.5


def figures(pace: Pace) -> list[Figure]:
    """Seconds and MiB, and what they are of their goals."""
    seconds, mebibytes = [], []
    for _ in range(pace.rounds):
        with tempfile.TemporaryDirectory() as work:
            began = time.monotonic()
            with gateway("https://dis.example.com", f"unix://{work}/gateway.sock") as server:
                seconds.append(time.monotonic() - began)
                time.sleep(_IDLE_SECONDS)
                mebibytes.append(server.memory() / 2**20)
    start, memory = statistics.median(seconds), statistics.median(mebibytes)
    return [
        Figure("start to serving", start, "s", start / SECONDS_GOAL, f"{SECONDS_GOAL:g} s", 1.0, at_most=True,
               spread=spread(seconds), row="start", limit=f"≤ {SECONDS_GOAL:g} s"),
        Figure("idle memory (RSS)", memory, "MiB", memory / MEBIBYTES_GOAL, f"{MEBIBYTES_GOAL:g} MiB", 1.0,
               at_most=True, spread=spread(mebibytes), row="memory", limit=f"≤ {MEBIBYTES_GOAL:g} MiB"),
    ]  # fmt: skip
