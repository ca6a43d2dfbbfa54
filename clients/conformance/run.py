"""Puts one language through all checks: those that mostly wait run side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from clients.conformance import checks, ending
from clients.conformance.languages import BadLanguage, Language
from clients.conformance.later import a_later_gateway
from clients.conformance.processes import Backend
from clients.conformance.report import Outcome

BUILD, TESTS, RESTART, NOBODY = "build", "unit tests", "the gateway restarts", "stopped before a gateway is there"
# The last leaves the gateway slow towards DIS.
AGAINST_ONE_GATEWAY = {
    "the checkpoint cannot be read": checks.stay_away_where_nothing_is_known,
    "fenced": checks.stop_when_fenced,
    "another consumer is ahead": checks.stop_when_another_is_ahead,
    "stopped while DIS throttles": checks.end_while_dis_throttles,
}
AGAINST_A_LATER_ONE = {
    "a later gateway": checks.read_a_later_gateway,
    "superseded": checks.stop_when_superseded,
    "no record comes": checks.commit_while_no_record_comes,
}


def rows() -> list[str]:
    """All that a language is put through."""
    return [BUILD, TESTS, *checks.steps(), RESTART, NOBODY, *AGAINST_ONE_GATEWAY, *AGAINST_A_LATER_ONE]


def put_through(folder: Path) -> Outcome:
    """How it went. Raises nothing."""
    try:
        language = Language.load(folder)
    except BadLanguage as error:
        print(f"{folder.name}: {error}", flush=True)
        return Outcome(folder.name, failures={BUILD: str(error)})
    outcome = Outcome(language.name, missing=language.missing())
    if outcome.missing:
        print(f"{language.name}: not here", flush=True)
        return outcome
    with outcome.doing(BUILD):
        language.build()
    if outcome.failures:
        return outcome
    with outcome.doing(TESTS):
        language.test()  # by itself, as it may write where the programs are
    lanes = (_transcript, _restarts, _against_one_gateway, _against_no_gateway)
    with ThreadPoolExecutor(len(lanes)) as pool:
        for done in [pool.submit(lane, language, outcome) for lane in lanes]:
            done.result()
    print(f"{language.name}: {len(outcome.seconds)} of {len(rows())} done", flush=True)
    return outcome


def _transcript(language: Language, outcome: Outcome) -> None:
    steps = checks.steps()
    doing = steps[0]
    try:
        with ending.folder() as folder:
            for step, seconds in checks.hold_transcript(language, folder):
                outcome.seconds[step] = seconds
                doing = steps[min(steps.index(step) + 1, len(steps) - 1)]
    except Exception as error:  # noqa: BLE001 — it is shown below the table
        outcome.seconds.pop(doing, None)
        outcome.failed(doing, error)


def _restarts(language: Language, outcome: Outcome) -> None:
    with ending.folder() as folder, outcome.doing(RESTART):
        checks.survive_restarts(language, folder)


def _against_one_gateway(language: Language, outcome: Outcome) -> None:
    with ending.folder() as folder, ExitStack() as stack:
        backend: Backend | None = None
        for row, check in AGAINST_ONE_GATEWAY.items():
            with outcome.doing(row):
                backend = backend or stack.enter_context(Backend(folder))
                check(language, backend, folder)


def _against_no_gateway(language: Language, outcome: Outcome) -> None:
    with ending.folder() as folder, a_later_gateway() as target:
        with outcome.doing(NOBODY):
            checks.end_before_a_gateway_is_there(language, folder)
        for row, check in AGAINST_A_LATER_ONE.items():
            with outcome.doing(row):
                check(language, target, folder)
