"""Measures everything, and writes docs/performance.md with its figures beside it.

python -m bench.page             all of it, some twenty minutes; writes the page
python -m bench.page --quick     the same in two minutes, to look at; writes nothing
python -m bench.page --check     as quick, and fails where a ratio is worse than half of its goal
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import anatomy, lanes, memory, reads, start, upstream, without
from bench.parts import FULL, QUICK, ROOT, Figure, Pace
from bench.plot import bars

PAGE = ROOT / "docs" / "performance.md"
DATA = ROOT / "docs" / "performance.json"
IMAGES = ROOT / "docs" / "images"
HEAD = """\
# Performance

`make bench` measures this and writes this page, in {minutes} minutes; `make bench-quick` measures the same in
three, and writes nothing. The ratios are what counts: figures of one run may be compared with each other, those of two
machines may not. Of each round each contender gets a short turn, so that noise hits all alike; what is told is the
median over the rounds, and the spread is half the distance of the quartiles. The server has one core, the load, a
program in Go, another. `before` is the ratio of the last commit, from [performance.json](performance.json).

This run: {machine}.

![calls a second](images/performance-reads.svg)

![CPU of a cached read by feature](images/performance-features.svg)
"""
Figures = Sequence[Figure]


@dataclass(frozen=True)
class Section:
    """A table of the page, and how its figures are got: ``measure`` takes those of earlier sections too."""

    name: str
    title: str
    text: str
    measure: Callable[[Pace, Mapping[str, Figures]], Figures]


def _cpu(pace: Pace, known: Mapping[str, Figures]) -> Figures:
    return reads.cpu_of_one(pace, known["upstream"][0].value)


SECTIONS = (
    Section(
        "peers",
        "Cached reads",
        "`GetCheckpoint` of what is cached, by a gateway as users run it, which checks and counts: one on whose unix\n"
        "socket everybody may call, and one that looks who calls; beside a bare grpcio server that answers with the\n"
        "request, and beside servers in Go. All get the same calls, each with a token, and each server has one core.\n"
        "What grpcio itself costs for a call is its limit.",
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
        "kernel's is gRPC's: its core, its Cython and its Python.",
        lambda pace, known: anatomy.figures(pace),
    ),
    Section(
        "without",
        "What the way of a call owes to what",
        "The gateway beside itself without one thing at a time. What gained less than 3% is not there: a frozen or\n"
        "absent collector, another switch interval, counters without a lock, more or fewer threads.",
        lambda pace, known: without.figures(pace),
    ),
    Section(
        "batches", "A hundred keys in one call", "Keys a second, all cached.", lambda pace, known: reads.batches(pace)
    ),
    Section(
        "latency",
        "How long a cached read takes",
        "1,000 a second, whether they are answered or not, each timed from when it was to begin. The echoes tell\n"
        "what of that is the load, the machine and the library.",
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
        "A caller that waits for each answer before it commits again meets every second write: when one ends, the\n"
        "first to come back starts the next, and the others wait for the one after. Callers that commit while an\n"
        "answer is under way, as a consumer does that commits each record and does not wait, fold into every write.",
        lambda pace, known: lanes.figures(pace),
    ),
    Section(
        "upstream",
        "A read of DIS",
        "CPU in the client, all in one process in turns. The signature of the gateway's client is made anew for each\n"
        "call, and its answer checked.",
        lambda pace, known: upstream.figures(pace),
    ),
    Section("cpu", "A cached read beside a read by the SDK", "CPU for each.", _cpu),
    Section(
        "growth",
        "Growth",
        "Many keys are a million, 100,000 with `--quick`.",
        lambda pace, known: reads.growth(pace),
    ),
    Section(
        "memory",
        "Memory",
        "The cache and its bookkeeping in a process of its own. An hour of churn is 3.6 million reads and commits,\n"
        "done as fast as they go; with `--quick` a tenth of that.",
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
    return f"{'≤' if one.at_most else '≥'} {one.goal:g}{'' if one.met else ' **missed**'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def committed() -> dict[str, dict[str, float]]:
    """The ratios of the last commit, by section and by what they are of."""
    shown = subprocess.run(
        ["git", "show", f"HEAD:{DATA.relative_to(ROOT)}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if shown.returncode:
        return {}
    sections = json.loads(shown.stdout)["sections"]
    return {
        name: {one["what"]: one["ratio"] for one in figures if "ratio" in one} for name, figures in sections.items()
    }


def measured(pace: Pace, wanted: Sequence[Section]) -> dict[str, Figures]:
    """The figures of each section, printed as they come."""
    before = committed()
    known: dict[str, Figures] = {}
    for section in wanted:
        began = time.monotonic()
        known[section.name] = section.measure(pace, known)
        print(f"\n## {section.title} ({time.monotonic() - began:.0f} s)\n", flush=True)
        print(table(known[section.name], before.get(section.name, {})), flush=True)
    return known


def collapsed(pace: Pace, known: Mapping[str, Figures]) -> list[str]:
    """What is worse than half of its goal, and is again when it is measured a second time."""
    found = []
    for section in SECTIONS:
        bad = {one.what for one in known.get(section.name, ()) if one.collapsed}
        if bad:
            again = section.measure(pace, known)
            found += [f"{section.title}: {one.what}: {one.ratio:.2f} of {one.of}, the goal is {one.goal:g}"
                      for one in again if one.what in bad and one.collapsed and one.ratio is not None]  # fmt: skip
    return found


def write(known: Mapping[str, Figures], seconds: float) -> None:
    """The page, the figures as JSON, and the pictures."""
    before = committed()
    machine = f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}"
    text = HEAD.format(machine=machine, minutes=round(seconds / 60))
    for section in SECTIONS:
        words = f"{section.text}\n\n" if section.text else ""
        text += f"\n## {section.title}\n\n{words}{table(known[section.name], before.get(section.name, {}))}"
    PAGE.write_text(text, encoding="utf-8")
    figures = {name: [one.as_json() for one in some] for name, some in known.items()}
    data: dict[str, Any] = {"machine": machine, "sections": figures}
    DATA.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    first = [
        (one.what.split(":")[0], one.value, one.what.startswith(("gateway:", "gateway,"))) for one in known["peers"][:5]
    ]
    picture = bars("cached reads a second, 16 callers on one connection, one core", first, "/s")
    (IMAGES / "performance-reads.svg").write_text(picture, encoding="utf-8")
    costs = [(one.what, one.value, True) for one in known["features"]]
    picture = bars("CPU of the server for a cached read", costs, "µs")
    (IMAGES / "performance-features.svg").write_text(picture, encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> int:
    parser = argparse.ArgumentParser(description="measure the gateway beside its peers")
    parser.add_argument("--quick", action="store_true", help="in two minutes, and write nothing")
    parser.add_argument("--check", action="store_true", help="as --quick; fail where something has collapsed")
    parser.add_argument("--only", nargs="+", metavar="SECTION", choices=[one.name for one in SECTIONS], default=[])
    options = parser.parse_args()
    quick = options.quick or options.check
    pace = QUICK if quick else FULL
    wanted = [one for one in SECTIONS if not options.only or one.name in options.only]
    if any(one.name == "cpu" for one in wanted) and not any(one.name == "upstream" for one in wanted):
        parser.error("cpu needs upstream")
    began = time.monotonic()
    known = measured(pace, wanted)
    seconds = time.monotonic() - began
    print(f"{seconds:.0f} s")
    if not quick and not options.only:
        write(known, seconds)
    if not options.check:
        return 0
    found = collapsed(pace, known)
    goals = sum(one.goal is not None for figures in known.values() for one in figures)
    for line in found:
        print(f"collapsed: {line}", file=sys.stderr)
    print(f"bench: {goals - len(found)} passed, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
