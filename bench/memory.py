"""What a cached key weighs, and whether memory grows with time: the cache and its bookkeeping, fed in this process.

python -m bench.memory keys COUNT     bytes for each key
python -m bench.memory churn COUNT    MiB after a tenth of so many operations, and after all of them
"""

from __future__ import annotations

import gc
import itertools
import json
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import psutil

from bench.assembled import fill, key, service
from bench.parts import ROOT, Figure, Pace, dis, gateway, tied
from gateway.checkpoints.waits import Caller
from gateway.model import Checkpoint, Commit, SequenceNumber
from gateway.telemetry.metrics import Metrics

BYTES_GOAL = 600.0
_NO_GROWTH = 1.1
"""Slack of a goal that is a little above 1: a fifth more is growth."""
_HOUR = 3_600_000
"""Operations of an hour at 1,000 a second."""
_MANY = 1_000_000
"""Cached keys; an eighth of them fills the tables of the cache just as much."""
_READS = 300_000
"""Reads through a gateway; with a fifth of them 200 bytes each would be seen."""
_CHURNED = 10_000
"""Keys that the cache has room for while it churns, in a tenth of those that are asked for."""
_FOREVER = Caller(1e12)


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def weigh(count: int) -> float:
    """Bytes of the process for each of so many cached keys."""
    cached = service(count)
    fill(cached, 1000)
    before = _resident()
    fill(cached, count)
    assert cached.cached() == count
    return (_resident() - before) / (count - 1000)


def churn(count: int) -> tuple[float, float]:
    """MiB after a tenth of the operations and after all: reads and commits of ten times the keys there is room for."""
    metrics = Metrics("bench")
    cached = service(_CHURNED, metrics)
    dice = random.Random(1)
    numbers = itertools.count(1)
    early = 0
    for turn in range(count // 10):
        keys = [key(dice.randrange(10 * _CHURNED)) for _ in range(9)]
        cached.get_many(keys, _FOREVER)
        one = key(dice.randrange(10 * _CHURNED))
        cached.commit(Commit.of(Checkpoint(one, SequenceNumber(10**9 + next(numbers)))), _FOREVER)
        if turn == count // 100:
            early = _resident()
    return early / 2**20, _resident() / 2**20


def served(count: int) -> tuple[float, float]:
    """MiB of a gateway before it answers so many cached reads, and after."""
    load = ("-callers", "16", "-seconds", "2")
    with tempfile.TemporaryDirectory() as folder, dis() as url, gateway(url, f"unix://{folder}/g.sock") as server:
        server.load(*load, "-prime")
        before, reads = server.memory(), 0
        while reads < count:
            reads += server.load(*load)["calls"]
        return before / 2**20, server.memory() / 2**20


def figures(pace: Pace) -> list[Figure]:
    """Each measured in a process of its own; at the same time, as nothing of it is timed."""
    operations, reads = round(_HOUR * pace.share), round(_READS * max(pace.share, 0.2))
    with ThreadPoolExecutor() as side:
        weighed = side.submit(_alone, "keys", _MANY if pace.share >= 1 else _MANY // 8)
        churned = side.submit(_alone, "churn", operations)
        before, after = served(reads)
        each, (early, late) = weighed.result()[0], churned.result()
    return [
        Figure("a cached key, where there are many", each, "bytes", each / BYTES_GOAL, f"{BYTES_GOAL:g} bytes", 1.0,
               at_most=True, row="memory", limit=f"≤ {BYTES_GOAL:g} bytes"),
        Figure("after a tenth of an hour of churn, on ten times the keys there is room for", early, "MiB"),
        Figure("after the whole of it", late, "MiB", late / early, "a tenth of them", 1.05, at_most=True,
               slack=_NO_GROWTH, row="memory"),
        Figure("a gateway after its first calls", before, "MiB"),
        Figure(f"after {reads:,} cached reads of the same keys", after, "MiB", after / before, "that", 1.05,
               at_most=True, slack=_NO_GROWTH / 1.05, row="memory"),
    ]  # fmt: skip


def _alone(what: str, count: int) -> list[float]:
    command = [sys.executable, "-m", "bench.memory", what, str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=1200, **tied())
    return [float(value) for value in json.loads(done.stdout)]


if __name__ == "__main__":
    count = int(sys.argv[2])
    print(json.dumps([weigh(count)] if sys.argv[1] == "keys" else churn(count)))
