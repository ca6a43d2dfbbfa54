"""How much the commit lanes win: acknowledgements a second of many callers, against one caller at a time.

A gateway in a process of its own, behind it a DIS that answers every commit after 20 ms.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.parts import Figure, Pace, Server, dis, gateway, peer, spread
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


def _rate(done: Mapping[str, Any]) -> float:
    return float(done["acknowledged"]) / float(done["seconds"])


def figures(pace: Pace) -> list[Figure]:
    """Commits of one key, of many, and of some, beside what they are to be compared with."""
    seconds = f"{max(0.8, 2 * pace.seconds):g}"
    unary = "one key, 64 callers, unary calls"
    streamed = "one key, 64 callers on one stream"
    stream = ("-mode", "hotstream", "-seconds", seconds)
    ways: dict[str, Sequence[str]] = {
        "one key, one caller at a time": ("-mode", "hot", "-callers", "1", "-seconds", seconds),
        unary: ("-mode", "hot", "-seconds", seconds),
        streamed: stream,
        "one key, 64 callers on one stream, each with 4 commits under way": (*stream, "-window", "4"),
        "1,000 keys in one batch": ("-mode", "batch", "-callers", "1", "-rounds", "3"),
        "1,000 keys over one stream": ("-mode", "stream", "-callers", "1", "-rounds", "3"),
    }
    batches = ("-mode", "batch", "-callers", str(_BATCHERS), "-spread", "8", "-rounds", "20")
    rates: dict[str, list[float]] = {name: [] for name in ways}
    hasty: dict[str, list[float]] = {unary: [], streamed: []}
    folded, echoed, overtaken, together = list[float](), list[float](), list[float](), list[float]()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(dis(DELAY))
        settings = {"upstream__pool_size": str(CONNECTIONS), "cache__max_entries": "100000"}
        server = stack.enter_context(gateway(url, f"unix://{folder}/g.sock", **settings))
        root = copy([LINGERING], Path(folder) / "hasty")
        without = stack.enter_context(gateway(url, f"unix://{folder}/hasty.sock", root=root, **settings))
        echo = stack.enter_context(peer("go-echo", f"unix://{folder}/echo.sock"))
        library = stack.enter_context(
            peer("bare", f"unix://{folder}/library.sock", "--together", f"{DELAY * 1000:g}", like_ours=True)
        )
        server.load("-mode", "batch", "-callers", "1", "-rounds", "0")  # opens the connections to DIS
        for _ in range(max(1, pace.rounds // 3)):
            for name, options in ways.items():
                done = server.load(*options)
                rates[name].append(_rate(done))
                if name == unary:
                    overtaken.append(done["overtaken"] / (done["acknowledged"] + done["overtaken"]))
            for name, values in hasty.items():
                values.append(_rate(without.load(*ways[name])))
            together.append(_echo(library, 64, seconds))
            echoed.append(max(_echo(echo, callers, f"{pace.seconds:g}") for callers in _ECHOED))
            folded.append(_rate(server.load(*batches)))
    one, *hot = list(ways)[:4]
    result = [Figure(one, statistics.median(rates[one]), "/s", 1.0, "itself")]
    for name in hot:
        figure = _against(name, rates[name], rates[one], "one caller")
        result.append(replace(figure, goal=HOT_GOAL, slack=2.5, row="hot"))
        if name in hasty:
            result.append(_against(f"{name}, without {LINGERING.what}", hasty[name], rates[one], "one caller"))
        if name == unary:
            result.append(
                Figure("of the unary ones, answered that a higher number was first", _percent(overtaken), "%")
            )
    what = f"bare grpcio echo, {POLLER}: 64 callers that wait for each other and then 20 ms"
    result.append(_against(what, together, rates[one], "one caller"))
    for name in list(ways)[4:]:
        value = statistics.median(rates[name])
        result.append(
            Figure(name, value, "/s", value / PHYSICAL, f"{PHYSICAL:,.0f}/s, what 64 connections can", 0.8,
                   spread=spread(rates[name]), row="keys")
        )  # fmt: skip
    base = statistics.median(echoed)
    result.append(
        Figure("unary calls of an echo in Go, 16 or 64 callers, whichever is more", base, "/s", 1.0, "itself")
    )
    figure = _against("commits in batches of 1,000 for 8 partitions, 8 callers", folded, echoed, "echo in Go")
    return [*result, replace(figure, goal=1.0, row="commits")]


def _against(what: str, values: Sequence[float], bases: Sequence[float], of: str) -> Figure:
    """How many a second, and what that is of others within a round."""
    ratios = [value / base for value, base in zip(values, bases, strict=True)]
    return Figure(what, statistics.median(values), "/s", statistics.median(ratios), of, spread=spread(ratios))


def _echo(echo: Server, callers: int, seconds: str) -> float:
    done = echo.load("-callers", str(callers), "-seconds", seconds)
    return float(done["calls"]) / float(done["seconds"])


def _percent(shares: Sequence[float]) -> float:
    return 100 * statistics.median(shares)
