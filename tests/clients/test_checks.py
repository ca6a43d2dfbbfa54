"""The checks let a right consumer pass, and see each that loses, repeats or invents a checkpoint, or does not end."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients.conformance import checks
from clients.conformance.languages import ROOT, Language
from clients.conformance.later import a_later_gateway
from clients.conformance.processes import Backend, WentWrong

FAKE = str(Path(__file__).with_name("fake_consumer.py"))
NEVER = 0.5
"""For what never ends, and so cannot be missed by waiting shortly."""
LONG = 30.0


def consumer(wrong: str = "") -> Language:
    command = (sys.executable, FAKE, "--wrong", wrong)
    return Language(
        folder=Path(__file__).parent,
        name="Fake",
        debian=(),
        needs=(),
        builds=(),
        tests=(),
        transcript=(),
        example=command,
        slow_example=(*command, "--commit-every", "1000", "--interval", "600", "--commit-seconds", "0.1"),
        environment={"PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with Backend(tmp_path_factory.mktemp("backend")) as one:
        yield one


@pytest.fixture
def fresh(backend: Backend) -> Backend:
    """It has forgotten the streams of the test before."""
    backend.control("POST", "reset")
    return backend


@pytest.fixture
def later() -> Iterator[str]:
    with a_later_gateway() as target:
        yield target


Check = Callable[[Language, Backend, Path], None]
AGAINST_ONE_GATEWAY: list[Check] = [
    checks.stay_away_where_nothing_is_known,
    checks.stop_when_fenced,
    checks.stop_when_another_is_ahead,
    checks.end_while_dis_throttles,
]
LaterCheck = Callable[[Language, str, Path], None]
AGAINST_A_LATER_ONE: list[LaterCheck] = [
    checks.read_a_later_gateway,
    checks.stop_when_superseded,
    checks.commit_while_no_record_comes,
]


@pytest.mark.parametrize("check", AGAINST_A_LATER_ONE)
def test_a_right_consumer_passes_with_a_later_gateway(check: LaterCheck, later: str, tmp_path: Path) -> None:
    check(consumer(), later, tmp_path)


@pytest.mark.parametrize(
    ("check", "wrong", "problem"),
    [
        (checks.read_a_later_gateway, "picky", "ended without"),
        (checks.stop_when_superseded, "trusts", "went on"),
        (checks.stop_when_superseded, "ends well", "should have failed"),
    ],
)
def test_what_is_wrong_with_a_later_gateway_is_seen(
    check: LaterCheck, wrong: str, problem: str, later: str, tmp_path: Path
) -> None:
    with pytest.raises(WentWrong, match=problem):
        check(consumer(wrong), later, tmp_path)


def test_a_commit_that_waits_for_the_next_record_is_seen(
    later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "WAIT_SECONDS", NEVER)
    with pytest.raises(WentWrong, match="has not printed 'committed N'"):
        checks.commit_while_no_record_comes(consumer("late"), later, tmp_path)


def test_a_language_without_a_slow_example_is_told(later: str, tmp_path: Path) -> None:
    language = dataclasses.replace(consumer(), slow_example=())
    with pytest.raises(WentWrong, match="has no slow_example"):
        checks.commit_while_no_record_comes(language, later, tmp_path)


def test_a_right_consumer_ends_before_a_gateway_is_there(tmp_path: Path) -> None:
    checks.end_before_a_gateway_is_there(consumer(), tmp_path)


def test_a_consumer_that_waits_for_a_gateway_whatever_it_is_told_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "STOP_SECONDS", NEVER)
    with pytest.raises(WentWrong, match="has not ended"):
        checks.end_before_a_gateway_is_there(consumer("ignores SIGTERM"), tmp_path)


def test_a_right_consumer_survives_restarts(tmp_path: Path) -> None:
    checks.survive_restarts(consumer(), tmp_path)


@pytest.mark.parametrize(
    ("wrong", "problem", "outage"),
    [("swallows", "no gateway was there", LONG), ("unknown is done", "it comes first", NEVER)],
)
def test_what_is_wrong_while_the_gateway_restarts_is_seen(
    wrong: str, problem: str, outage: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "OUTAGE_SECONDS", outage)
    with pytest.raises(WentWrong, match=problem):
        checks.survive_restarts(consumer(wrong), tmp_path)


@pytest.mark.parametrize("check", AGAINST_ONE_GATEWAY)
def test_a_right_consumer_passes(check: Check, fresh: Backend, tmp_path: Path) -> None:
    check(consumer(), fresh, tmp_path)


@pytest.mark.parametrize(
    ("check", "wrong", "problem"),
    [
        (checks.stay_away_where_nothing_is_known, "begins anyway", "has not ended"),
        (checks.stay_away_where_nothing_is_known, "ends well", "should have failed"),
        (checks.stop_when_fenced, "goes on", "has not ended"),
        (checks.stop_when_fenced, "swallows", "has not ended"),
        (checks.stop_when_fenced, "boasts", "DIS has not taken"),
        (checks.stop_when_fenced, "once more", "after it was fenced"),
        (checks.stop_when_fenced, "ends well", "should have failed"),
        (checks.stop_when_another_is_ahead, "goes on", "has not ended"),
        (checks.stop_when_another_is_ahead, "boasts", "DIS has not taken"),
        (checks.stop_when_another_is_ahead, "rewinds", "after another consumer did"),
        (checks.stop_when_another_is_ahead, "ends well", "should have failed"),
        (checks.end_while_dis_throttles, "boasts", "DIS has not taken"),
        (checks.end_while_dis_throttles, "swallows", "should have failed"),
        (checks.end_while_dis_throttles, "ignores SIGTERM", "has not ended"),
    ],
)
def test_what_is_wrong_is_seen(
    check: Check, wrong: str, problem: str, fresh: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("END_SECONDS", "LAST_COMMIT_SECONDS"):
        monkeypatch.setattr(checks, limit, NEVER if problem == "has not ended" else LONG)
    with pytest.raises(WentWrong, match=problem):
        check(consumer(wrong), fresh, tmp_path)
