"""An hour with a DIS that throttles, breaks, flaps or rejects: what the gateway makes of it, and what the SDKs make.

    make hour

runs it on a clock that jumps, and writes docs/resilience.md and its pictures; with --check it only compares. Seeds are
fixed, so that the same code gives the same bytes.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import structlog

from bench.sim.hour import CLIENTS, Hour, run
from bench.sim.page import page
from bench.sim.plot import svg
from bench.sim.scenarios import SCENARIOS, Scenario

DOCS = Path(__file__).parent.parent / "docs"


def quiet() -> None:
    """The gateway logs what it does: in an hour of trouble, a lot. Nor is there much garbage to look for."""
    gc.disable()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def hour(scenario: Scenario, client: str) -> Hour:
    """One hour; a function of this module, as it goes to another process."""
    return run(scenario.trouble, client)


def files() -> dict[Path, str]:
    """What the documentation is to hold."""
    # the gateway's hours are the long ones: they go first, so that all processors are busy to the end
    wanted = [(scenario, client) for client in CLIENTS for scenario in SCENARIOS]
    with ProcessPoolExecutor(os.cpu_count(), initializer=quiet) as pool:
        ran = dict(zip(wanted, pool.map(hour, *zip(*wanted, strict=True)), strict=True))
    hours = {scenario: {client: ran[scenario, client] for client in CLIENTS} for scenario in SCENARIOS}
    made = {DOCS / "images" / f"hour-{scenario.name}.svg": svg(scenario, hours[scenario]) for scenario in SCENARIOS}
    return {DOCS / "resilience.md": page(hours), **made}


def main() -> int:
    stale = 0
    for file, text in files().items():
        if "--check" not in sys.argv:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            print(f"{file.relative_to(DOCS.parent)} is not what the code gives: run `make hour`", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
