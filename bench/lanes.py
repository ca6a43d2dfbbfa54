"""How much the commit lanes win: acknowledgements a second of many callers, against one caller at a time.

A gateway in a process of its own, behind it a DIS that answers every commit after 20 ms.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.parts import ROOT, Figure, Pace, Server, dis, gateway, peer, spread
from bench.reads import POLLER
from bench.without import Change, copy

DELAY = 0.02
CONNECTIONS = 64
PHYSICAL = CONNECTIONS / DELAY
"""What so many connections can carry in a second."""
HOT_GOAL = 50.0
_BATCHERS = 8
"""Callers that each send batches, for partitions of their own: one alone waits for DIS most of the time."""
_ECHOED = (16, 64)
"""With so many callers an echo is at its best."""
LINGERING = Change("lingering", "gateway/checkpoints/lane.py", "_LINGER_SHARE = 0.75\n", "_LINGER_SHARE = 0.0\n")
NO_THREADS = Change(
    "streams that need no threads", "gateway/rpc/server.py", "threads=self._arrivals is None", "threads=True"
)
_ONE = "one key, one caller at a time"
_UNARY = "one key, 64 callers, unary calls"
_STREAMED = "one key, 64 callers on one stream"
_MANY = "one key, 64 callers on one stream, each with 4 commits under way"
_KEYS = "1,000 keys in one batch", "1,000 keys over one stream"
_BATCHES = "commits in batches of 1,000 for 8 partitions, 8 callers"
_ECHO = "unary calls of an echo in Go, 16 or 64 callers, whichever is more"
_TOGETHER = f"bare grpcio echo, {POLLER}: 64 callers that wait for each other and then 20 ms"
WITHOUT = {LINGERING: (_UNARY, _STREAMED), NO_THREADS: (_MANY,)}
"""What is measured without these, too"""


def figures(pace: Pace) -> list[Figure]:
    """Commits of one key, of many, and of some, beside what they are to be compared with."""
    rates, overtaken = _measured(pace)
    result = [Figure(_ONE, statistics.median(rates[_ONE]), "/s", 1.0, "itself")]
    for name in (_UNARY, _STREAMED, _MANY):
        figure = _against(name, rates, _ONE, "one caller")
        result.append(replace(figure, goal=HOT_GOAL, slack=2.5, row="hot"))
        result += [_against(_less(name, one), rates, _ONE, "one caller") for one in WITHOUT if name in WITHOUT[one]]
        if name == _UNARY:
            share = 100 * statistics.median(overtaken)
            result.append(Figure("of the unary ones, answered that a higher number was first", share, "%"))
    result.append(_against(_TOGETHER, rates, _ONE, "one caller"))
    for name in _KEYS:
        value, of = statistics.median(rates[name]), f"{PHYSICAL:,.0f}/s, what 64 connections can"
        result.append(Figure(name, value, "/s", value / PHYSICAL, of, 0.8, spread=spread(rates[name]), row="keys"))
    result.append(Figure(_ECHO, statistics.median(rates[_ECHO]), "/s", 1.0, "itself"))
    figure = _against(_BATCHES, rates, _ECHO, "echo in Go")
    return [*result, replace(figure, goal=1.0, row="commits")]


def _measured(pace: Pace) -> tuple[dict[str, list[float]], list[float]]:
    """How many a second of each, by round; and the share of the unary ones that were overtaken."""
    seconds = f"{max(0.8, 2 * pace.seconds):g}"
    stream = ("-mode", "hotstream", "-seconds", seconds)
    ways: dict[str, Sequence[str]] = {
        _ONE: ("-mode", "hot", "-callers", "1", "-seconds", seconds),
        _UNARY: ("-mode", "hot", "-seconds", seconds),
        _STREAMED: stream,
        _MANY: (*stream, "-window", "4"),
        _KEYS[0]: ("-mode", "batch", "-callers", "1", "-rounds", "3"),
        _KEYS[1]: ("-mode", "stream", "-callers", "1", "-rounds", "3"),
        _BATCHES: ("-mode", "batch", "-callers", str(_BATCHERS), "-spread", "8", "-rounds", "20"),
    }
    overtaken: list[float] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(dis(DELAY))
        turns: dict[str, Callable[[], float]] = {}

        def contender(name: str, root: Path = ROOT) -> Server:
            settings = {"upstream__pool_size": str(CONNECTIONS), "cache__max_entries": "100000"}
            server = stack.enter_context(gateway(url, f"unix://{folder}/{name}.sock", root=root, **settings))
            server.load("-mode", "batch", "-callers", "1", "-rounds", "0")  # opens the connections to DIS
            return server

        whole = contender("whole")
        for name, options in ways.items():
            turns[name] = partial(_rate, whole, options, overtaken if name == _UNARY else [])
        for place, (change, names) in enumerate(WITHOUT.items()):
            server = contender(str(place), copy([change], Path(folder) / f"without{place}"))
            for name in names:
                turns[_less(name, change)] = partial(_rate, server, ways[name], [])
        echo = stack.enter_context(peer("go-echo", f"unix://{folder}/echo.sock"))
        turns[_ECHO] = lambda: max(_calls(echo, callers, f"{pace.seconds:g}") for callers in _ECHOED)
        waits = ("--together", f"{DELAY * 1000:g}")
        library = stack.enter_context(peer("bare", f"unix://{folder}/library.sock", *waits, like_ours=True))
        turns[_TOGETHER] = partial(_calls, library, 64, seconds)
        rates: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(max(1, pace.rounds // 3)):
            for name, turn in turns.items():
                rates[name].append(turn())
    return rates, overtaken


def _less(name: str, change: Change) -> str:
    return f"{name}, without {change.what}"


def _rate(server: Server, options: Sequence[str], overtaken: list[float]) -> float:
    """Acknowledged commits a second; tells ``overtaken`` the share of those that were."""
    done = server.load(*options)
    late = done.get("overtaken", 0)
    overtaken.append(late / (done["acknowledged"] + late))
    return float(done["acknowledged"]) / float(done["seconds"])


def _against(what: str, rates: Mapping[str, Sequence[float]], base: str, of: str) -> Figure:
    """How many a second, and what that is of others within a round."""
    ratios = [value / other for value, other in zip(rates[what], rates[base], strict=True)]
    return Figure(what, statistics.median(rates[what]), "/s", statistics.median(ratios), of, spread=spread(ratios))


def _calls(echo: Server, callers: int, seconds: str) -> float:
    done = echo.load("-callers", str(callers), "-seconds", seconds)
    return float(done["calls"]) / float(done["seconds"])
