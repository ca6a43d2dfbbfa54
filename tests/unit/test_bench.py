"""What the benchmarks make of their figures: no run of them is needed for that."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import lanes, page, without
from bench.parts import CORES, QUICK, ROOT, Figure, tied

READ = Figure("a read", 950.0, "/s", 0.95, "bare echo", 1.0, spread=0.04, row="cached")
LATE = Figure("p99", 1300.0, "µs", 1.3, "1000 µs", 1.0, at_most=True, row="latency", limit="≤ 1000 µs")


def row_of(key: str, *figures: Figure) -> str:
    what = next(one.what for one in page.GOALS if one.key == key)
    lines = page.summary({"some": figures}).splitlines()
    return next(line for line in lines if line.startswith(f"| {what} |")).rpartition(" | ")[2].removesuffix(" |")


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ([], "not measured"),
        ([replace(READ, ratio=1.0)], "met"),
        ([replace(READ, ratio=0.985), replace(READ, ratio=1.1)], "within noise"),
        ([READ, replace(READ, ratio=1.0)], "**missed** by 1 of 2"),
        ([replace(READ, ratio=0.7, spread=2.0)], "**missed**"),
        ([replace(READ, goal=None)], "not measured"),
    ],
)
def test_a_goal_is_met_or_missed_as_its_figures_are(figures: list[Figure], verdict: str) -> None:
    assert row_of("cached", *figures) == verdict


def test_what_is_missed_is_told_with_its_reason_and_in_units_that_readers_expect() -> None:
    told = page.summary({"some": [LATE]})
    assert "- p99: 1,300 µs, the goal is ≤ 1000 µs. " in told
    assert next(one.why for one in page.GOALS if one.key == "latency") in told
    assert not any(one.why in told for one in page.GOALS if one.key != "latency")


def test_what_is_taken_out_to_see_what_it_gains_is_there(tmp_path: Path) -> None:
    changes = {change for load in without.LOADS for change in load.changes} | set(lanes.WITHOUT)
    assert len(changes) > 8
    for place, change in enumerate(changes):
        root = without.copy([change], tmp_path / str(place))
        text = (root / change.file).read_text()
        assert text != (ROOT / change.file).read_text()
        compile(text, change.file, "exec")


def test_a_base_that_is_far_from_the_committed_one_is_told() -> None:
    base = replace(READ, ratio=1.0, of="itself", goal=None)
    assert page.strayed([base], {base.what: 1000.0}) == []
    assert "-37%" in page.strayed([base], {base.what: 1500.0})[0]


def test_a_check_that_looks_at_nothing_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert page.check(QUICK, {"features": [replace(READ, goal=None)]}) == 1
    assert page.check(QUICK, {"features": [replace(READ, goal=None)], "peers": [READ]}) == 0
    assert (
        "nothing to check in features\nbench: 1 of 1 are no worse than so many times their goal: 1 than 2"
        in capsys.readouterr().out
    )


@pytest.mark.skipif(not CORES, reason="the system does not tell cores")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_stays_on_its_core_and_out_of_reach_of_control_c() -> None:
    script = "import os; print(os.sched_getaffinity(0), os.getpgid(0) == os.getpid())"
    command = [sys.executable, "-c", script]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, **tied(CORES[-1]))
    assert shown.stdout.split() == [f"{{{CORES[-1]}}}", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_process_ends_with_the_one_that_started_it() -> None:
    script = (
        "import subprocess, time; from bench.parts import tied\n"
        "subprocess.Popen(['sleep', '600'], **tied())\n"
        "print('started', flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        parent.kill()
        assert parent.stdout.read() == b""  # that is, nobody has it open any more
