"""``python -m clients.conformance [LANGUAGE...]``: see README.md beside this file. ``make conformance`` runs it."""

from __future__ import annotations

import argparse
import os
import sys

from clients.conformance import ending
from clients.conformance.languages import BadLanguage, Language, folders


def main() -> int:
    """Exits with 0 if all went well, 1 if not, 2 for a language that is not known; as a shell would upon a signal."""
    known = folders()
    parser = argparse.ArgumentParser(prog="clients.conformance", description="every client against a gateway")
    parser.add_argument("language", nargs="*", help="folders of clients/; all, if none is named")
    parser.add_argument("--debian", action="store_true", help="print the packages of Debian that give the toolchains")
    options = parser.parse_args()
    wanted = [one for one in known if not options.language or one.name in options.language]
    if unknown := set(options.language) - {one.name for one in wanted}:
        parser.error(f"there is no {', '.join(sorted(unknown))} among {', '.join(one.name for one in known)}")
    if options.debian:
        try:
            print(*sorted({package for one in wanted for package in Language.load(one).debian}))
        except BadLanguage as error:
            print(error, file=sys.stderr)
            return 1
        return 0

    # What these need beyond Python is in the virtual environment, and CI has none when it asks for the packages.
    from clients.conformance import run
    from clients.conformance.report import table, verdict

    ending.upon_signals()
    outcomes = [run.put_through(one) for one in wanted]
    said, well = verdict(outcomes, run.rows(), require_all=os.environ.get("REQUIRE_ALL") == "1")
    print(f"\nSeconds:\n{table(outcomes, run.rows())}\n\n{said}", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
