"""The conformance runner tells what is missing and what failed; and what the clients share is the same in each."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from clients.conformance import languages, run
from clients.conformance.checks import steps
from clients.conformance.examples import Example
from clients.conformance.languages import CLIENTS, ROOT, BadLanguage, CommandFailed, Language, folders
from clients.conformance.processes import Process, WentWrong
from clients.conformance.report import Outcome, table, verdict

ROWS = ["build", "1 get nothing", "2 commit"]


def test_every_client_is_known_to_the_runner() -> None:
    pages = {found.parent.name for found in CLIENTS.glob("*/README.md")} - {"conformance"}
    assert {one.name for one in folders()} == pages


def test_the_page_has_the_steps_of_the_file() -> None:
    page = (CLIENTS / "TRANSCRIPT.md").read_text().splitlines()
    rows = [line.split(" | ") for line in page if line.startswith("| ") and line[2].isdecimal()]
    assert [f"{row[0].removeprefix('| ')} {row[1]}" for row in rows] == steps()


def test_the_service_config_is_the_same_in_every_client() -> None:
    wanted = (CLIENTS / "service-config.json").read_bytes()
    ignored = {"node_modules", "target", "dist", "build", ".venv"}
    copies = [one for one in CLIENTS.glob("*/**/service-config.json") if not ignored & set(one.parts)]
    assert len(copies) >= 4
    assert [one for one in copies if one.read_bytes() != wanted] == []


def test_the_packages_are_told_where_there_is_nothing_but_python() -> None:
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, ''); sys.argv[1:] = ['--debian']; "]
    command[-1] += "import runpy; runpy.run_module('clients.conformance', run_name='__main__')"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert {"maven", "protobuf-compiler-grpc", "ruby-grpc"} <= set(done.stdout.split())


def language(
    folder: Path, build: list[str], check: list[str], test: list[str] | None = None, at_least: str = ""
) -> Language:
    content = f"""
language = "Test"
needs = [{{ check = {check!r}, at_least = "{at_least}", install = "the tool" }}]
build = [{build!r}]
test = [{test or []!r}]
transcript = ["{{build}}/transcript"]
example = ['example']
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


@pytest.mark.parametrize(
    ("printed", "missing"),
    [
        ("go version go1.25.0 linux/amd64", []),
        ("v1.100.2", []),
        ("\x1b[1mTool 2\x1b[m", []),
        ("tool 1.25", []),
        ("tool 1.9.12 of 2026", ["the tool (here is 1.9.12)"]),
        ("tool 1", ["the tool (here is 1)"]),
        ("tool", ["the tool (here is no version)"]),
    ],
)
def test_a_toolchain_that_is_too_old_is_named(tmp_path: Path, printed: str, missing: list[str]) -> None:
    script = f"import sys; print({printed!r}); print('warning 9.9', file=sys.stderr)"
    one = language(tmp_path, [], ["{python}", "-c", script], at_least="1.25")
    assert one.missing() == missing


def test_a_toolchain_that_fails_is_named_whatever_it_prints(tmp_path: Path) -> None:
    one = language(tmp_path, [], ["{python}", "-c", "print('tool 2.0'); raise SystemExit(1)"], at_least="1.25")
    assert one.missing() == ["the tool"]


def test_the_versions_that_are_asked_for_are_looked_at() -> None:
    needs = [need for folder in folders() for need in Language.load(folder).needs]
    said = [(found[1], need.at_least) for need in needs if (found := re.search(r"([0-9.]+) or later", need.install))]
    assert len(said) >= 9
    assert [one for one in said if one[0] != one[1]] == []


def test_a_build_that_fails_shows_what_it_printed(tmp_path: Path) -> None:
    one = language(tmp_path, ["{python}", "-c", "raise SystemExit('it is broken')"], [])
    with pytest.raises(CommandFailed, match="it is broken"):
        one.build()


def test_unit_tests_that_fail_show_what_they_printed(tmp_path: Path) -> None:
    one = language(tmp_path, ["{python}", "-c", ""], [], ["{python}", "-c", "raise SystemExit('1 failed')"])
    one.build()
    with pytest.raises(CommandFailed, match="1 failed"):
        one.test()


def test_a_language_without_unit_tests_is_told(tmp_path: Path) -> None:
    language(tmp_path, [], [])
    file = tmp_path / "conformance.toml"
    file.write_text(file.read_text().replace("test = [[]]\n", ""))
    with pytest.raises(CommandFailed, match="no test"):
        Language.load(tmp_path).test()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("language", "surprise = 'x'\nlanguage", "what is surprise"),
        ("language", "name", "there is no language"),
        ("transcript", "transcripts", "there is no transcript"),
        ("example = ['example']", "example = 'example'", "no list of strings"),
        ("build = [[]]", "build = ['make']", "no list of strings"),
        ('at_least = ""', 'at_least = "new"', "'new' is no version"),
        ('at_least = ""', 'newest = "1"', "newest"),
        ("language =", "language", "toml"),
    ],
)
def test_what_a_language_has_too_much_or_lacks_ends_no_run(tmp_path: Path, old: str, new: str, problem: str) -> None:
    language(tmp_path, [], [])
    file = tmp_path / "conformance.toml"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(BadLanguage, match=problem):
        Language.load(tmp_path)
    outcome = run.put_through(tmp_path)
    assert problem in outcome.failures["build"]
    assert "FAILED" in table([outcome], run.rows())


def test_a_process_that_ends_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('one line')"]
    process = Process("it", command, tmp_path, {}, tmp_path / "errors")
    with pytest.raises(WentWrong, match=r"(?s)ended without the word.*one line"):
        process.wait_for(lambda line: line == "the word", "the word")
    assert process.next_line() is None
    process.kill()


def test_a_process_that_says_nothing_is_told(tmp_path: Path) -> None:
    silent = Process("it", [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, {}, tmp_path / "errors")
    try:
        with pytest.raises(WentWrong, match="printed nothing for"):
            silent.next_line(0.2)
        with pytest.raises(WentWrong, match="has not printed the word"):
            silent.wait_for(lambda line: True, "the word", 0.2)
        with pytest.raises(WentWrong, match="has not ended"):
            silent.finish(0.2)
    finally:
        silent.kill()
    assert silent.next_line() is None


def test_the_table_has_each_language_and_each_step() -> None:
    good = Outcome("Good", seconds=dict.fromkeys(ROWS, 0.5))
    bad = Outcome("Bad", seconds={"build": 1.0}, failures={ROWS[1]: "it differs"})
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
        ([Outcome("A", seconds={"build": 0.1}, failures={ROWS[1]: ""})], False, "1 passed, 1 failed, 1 skipped", False),
        ([Outcome("B", missing=["b"])], False, "0 passed, 0 failed, 3 skipped", False),
    ],
)
def test_what_is_missing_fails_only_where_all_are_required(
    outcomes: list[Outcome], require_all: bool, last: str, well: bool
) -> None:
    said, verdict_is_well = verdict(outcomes, ROWS, require_all=require_all)
    assert (said.splitlines()[-1], verdict_is_well) == (last, well)


def test_a_defect_of_the_runner_itself_ends_no_run() -> None:
    outcome = Outcome("A")
    with outcome.doing(ROWS[0]):
        raise KeyError("surprise")
    with outcome.doing(ROWS[1]):
        raise WentWrong("it differs")
    with outcome.doing(ROWS[2]):
        pass
    assert re.search("(?s)Traceback.*KeyError: 'surprise'", outcome.failures[ROWS[0]])
    assert outcome.failures[ROWS[1]] == "it differs"
    assert list(outcome.seconds) == ROWS[2:]


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
    example = Example("the example", command, tmp_path, {}, tmp_path / "errors")
    try:
        example.wait_for(lambda line: line == "committed 4", "'committed 4'")
        if problem:
            with pytest.raises(WentWrong, match=problem):
                example.stop()
        else:
            assert example.stop() == 9
    finally:
        example.kill()
