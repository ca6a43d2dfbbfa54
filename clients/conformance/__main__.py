"""``python -m clients.conformance [LANGUAGE...]``: see README.md beside this file. ``make conformance`` runs it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from clients.conformance import checks
from clients.conformance.languages import BuildFailed, Language, known
from clients.conformance.processes import WentWrong
from clients.conformance.report import Outcome, table, verdict

BUILD, RESTART = "build", "the gateway restarts"


def main() -> int:
    """Exits with 0 if all went well, 1 if not, 2 for a language that is not known."""
    languages = known()
    parser = argparse.ArgumentParser(prog="clients.conformance", description="every client against a gateway")
    parser.add_argument("language", nargs="*", help="folders of clients/; all, if none is named")
    parser.add_argument("--debian", action="store_true", help="print the packages of Debian that give the toolchains")
    options = parser.parse_args()
    wanted = [one for one in languages if not options.language or one.folder.name in options.language]
    if unknown := set(options.language) - {one.folder.name for one in wanted}:
        parser.error(
            f"there is no {', '.join(sorted(unknown))} among {', '.join(one.folder.name for one in languages)}"
        )
    if options.debian:
        print(*sorted({package for one in wanted for package in one.debian}))
        return 0

    outcomes = [_put_through(language) for language in wanted]
    rows = [BUILD, *checks.steps(), RESTART]
    said, well = verdict(outcomes, rows, require_all=os.environ.get("REQUIRE_ALL") == "1")
    print(f"\nSeconds:\n{table(outcomes, rows)}\n\n{said}", flush=True)
    return 0 if well else 1


def _put_through(language: Language) -> Outcome:
    outcome = Outcome(language.name)
    outcome.missing = language.missing()
    if outcome.missing:
        print(f"{language.name}: not here", flush=True)
        return outcome
    doing = BUILD
    try:
        began = time.monotonic()
        language.build()
        outcome.seconds[BUILD] = time.monotonic() - began
        print(f"{language.name}: built in {outcome.seconds[BUILD]:.1f} s", flush=True)

        steps = iter(checks.steps())
        doing = next(steps)
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            for step, seconds in checks.hold_transcript(language, Path(folder)):
                outcome.seconds[step] = seconds
                doing = next(steps, "the end of the transcript")
        print(f"{language.name}: transcript held", flush=True)

        doing = RESTART
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            checks.survive_restarts(language, Path(folder))
        outcome.seconds[RESTART] = time.monotonic() - began
        print(f"{language.name}: went on when the gateway restarted", flush=True)
    except (BuildFailed, WentWrong, OSError) as error:
        outcome.failed, outcome.problem = doing, str(error)
        print(f"{language.name}: {doing} FAILED", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
