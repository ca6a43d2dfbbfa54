"""The conformance runner tells what is missing and what failed; and what the clients share is the same in each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clients.conformance import languages
from clients.conformance.checks import steps, stop
from clients.conformance.languages import CLIENTS, BuildFailed, Language, known
from clients.conformance.processes import Process, WentWrong
from clients.conformance.report import Outcome, table, verdict

ROWS = ["build", "1 get nothing", "2 commit"]


def test_every_client_is_known_to_the_runner() -> None:
    folders = {found.parent.name for found in CLIENTS.glob("*/README.md")} - {"conformance"}
    assert {one.folder.name for one in known()} == folders


def test_the_page_has_the_steps_of_the_file() -> None:
    page = (CLIENTS / "TRANSCRIPT.md").read_text().splitlines()
    rows = [line.split(" | ") for line in page if line.startswith("| ") and line[2].isdecimal()]
    assert [f"{row[0].removeprefix('| ')} {row[1]}" for row in rows] == steps()


def test_the_service_config_is_the_same_in_every_client() -> None:
    wanted = (CLIENTS / "service-config.json").read_bytes()
    ignored = {"node_modules", "target", "dist"}
    copies = [one for one in CLIENTS.glob("*/**/service-config.json") if not ignored & set(one.parts)]
    assert len(copies) >= 4
    assert [one for one in copies if one.read_bytes() != wanted] == []


def language(folder: Path, build: list[str], check: list[str]) -> Language:
    content = f"""
language = "Test"
needs = [{{ check = {check!r}, install = "the tool" }}]
build = [{build!r}]
transcript = ["{{build}}/transcript"]
example = ["example"]
environment = {{ WORD = "given" }}
"""
    (folder / "conformance.toml").write_text(content)
    return Language.load(folder)


@pytest.fixture(autouse=True)
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(languages, "BUILDS", tmp_path / "builds")
    return tmp_path / "builds"


def test_a_language_is_built_in_a_folder_of_its_own_with_its_environment(tmp_path: Path, builds: Path) -> None:
    script = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(os.environ['WORD'])"
    one = language(tmp_path, ["{python}", "-c", script, "{build}/built"], ["{python}", "-c", ""])
    assert one.missing() == []
    one.build()
    assert (builds / tmp_path.name / "built").read_text() == "given"
    assert one.transcript == (str(builds / tmp_path.name / "transcript"),)


@pytest.mark.parametrize("check", [["no-such-command-anywhere"], ["{python}", "-c", "raise SystemExit(1)"]])
def test_a_toolchain_that_is_not_here_is_named(tmp_path: Path, check: list[str]) -> None:
    assert language(tmp_path, [], check).missing() == ["the tool"]


def test_a_build_that_fails_shows_what_it_printed(tmp_path: Path) -> None:
    one = language(tmp_path, ["{python}", "-c", "raise SystemExit('it is broken')"], [])
    with pytest.raises(BuildFailed, match="it is broken"):
        one.build()


def test_an_unknown_word_in_a_language_is_refused(tmp_path: Path) -> None:
    language(tmp_path, [], [])
    file = tmp_path / "conformance.toml"
    file.write_text('surprise = "x"\n' + file.read_text())
    with pytest.raises(ValueError, match="surprise"):
        Language.load(tmp_path)


def test_a_process_that_ends_or_says_nothing_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('one line')"]
    process = Process("it", command, tmp_path, {}, tmp_path / "errors")
    with pytest.raises(WentWrong, match=r"(?s)ended without the word.*one line"):
        process.wait_for(lambda line: line == "the word", "the word")
    process.kill()
    silent = Process("it", [sys.executable, "-c", "input()"], tmp_path, {}, tmp_path / "errors")
    silent.kill()
    assert silent.next_line() is None


def test_the_table_has_each_language_and_each_step() -> None:
    good = Outcome("Good", seconds=dict.fromkeys(ROWS, 0.5))
    bad = Outcome("Bad", seconds={"build": 1.0}, failed=ROWS[1], problem="it differs")
    assert table([good, bad], ROWS).splitlines() == [
        "                Good    Bad",
        "build          0.500  1.000",
        "1 get nothing  0.500 FAILED",
        "2 commit       0.500      -",
    ]


@pytest.mark.parametrize(
    ("outcomes", "require_all", "last", "well"),
    [
        ([Outcome("A", seconds=dict.fromkeys(ROWS, 0.1))], True, "3 passed, 0 failed, 0 skipped", True),
        (
            [Outcome("A", seconds=dict.fromkeys(ROWS, 0.1)), Outcome("B", missing=["b"])],
            False,
            "3 passed, 0 failed, 3 skipped",
            True,
        ),
        (
            [Outcome("A", seconds=dict.fromkeys(ROWS, 0.1)), Outcome("B", missing=["b"])],
            True,
            "3 passed, 3 failed, 0 skipped",
            False,
        ),
        ([Outcome("A", seconds={"build": 0.1}, failed=ROWS[1])], False, "1 passed, 1 failed, 1 skipped", False),
        ([Outcome("B", missing=["b"])], False, "0 passed, 0 failed, 3 skipped", False),
    ],
)
def test_what_is_missing_fails_only_where_all_are_required(
    outcomes: list[Outcome], require_all: bool, last: str, well: bool
) -> None:
    said, verdict_is_well = verdict(outcomes, ROWS, require_all=require_all)
    assert (said.splitlines()[-1], verdict_is_well) == (last, well)


ENDS_UPON_SIGTERM = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("no checkpoint: starting at the oldest record", "committed 4", sep="\\n", flush=True)
signal.sigwait({signal.SIGTERM})
print("committed 9", *sys.argv[1:], sep="\\n", flush=True)
"""


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (["processed 10 records"], ""),
        (["processed 12 records"], "has not committed 11"),
        (["committed 7", "processed 8 records"], "out of order"),
        (["committed 9", "processed 10 records"], "twice"),
        ([], "has not said once"),
    ],
)
def test_an_example_that_loses_or_repeats_something_is_caught(tmp_path: Path, said: list[str], problem: str) -> None:
    command = [sys.executable, "-c", ENDS_UPON_SIGTERM, *said]
    example = Process("the example", command, tmp_path, {}, tmp_path / "errors")
    try:
        example.wait_for(lambda line: line == "committed 4", "'committed 4'")
        if problem:
            with pytest.raises(WentWrong, match=problem):
                stop(example)
        else:
            assert stop(example) == 9
    finally:
        example.kill()
