"""Cached reads: beside the bare library and servers in Go, by feature, by size, and how long they take."""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.parts import (
    SERVER_CORE,
    Contest,
    Figure,
    Pace,
    Server,
    all_of,
    awake,
    dis,
    first_line,
    gateway,
    peer,
    process,
    spread,
)
from gateway.rpc.environment import DEFAULTS

TOKEN = "only-for-the-benchmark-" + "x" * 32
LOADS = (
    ("16 callers, one connection", ("-callers", "16")),
    ("64 callers, one connection", ("-callers", "64")),
    ("64 callers, 64 connections", ("-callers", "64", "-connections", "64")),
)
BARE, CHECKING = "bare grpcio echo, 4 threads", "gateway, callers by token"
POLLER = "with the gateway's poller"
"""Said of a bare server whose gRPC was told what the gateway tells its own: who looks after the sockets."""
TTL = 2.0
"""Seconds that a gateway caches a checkpoint by default."""
UNCACHED_GOAL = 4.0
"""A hundred reads over 64 connections take two turns."""
EXPIRING_KEYS = (16, 100, 1000)
_CALLERS = f"""\
[[caller]]
name = "bench"
token_sha256 = ["{hashlib.sha256(TOKEN.encode()).hexdigest()}"]
streams = ["bench"]
apps = ["bench"]
access = "write"
"""


@contextmanager
def assembled(*options: str) -> Iterator[Server]:
    """Of a gateway, the server and the cache alone."""
    command = [sys.executable, "-m", "bench.assembled", "127.0.0.1:0", *options]
    with process(SERVER_CORE, *command, **DEFAULTS) as one:
        yield Server(first_line(one), one.pid)


def checked(work: Path) -> dict[str, str]:
    """Callers show a token, and may do what the file says."""
    (work / "callers.toml").write_text(_CALLERS)
    return {"callers__file": str(work / "callers.toml"), "callers__unix_socket": "check"}


def is_full(pace: Pace) -> bool:
    """Whether there is time for all of it."""
    return pace.share >= 1


def against_peers(pace: Pace) -> list[Figure]:
    """All features on, caller check included, beside the bare library; and what servers in Go do."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, dis() as url:
        work = Path(folder)

        def at(name: str) -> str:
            return f"unix://{work}/{name}.sock"

        contenders = {
            BARE: peer("bare", at("bare")),
            "gateway, callers not looked at": gateway(url, at("gateway")),
            CHECKING: gateway(url, at("checking"), **checked(work)),
            "gateway-shaped server in Go": peer("go-native", at("go-native")),
            "echo in Go": peer("go-echo", at("go-echo")),
            f"{BARE}, {POLLER}": peer("bare", at("like-ours"), like_ours=True),
            f"echo of bytes in the gateway's way, {POLLER}": peer("bare", at("bytes"), "--arrivals", like_ours=True),
        }
        shown = ("-token", TOKEN)  # all get the same calls, whether they look at the token or not
        with all_of(contenders) as servers:
            for place, (what, options) in enumerate(LOADS):
                # in a short run what has no goal has one load
                some = servers if is_full(pace) or not place else {name: servers[name] for name in (BARE, CHECKING)}
                contest = Contest(some).run(pace, *options, *shown)
                for name in some:
                    goal = 1.0 if name == CHECKING else None
                    of = "itself" if name == BARE else "bare echo"
                    figure = contest.figure(f"{name}: {what}", name, BARE, of, goal)
                    figures.append(replace(figure, row="cached" if goal else ""))
    return figures + expiring(pace)


def expiring(pace: Pace) -> list[Figure]:
    """Of a gateway whose keys are cached as long as they are by default: each is read of DIS every 2 seconds.

    A turn is as long as that, and begins with keys that have expired, so that each is read once in it.
    """
    rates: dict[int, list[float]] = {keys: [] for keys in (EXPIRING_KEYS if is_full(pace) else EXPIRING_KEYS[-1:])}
    bare: list[float] = []
    load = ("-callers", "16", "-token", TOKEN)
    with tempfile.TemporaryDirectory() as folder, dis() as url:
        contenders = {
            "bare": peer("bare", f"unix://{folder}/bare.sock"),
            "gateway": gateway(url, f"unix://{folder}/gateway.sock", cache__ttl_seconds=f"{TTL:g}"),
        }
        with all_of(contenders) as servers:
            for server in servers.values():
                server.load(*load, "-seconds", "0.2")  # warms up
            for _ in range(max(1, pace.rounds // 3)):
                bare.append(_rate(servers["bare"].load(*load, "-seconds", f"{pace.seconds:g}")))
                for keys, values in rates.items():
                    done = servers["gateway"].load(*load, "-keys", str(keys), "-seconds", f"{TTL:g}")
                    values.append(_rate(done))
    figures = []
    for keys, values in rates.items():
        ratios = [rate / base for rate, base in zip(values, bare, strict=True)]
        what = f"gateway, callers not looked at, keys that expire after {TTL:g} s: 16 callers, {keys:,} keys"
        figures.append(
            Figure(what, statistics.median(values), "/s", statistics.median(ratios), "bare echo", spread=spread(ratios))
        )
    return figures


def _rate(done: Mapping[str, Any]) -> float:
    return float(done["calls"]) / float(done["seconds"])


def by_feature(pace: Pace) -> list[Figure]:
    """What each feature costs, in CPU of the server for each call."""
    from tests.certificates import Authority  # needs a library of the tests

    options = ("-callers", "16")
    with tempfile.TemporaryDirectory() as folder, dis() as url:
        work = Path(folder)
        authority = Authority()
        certificate, secret = authority.server().write(work / "tls")
        (work / "ca.pem").write_bytes(authority.cert)
        tcp = "127.0.0.1:0"
        contenders = {
            "server and cache alone": assembled(),
            "and metrics": assembled("--metrics"),
            "all of a gateway, TCP": gateway(url, tcp),
            "that, over a unix socket": gateway(url, f"unix://{work}/plain.sock"),
            "that, requests not met before (validated anew)": gateway(url, tcp),
            "that, callers checked by token": gateway(url, tcp, ("-token", TOKEN), **checked(work)),
            "that, by TLS": gateway(
                url,
                tcp,
                ("-ca", str(work / "ca.pem")),
                server__tls_cert_file=str(certificate),
                server__tls_key_file=str(secret),
            ),
            "that, a tenth of calls traced (OTLP)": gateway(url, tcp, telemetry__otlp_endpoint=url),
        }
        with all_of(contenders) as servers:
            new = "that, requests not met before (validated anew)"
            if not is_full(pace):
                del servers[new]  # in a short turn all that is read is soon met again
            contest = Contest(servers).run(pace, *options, **{new: (*options, "-keys", "40000")})
    base = contest.cpu["server and cache alone"]
    figures = []
    for name, cpu in contest.cpu.items():
        ratios = [one / other for one, other in zip(cpu, base, strict=True)]
        micro = statistics.median(cpu) * 1e6
        of = "itself" if cpu is base else "server and cache alone"
        figures.append(Figure(name, micro, "µs", statistics.median(ratios), of, spread=spread(ratios)))
    return figures


def batches(pace: Pace) -> list[Figure]:
    """A hundred keys in one call: all cached, and none."""
    with tempfile.TemporaryDirectory() as folder, dis() as url, gateway(url, f"unix://{folder}/g.sock") as server:
        any_of = ("-mode", "batchget", "-callers", "4", "-keys", "1000")
        contest = Contest({"one": server, "sets": server, "any": server}).run(
            pace, one=("-callers", "16"), sets=(*any_of, "-sets"), any=any_of
        )
    what = "keys by BatchGetCheckpoints of 100, 4 callers"
    hundred = contest.figure(f"{what}: ten batches again and again", "sets", "one", "GetCheckpoint", 30.0, times=100)
    return [
        contest.figure("GetCheckpoint, 16 callers", "one", "one", "itself"),
        replace(hundred, row="batch-get"),
        contest.figure(f"{what}: any of a thousand batches", "any", "one", "GetCheckpoint", times=100),
        *_uncached(pace),
    ]


def _uncached(pace: Pace) -> list[Figure]:
    """How long a hundred take that are read of DIS, beside one."""
    ones, hundreds = list[float](), list[float]()
    seconds = ("-callers", "1", "-seconds", f"{max(0.4, pace.seconds):g}")  # some calls of each
    with (
        tempfile.TemporaryDirectory() as folder,
        dis(0.02) as url,
        gateway(url, f"unix://{folder}/g.sock", cache__ttl_seconds="0", upstream__pool_size="64") as server,
    ):
        server.load("-mode", "batchget", "-callers", "1", "-seconds", "0.2")  # opens the connections to DIS
        for _ in range(pace.rounds):
            ones.append(server.load(*seconds)["p50"] / 1000)
            hundreds.append(server.load("-mode", "batchget", *seconds)["p50"] / 1000)
    ratios = [hundred / one for hundred, one in zip(hundreds, ones, strict=True)]
    return [
        Figure("GetCheckpoint of what is not cached, DIS at 20 ms", statistics.median(ones), "ms", 1.0, "itself"),
        Figure("BatchGetCheckpoints of 100 that are not, over 64 connections to DIS", statistics.median(hundreds), "ms",
               statistics.median(ratios), "one", UNCACHED_GOAL, at_most=True, spread=spread(ratios)),
    ]  # fmt: skip


def cpu_of_one(pace: Pace, sdk: float) -> list[Figure]:
    """CPU of the gateway for a cached read; ``sdk`` is what `huaweicloudsdkdis` takes for one, in µs."""
    with tempfile.TemporaryDirectory() as folder, dis() as url, gateway(url, f"unix://{folder}/g.sock") as server:
        contest = Contest({"gateway": server}).run(pace, "-callers", "16")
    served, called = contest.cpu["gateway"], contest.load["gateway"]
    both = [one + other for one, other in zip(served, called, strict=True)]
    result = [Figure("a read by `huaweicloudsdkdis`, in the consumer", sdk, "µs", 1.0, "itself")]
    for what, values, goal, row in (
        ("a cached read, in the gateway", served, 0.25, "cpu"),
        ("a cached read, in the gateway and in its caller in Go", both, None, ""),
    ):
        micro = statistics.median(values) * 1e6
        result.append(
            Figure(
                what, micro, "µs", micro / sdk, "`huaweicloudsdkdis`", goal, at_most=True, spread=spread(values),
                row=row,
            )
        )  # fmt: skip
    return result


def latencies(pace: Pace) -> list[Figure]:
    """1,000 reads a second, whether answered or not, each timed from when it was to begin.

    On the machine as it is, and where there is time with cores that are kept awake.
    """
    figures = _latencies(pace, "", held=True)
    if is_full(pace) and hasattr(os, "SCHED_IDLE"):
        with awake():
            figures += _latencies(pace, ", cores awake", held=False)
    return figures


def _latencies(pace: Pace, how: str, *, held: bool) -> list[Figure]:
    """``how`` is added to the name of each figure; ``held``: to the goals."""
    seconds = f"{10 if is_full(pace) else 1}"
    with tempfile.TemporaryDirectory() as folder, dis() as url:
        contenders = {
            "echo in Go, unix socket": peer("go-echo", f"unix://{folder}/echo.sock"),
            "echo in Go, TCP": peer("go-echo", "127.0.0.1:0"),
            "bare grpcio echo, unix socket": peer("bare", f"unix://{folder}/bare.sock"),
            "gateway, unix socket": gateway(url, f"unix://{folder}/g.sock"),
            "gateway, TCP": gateway(url, "127.0.0.1:0"),
        }
        if not is_full(pace):
            del contenders["bare grpcio echo, unix socket"]
        with all_of(contenders) as servers:
            rounds: dict[str, list[Mapping[str, Any]]] = {name: [] for name in servers}
            for _ in range(max(3, pace.rounds // 2)):
                for name, server in servers.items():
                    rounds[name].append(server.load("-mode", "open", "-rate", "1000", "-seconds", seconds))
    figures: list[Figure] = []
    for name, taken in rounds.items():
        ours = name.startswith("gateway")
        figures += _percentiles(name + how, taken, ours and held)
        if ours:
            figures += _added(name + how, taken, rounds[name.replace("gateway", "echo in Go")])
        late = [one["late"]["p99"] for one in taken]
        what = f"{name}{how}, p99 of how late the load began"
        figures.append(Figure(what, statistics.median(late), "µs", spread=spread(late)))
    return figures


def _percentiles(name: str, taken: Sequence[Mapping[str, Any]], held: bool) -> list[Figure]:
    figures = []
    for part, goal, slack in (("p50", None, 1.0), ("p90", 500.0, 5.0), ("p99", 1000.0, 10.0)):
        values = [one[part] for one in taken]
        figure = Figure(f"{name}, {part}", statistics.median(values), "µs", spread=spread(values))
        if held and goal:
            ratio = figure.value / goal
            figure = replace(
                figure, ratio=ratio, of=f"{goal:g} µs", goal=1.0, at_most=True, slack=slack, row="latency",
                limit=f"≤ {goal:,.0f} µs",
            )  # fmt: skip
        figures.append(figure)
    return figures


def _added(name: str, taken: Sequence[Mapping[str, Any]], echoed: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """What is more than the echo in Go took within a round."""
    figures = []
    for part in ("p90", "p99"):
        values = [one[part] - other[part] for one, other in zip(taken, echoed, strict=True)]
        what = f"{name}, added to the echo in Go, {part}"
        figures.append(Figure(what, statistics.median(values), "µs", spread=abs(spread(values))))
    return figures


def growth(pace: Pace) -> list[Figure]:
    """From a thousand keys to many, and from one connection to a thousand, which the bare library is asked for too."""
    many = 1_000_000 if is_full(pace) else 100_000
    figures = []
    with all_of({"few": _filled(1000), "many": _filled(many)}) as servers:
        servers["all"] = servers["many"]
        contest = Contest(servers).run(pace, "-callers", "16", filled=True, all=("-callers", "16", "-keys", str(many)))
        figures += [
            contest.figure("1,000 keys cached", "few", "few", "itself"),
            _grown(contest, "many keys cached, 1,000 of them read", "many", "few", "1,000 keys"),
            _grown(contest, "many keys cached, all of them read in turn", "all", "few", "1,000 keys", slack=2.0),
        ]
    return figures + _many_connections(pace)


def _many_connections(pace: Pace) -> list[Figure]:
    """Of the gateway; and of the bare library, where there is time."""
    turns = ("-callers", "64", "-connections", "1000", "-rotate")
    hold = ("-mode", "hold", "-callers", "64", "-connections", "1000")
    with dis() as url, gateway(url, "127.0.0.1:0") as server, peer("bare", "127.0.0.1:0", like_ours=True) as bare:
        contenders = {"one": server, "open": server, "all": server}
        if is_full(pace):
            contenders |= {"bare": bare, "bare_all": bare}
        contest = Contest(contenders).run(pace, "-callers", "64", open=hold, all=turns, bare_all=turns)
    figures = [
        contest.figure("64 callers, one connection", "one", "one", "itself"),
        _grown(contest, "64 callers on one of 1,000 connections", "open", "one", "one connection"),
        _grown(contest, "64 callers, 1,000 connections in turn", "all", "one", "one connection", slack=2.0),
    ]
    if is_full(pace):
        bare_is = f"bare grpcio echo, {POLLER}"
        figures += [
            contest.figure(f"{bare_is}: 64 callers, one connection", "bare", "bare", "itself"),
            contest.figure(f"{bare_is}: 64 callers, 1,000 connections in turn", "bare_all", "bare", "one connection"),
        ]
    return figures


def _filled(count: int) -> AbstractContextManager[Server]:
    return assembled("--metrics", "--fill", str(count))


def _grown(contest: Contest, what: str, name: str, base: str, of: str, slack: float = 1.2) -> Figure:
    return replace(contest.figure(what, name, base, of, 0.9), slack=slack, row="growth")


def stalled(pace: Pace) -> list[Figure]:
    """90% cached reads, 8% commits, 2% other reads, at a steady rate; then DIS stalls for 5 seconds."""
    values: list[tuple[float, float]] = []
    failed: list[float] = []
    for _ in range(max(1, pace.rounds // 3)):
        with ExitStack() as stack:
            folder, url = stack.enter_context(tempfile.TemporaryDirectory()), stack.enter_context(dis(0.02))
            server = stack.enter_context(gateway(url, f"unix://{folder}/g.sock"))
            done = server.load("-mode", "mixed", "-rate", "500", "-seconds", "10", "-keys", "1000", "-stall", url)
            values.append((done["well"]["p99"], done["stalled"]["p99"]))
            failed.append(100 * done["stalled"]["failed"] / done["stalled"]["others"])
    ratios = [stall / well for well, stall in values]
    return [
        Figure("p99 of cached reads, DIS at 20 ms", statistics.median(well for well, _ in values), "µs"),
        Figure(
            "p99 of cached reads while DIS stalls", statistics.median(stall for _, stall in values), "µs",
            statistics.median(ratios), "DIS at 20 ms", 2.0, at_most=True, spread=spread(ratios),
            slack=3.0, row="stall",
        ),
        Figure("commits and other reads that began while DIS stalled, and failed", statistics.median(failed), "%"),
    ]  # fmt: skip
