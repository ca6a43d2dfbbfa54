"""Measures everything, and writes docs/performance.md with its figures beside it.

python -m bench.page             all of it, some twenty minutes; writes the page
python -m bench.page --quick     what has a goal, in shorter turns, to look at; writes nothing
python -m bench.page --check     as quick, and fails where a ratio is worse than its goal by more than its margin
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import anatomy, cores, lanes, memory, reads, start, upstream, without
from bench.parts import CORES, FULL, LOAD, QUICK, ROOT, Figure, Pace, cramped
from bench.plot import bars

PAGE = ROOT / "docs" / "performance.md"
DATA = ROOT / "docs" / "performance.json"
IMAGES = ROOT / "docs" / "images"
HEAD = """\
# Performance

`make bench` measures this and writes this page, in {minutes} minutes; `make bench-quick` measures what has a goal, in
{quick}, and writes nothing; `.venv/bin/python -m bench.page --only latency` measures one section, in full (`--help`
names them). Where other things go on, times and tails are worth little. The ratios are what counts: figures of one
run may be compared with each other, those of two machines may not. Of each round each contender gets a short turn,
each round in another order, so that noise hits all alike. A value is the median over the rounds. A ratio is the
median of the ratios within a round, so not quite the ratio of two medians; its spread is half the distance of the
quartiles. A goal that is missed by no more than that, and by no more than a tenth, is within noise. The server has
one core, the load, a program in Go, another.
`before` is the ratio of the last commit, from [performance.json](performance.json).

What is cached stays cached: a gateway of the bench keeps what it has read for a day, where by default
(`cache.ttl_seconds`) it is two seconds, after which the next read of a key asks DIS again. What that makes of many keys
stands in the rows of keys that expire, in [the first table](#cached-reads).

This run: {machine}; the code is that of {code}.{warning}
"""
QUICK_MINUTES = "two to three"
PICTURES = """
![cached reads a second](images/performance-reads.svg)

![CPU of a cached read by feature](images/performance-features.svg)
"""
_OFF = 0.2
"""By how much a base may differ from its committed value before figures beside it are in doubt."""
Figures = Sequence[Figure]


@dataclass(frozen=True)
class Section:
    """A table of the page, and how its figures are got: ``measure`` takes those of earlier sections too."""

    name: str
    title: str
    text: str
    measure: Callable[[Pace, Mapping[str, Figures]], Figures]


@dataclass(frozen=True)
class Goal:
    """A row of the goals: the figures whose ``row`` is ``key`` tell whether it is met, and ``why`` where it is not."""

    key: str
    what: str
    words: str
    why: str = "No reason is known."


GOALS = (
    Goal(
        "cached",
        "cached `GetCheckpoint` on one core, with metrics, validation, caller check and health; 16 and 64 callers on "
        "one connection, and 64 connections",
        "≥ 1.0 of the bare echo",
        "Beside it stands a gateway that does not look who calls: the difference is what the check costs, and "
        "[the anatomy](#where-the-time-of-a-cached-read-goes) has it in µs, with what else a read takes.",
    ),
    Goal("cpu", "CPU of a cached read", "≤ 1/4 of a `huaweicloudsdkdis` read"),
    Goal(
        "latency",
        "a cached read at 1,000 a second in an open loop, unix socket and TCP",
        "p90 ≤ 0.5 ms, p99 ≤ 1 ms",
        "Told is all of the time, with what the load, the machine and the library take; a core that has nothing to do "
        "must first be woken, twice for each call. [The same table](#how-long-a-cached-read-takes) has what two echoes "
        "take that do nothing with a call, one in Go and one of bare grpcio, what the gateway adds to the one in Go, "
        "and the same with cores that are kept awake, as those of a busy node are.",
    ),
    Goal("miss", "CPU of a read of DIS, in the client", "≤ 0.4 of `huaweicloudsdkdis`"),
    Goal(
        "batch-get",
        "`BatchGetCheckpoints` of 100 cached keys, keys a second",
        "≥ 30 times unary calls",
        "A key in a batch takes some 1 µs. The quicker a call of one key is, the less a batch saves.",
    ),
    Goal(
        "commits",
        "commits in a stream or in batches, acknowledged a second",
        "≥ unary calls of an echo in Go",
        "The echo is taken at its best, with 64 callers, and does nothing with a call. A batch saves calls only: each "
        "of its commits is checked, put in its lane and answered by itself, in Python: that takes some 10 µs of the "
        "gateway's core, and a call of the echo 12.",
    ),
    Goal(
        "hot",
        "one hot key, 64 callers that commit, DIS at 20 ms",
        "≥ 50 times one at a time",
        "Nearly all are in each write, as their lane lingers for them; but before the next one 64 answers go out and "
        "64 commits come in, and over gRPC on one core that takes 6 to 9 ms beside the 20 of DIS, of which the goal "
        "leaves 6 or 7. [The same table](#commits-through-the-lanes) has a bare echo whose 64 callers wait for each "
        "other and then 20 ms. Those who do not wait with their next commit are served meanwhile.",
    ),
    Goal(
        "keys",
        "1,000 keys at once, DIS at 20 ms, 64 connections",
        "≥ 0.8 of 3,200/s",
        "Each of these commits is a request to DIS of its own, which takes some 250 µs of the gateway's one core, and "
        "over a stream two messages of gRPC as well, which take some 70 more: 3,200 a second leave 312. And an answer "
        "after 20 ms is heard of after 21 or 22, as the row of one caller at a time shows: that alone leaves 0.92.",
    ),
    Goal(
        "stall",
        "90% cached reads, 8% commits, 2% misses, and DIS stalls for 5 s",
        "p99 of cached reads ≤ 2 times the unstalled",
        "A p99 of 5 seconds is the slowest 22 or so of 2,250 reads: one pause of the machine is seen in it.",
    ),
    Goal(
        "memory",
        "memory: for each of a million cached keys; growth in an hour of churn, and in 300,000 reads; idle",
        "≤ 600 bytes; ≤ 5%; ≤ 64 MiB",
        "What an idle gateway holds is mostly the interpreter, gRPC and other libraries; what a cached key takes, and "
        "what grows, is the gateway's own.",
    ),
    Goal("start", "start to serving", "≤ 0.8 s"),
    Goal(
        "growth",
        "from a thousand keys to a million, from 1 connection to 1,000",
        "within 10%",
        "With 1,000 connections that are busy in turn gRPC itself takes longer: [the same table](#growth) has what a "
        "bare echo loses. With a million keys that are read in turn none is met again soon: what is remembered of "
        "reads, with their answers, has room for 4,096, so each request is read and each answer made anew, with data "
        "that is no longer near: what that takes [the table of features](#what-each-feature-costs) has too. A read "
        "that was met before takes less than it did, so the same surplus is a larger share of it.",
    ),
)


def _cpu(pace: Pace, known: Mapping[str, Figures]) -> Figures:
    return reads.cpu_of_one(pace, known["upstream"][0].value)


SECTIONS = (
    Section(
        "peers",
        "Cached reads",
        "`GetCheckpoint` of what is cached, by a gateway as users run it, which validates and counts: one on whose\n"
        "unix socket everybody may call, and one that looks who calls, which is what the goal is about; beside a bare\n"
        "grpcio server that answers with the request, and beside servers in Go. All get the same calls, each with a\n"
        "token, and each server has one core. The bare server is grpcio as it comes, and not the most that it can do:\n"
        "the gateway has gRPC's sockets looked after by the thread that takes the calls (it sets `GRPC_EXPERIMENTS`\n"
        "to `-event_engine_listener`, unless you set it), and so may others: what that makes of the bare server\n"
        "stands beside it, and an echo of raw bytes whose calls come as the gateway's do, answered by the thread that\n"
        "brings their message. Keys that expire do so after two seconds, as by default, and cost a read of DIS each\n"
        "time.",
        lambda pace, known: reads.against_peers(pace),
    ),
    Section(
        "features",
        "What each feature costs",
        "CPU of the server for one cached read, 16 callers on one connection.",
        lambda pace, known: reads.by_feature(pace),
    ),
    Section(
        "anatomy",
        "Where the time of a cached read goes",
        "CPU of the server for each, 16 callers on one connection, and what that is of the whole of a bare server's.\n"
        "The gateway's own code was called without gRPC, in a row, so with warm caches; of the rest, what is not the\n"
        "kernel's is gRPC's: its core, its Cython and its Python. What the kernel takes is counted in steps of 10 ms,\n"
        "so a short run leaves it out.",
        lambda pace, known: anatomy.figures(pace),
    ),
    Section(
        "without",
        "What the way of a call owes to what",
        "The gateway beside itself without one thing at a time. What gained less than 3% is not there: a frozen or\n"
        "absent collector, another switch interval, counters without a lock, or for one kind of event, more threads.\n"
        "Methods that gRPC's core knows stay: they are no more code than others. A goal is the most that\n"
        "may be left without the thing: where it is more, the thing gains nothing any more. What calls owe that have\n"
        "a thread (batches of what is not cached, lists, and all where grpcio is another than those known) is told of\n"
        "cached reads that have one.",
        lambda pace, known: without.figures(pace),
    ),
    Section(
        "batches",
        "A hundred keys in one call",
        "Keys a second where all are cached, and how long it takes where none is. Of a thousand keys there are ten\n"
        "batches with no key in common, as consumers ask for who have a hundred partitions each, again and again; and\n"
        "a thousand batches of a hundred keys that follow each other, of which few are remembered.",
        lambda pace, known: reads.batches(pace),
    ),
    Section(
        "latency",
        "How long a cached read takes",
        "1,000 a second, whether they are answered or not, each timed from when it was to begin. The echoes tell\n"
        "what of that is the load, the machine and the library. With *cores awake* something else runs on them that\n"
        "gives way at once (`SCHED_IDLE`): the machine then takes no time to wake them, which on virtual ones is much.",
        lambda pace, known: reads.latencies(pace),
    ),
    Section(
        "stall",
        "While DIS stalls",
        "500 calls a second: 90% cached reads, 8% commits, 2% reads of what is not cached. After 5 seconds DIS stops\n"
        "answering for 5 seconds.",
        lambda pace, known: reads.stalled(pace),
    ),
    Section(
        "lanes",
        "Commits through the lanes",
        f"Behind the gateway a DIS that answers each commit after {lanes.DELAY * 1000:g} ms, over at most "
        f"{lanes.CONNECTIONS}\nconnections: one key takes at most {1 / lanes.DELAY:g} commits a second one at a time, "
        f"many keys\n{lanes.PHYSICAL:,.0f}.\n\n"
        "Callers that wait for each answer before they commit again would meet every second write: when one ends,\n"
        "the first to come back starts the next, and the others wait for the one after. So a lane lingers for those\n"
        "of its last write, for three quarters of its time and at most 15 ms. Callers that commit while an answer is\n"
        "under way, as consumers do that commit each record and do not wait, fold into every write. Batches are those\n"
        "of 8 callers, each for 8 partitions of its own, and count from the first call to the last answer. Each of\n"
        "theirs must be acknowledged, or the run fails.",
        lambda pace, known: lanes.figures(pace),
    ),
    Section(
        "upstream",
        "A read of DIS",
        "CPU in the client, all in one process in turns. The signature of the gateway's client is made anew for each\n"
        "call, and its answer checked. A whole gateway that caches nothing is another process; its CPU is that of\n"
        "serving the call, too.",
        lambda pace, known: upstream.figures(pace),
    ),
    Section("cpu", "A cached read beside a read by the SDK", "CPU for each.", _cpu),
    Section(
        "cores",
        "More cores than one",
        "Elsewhere on this page the server has one core. Python runs one thread at a time, so more cores help little,\n"
        "and where threads hand the interpreter from core to core, that costs more than on one: so a call that is\n"
        "answered from the cache has one thread from its first byte to its last. Here the load, which keeps to its\n"
        "core, takes part of what the others have.",
        lambda pace, known: cores.figures(pace),
    ),
    Section(
        "growth",
        "Growth",
        "Many keys are a million, 100,000 with `--quick`, of the gateway's server, cache and metrics alone.\n"
        "The connections are those of a whole gateway.",
        lambda pace, known: reads.growth(pace),
    ),
    Section(
        "memory",
        "Memory",
        "The cache and its bookkeeping in a process of its own. An hour of churn is 3.6 million reads and commits,\n"
        "done as fast as they go; with `--quick` a tenth of that. Beside it a whole gateway, before and after many\n"
        "calls.",
        lambda pace, known: memory.figures(pace),
    ),
    Section("start", "A gateway that has nothing to do", "", lambda pace, known: start.figures(pace)),
)


def table(figures: Figures, before: Mapping[str, float]) -> str:
    """In Markdown; ``before`` has ratios by what they are of."""
    lines = ["| what | value | ratio | of | spread | goal | before |", "|---|---|---|---|---|---|---|"]
    for one in figures:
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        spread = f"±{one.spread / 2:.0%}" if one.spread else ""
        earlier = f"{before[one.what]:.2f}" if one.what in before else ""
        cells = (one.what, f"{_number(one.value)} {one.unit}", ratio, one.of, spread, _goal(one), earlier)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _goal(one: Figure) -> str:
    if one.goal is None:
        return ""
    judged = "" if one.met else " within noise" if one.in_noise else " **missed**"
    return _limit(one) + judged


def _limit(one: Figure) -> str:
    return one.limit or f"{'≤' if one.at_most else '≥'} {one.goal:g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@dataclass(frozen=True)
class Before:
    """What was committed last: ``ratios`` and ``values`` by section and by what they are of."""

    machine: str = ""
    ratios: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def committed() -> Before:
    """From the JSON of the last commit."""
    shown = _git("show", f"HEAD:{DATA.relative_to(ROOT)}")
    if not shown:
        return Before()
    data = json.loads(shown)

    def of(name: str) -> dict[str, dict[str, float]]:
        return {
            section: {one["what"]: one[name] for one in figures if name in one}
            for section, figures in data["sections"].items()
        }

    return Before(data["machine"], of("ratio"), of("value"))


def summary(known: Mapping[str, Figures]) -> str:
    """The goals, and what was measured of them; then each figure that misses its goal, and why."""
    lines = ["| what | goal | here | |", "|---|---|---|---|"]
    reasons = []
    for goal in GOALS:
        figures = [one for some in known.values() for one in some if one.row == goal.key and one.goal is not None]
        lines.append(f"| {goal.what} | {goal.words} | {_here(figures)} | {_verdict(figures)} |")
        missed = [one for one in figures if not one.met and not one.in_noise]
        if missed:
            told = "; ".join(f"{one.what}: {_told(one)}, the goal is {_limit(one)}" for one in missed)
            reasons.append(f"- {told}. {goal.why}")
    return "\n".join(lines) + "\n" + "".join(f"\n{reason}" for reason in reasons) + ("\n" if reasons else "")


def _verdict(figures: Figures) -> str:
    bad = [one for one in figures if not one.met]
    if not figures:
        return "not measured"
    if not bad:
        return "met"
    if all(one.in_noise for one in bad):
        return "within noise"
    count = sum(not one.in_noise for one in bad)
    return "**missed**" if count == len(figures) else f"**missed** by {count} of {len(figures)}"


def _here(figures: Figures) -> str:
    """From the least to the most of those that have the same goal."""
    groups: dict[str, list[Figure]] = {}
    for one in figures:
        groups.setdefault(_limit(one), []).append(one)
    parts = []
    for some in groups.values():
        ends = sorted(some, key=lambda one: one.value if one.limit else one.ratio or 0.0)
        low, high = _told(ends[0], unit=False), _told(ends[-1])
        parts.append(high if len(some) == 1 else f"{low} to {high}")
    return "; ".join(parts)


def _told(one: Figure, unit: bool = True) -> str:
    if not one.limit:
        return f"{one.ratio:.2f}"
    return f"{_number(one.value)} {one.unit}" if unit else _number(one.value)


def strayed(figures: Figures, values: Mapping[str, float]) -> list[str]:
    """Bases of a section that are far from their committed ``values``."""
    found = []
    for one in figures:
        change = one.value / values[one.what] - 1 if one.of == "itself" and one.what in values else 0.0
        if abs(change) > _OFF:
            found.append(
                f"{one.what}: {_number(one.value)} {one.unit}, where {_number(values[one.what])} {one.unit} stand "
                f"on the last page ({change:+.0%}): it has changed, or something else was going on, and this table may "
                "not be like others."
            )
    return found


def _shown(section: str, figures: Figures, before: Before, machine: str) -> str:
    """A table, and a warning before it where its bases are not as they were on the same machine."""
    values = before.values.get(section, {}) if before.machine == machine else {}
    warnings = "".join(f"**{one}**\n\n" for one in strayed(figures, values))
    return warnings + table(figures, before.ratios.get(section, {}))


def measured(pace: Pace, wanted: Sequence[Section]) -> dict[str, Figures]:
    """The figures of each section, printed as they come."""
    before, machine = committed(), _machine()
    known: dict[str, Figures] = {}
    for section in wanted:
        began = time.monotonic()
        known[section.name] = section.measure(pace, known)
        print(f"\n## {section.title} ({time.monotonic() - began:.0f} s)\n")
        print(_shown(section.name, known[section.name], before, machine), flush=True)
    return known


def collapsed(pace: Pace, known: Mapping[str, Figures]) -> list[Figure]:
    """What is worse than its goal by more than its margin, and is again when it is measured a second time."""
    found: list[Figure] = []
    for section in SECTIONS:
        bad = {one.what for one in known.get(section.name, ()) if one.collapsed}
        if bad:
            found += [one for one in section.measure(pace, known) if one.what in bad and one.collapsed]
    return found


def check(pace: Pace, known: Mapping[str, Figures]) -> int:
    """Say what has collapsed, and what was looked at; not 0 where something has, or nothing was looked at."""
    margins = Counter(one.slack for some in known.values() for one in some if one.goal is not None)
    idle = [name for name, some in known.items() if all(one.goal is None for one in some)]
    found = collapsed(pace, known)
    for one in found:
        print(f"collapsed: {one.what}: {one.ratio:.2f} of {one.of}, the goal is {_limit(one)}", file=sys.stderr)
    if idle:
        print(f"bench: nothing to check in {', '.join(idle)}")
    told = ", ".join(f"{count} than {slack:.3g}" for slack, count in sorted(margins.items()))
    count = margins.total()
    print(f"bench: {count - len(found)} of {count} are no worse than so many times their goal: {told or 'none'}")
    return 1 if found or not margins else 0


def write(known: Mapping[str, Figures], seconds: float, code: str) -> None:
    """The page, the figures as JSON, and the pictures. ``code`` is the commit that was measured."""
    before, machine = committed(), _machine()
    warning = f"\n\n**{cramped()}**" if cramped() else ""
    text = HEAD.format(machine=machine, code=code, minutes=round(seconds / 60), quick=QUICK_MINUTES, warning=warning)
    text += f"\n## The goals\n\n{summary(known)}{PICTURES}"
    for section in SECTIONS:
        words = f"{section.text}\n\n" if section.text else ""
        text += f"\n## {section.title}\n\n{words}{_shown(section.name, known[section.name], before, machine)}"
    PAGE.write_text(text, encoding="utf-8")
    figures = {name: [one.as_json() for one in some] for name, some in known.items()}
    data: dict[str, Any] = {"machine": machine, "sections": figures}
    DATA.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (IMAGES / "performance-reads.svg").write_text(_reads(known["peers"]), encoding="utf-8")
    costs = [(one.what, one.value, True) for one in known["features"]]
    picture = bars("CPU of the server for a cached read", costs, "µs")
    (IMAGES / "performance-features.svg").write_text(picture, encoding="utf-8")


def _reads(peers: Figures) -> str:
    """The gateway beside servers that have gRPC of the same kind; those in Go, which have not, in words."""
    load = peers[0].what.partition(": ")[2]
    rows = [(one.what.partition(": ")[0], one) for one in peers if one.what.endswith(f": {load}")]
    near = [(name, one.value, name.startswith("gateway")) for name, one in rows if not name.endswith("in Go")]
    far = [f"{name} {_number(one.value)} {one.unit}" for name, one in rows if name.endswith("in Go")]
    note = f"not drawn: {', '.join(far)}" if far else ""
    return bars(f"cached reads a second on one core, {load}", near, "/s", peers[0].value, note)


def _code() -> str:
    """The commit that is there now."""
    return _git("rev-parse", "--short", "HEAD").strip() or "no commit"


def _git(*command: str) -> str:
    """What git says; nothing where it cannot."""
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=False).stdout


def _machine() -> str:
    return f"{len(CORES) or '?'} cores, {_processor()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _options() -> argparse.Namespace:
    names = "\n".join(f"  {one.name:10} {one.title}" for one in SECTIONS)
    parser = argparse.ArgumentParser(
        description="measure the gateway beside its peers, in some twenty minutes, and write docs/performance.md",
        epilog=f"sections:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help=f"in {QUICK_MINUTES} minutes, and write nothing")
    parser.add_argument("--check", action="store_true", help="as --quick; fail where something has collapsed")
    parser.add_argument(
        "--only", nargs="+", metavar="SECTION", choices=[one.name for one in SECTIONS], default=[],
        help="these sections alone, and write nothing",
    )  # fmt: skip
    options = parser.parse_args()
    if "cpu" in options.only:
        options.only.append("upstream")  # what it is compared with
    if not Path(LOAD).exists():
        parser.error("the load is not built: run `make bench-quick`, or `go build` in bench/load as the Makefile does")
    return options


def _run(options: argparse.Namespace) -> int:
    quick = options.quick or options.check
    pace = QUICK if quick else FULL
    wanted = [one for one in SECTIONS if not options.only or one.name in options.only]
    if cramped():
        print(f"*** {cramped()} ***", file=sys.stderr)
    code, began = _code(), time.monotonic()
    known = measured(pace, wanted)
    seconds = time.monotonic() - began
    if not options.only:
        print(f"\n## The goals\n\n{summary(known)}")
    print(f"{seconds:.0f} s")
    if cramped():
        print(f"*** {cramped()} ***", file=sys.stderr)
    if not quick and not options.only:
        write(known, seconds, code)
    return check(pace, known) if options.check else 0


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _run(_options())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
