"""One table: what each language has done, step by step, and how long it took."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from clients.conformance.languages import CommandFailed
from clients.conformance.processes import WentWrong

FAILED = "FAILED"


@dataclass
class Outcome:
    """How it went with one language."""

    name: str
    missing: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """What went well, and how long it took."""
    failures: dict[str, str] = field(default_factory=dict)
    """What failed, and why. What is in neither was not tried."""

    @contextmanager
    def doing(self, row: str) -> Iterator[None]:
        """Note how what is done meanwhile goes. Raises nothing: whatever happens, the others have their turn."""
        began = time.monotonic()
        try:
            yield
        except Exception as error:  # noqa: BLE001 — it is shown below the table
            self.failed(row, error)
        else:
            self.seconds[row] = time.monotonic() - began

    def failed(self, row: str, error: Exception) -> None:
        """Note why it failed: what is no finding, but a defect of the runner or of its machine, with its traceback."""
        finding = isinstance(error, CommandFailed | WentWrong)
        self.failures[row] = str(error) if finding else "".join(traceback.format_exception(error))
        print(f"{self.name}: {row} {FAILED}", flush=True)


def table(outcomes: list[Outcome], rows: list[str]) -> str:
    """Rows are what was done, columns the languages."""
    first = max(len(row) for row in rows)
    widths = [max(len(one.name), len(FAILED)) for one in outcomes]
    lines = [" ".join([" " * first, *(f"{one.name:>{width}}" for one, width in zip(outcomes, widths, strict=True))])]
    for row in rows:
        cells = [f"{_cell(one, row):>{width}}" for one, width in zip(outcomes, widths, strict=True)]
        lines.append(" ".join([f"{row:<{first}}", *cells]))
    return "\n".join(line.rstrip() for line in lines)


def verdict(outcomes: list[Outcome], rows: list[str], *, require_all: bool) -> tuple[str, bool]:
    """What is to be said below the table, and whether all is well."""
    lines = []
    for one in outcomes:
        if one.missing:
            lines.append(f"{one.name}: its toolchain is not here. Install: {'; '.join(one.missing)}")
        lines += [f"{one.name}: {row} failed: {problem}" for row, problem in one.failures.items()]
    passed = sum(len(one.seconds) for one in outcomes)
    absent = len(rows) * sum(1 for one in outcomes if one.missing)
    failed = sum(len(one.failures) for one in outcomes) + (absent if require_all else 0)
    skipped = len(rows) * len(outcomes) - passed - failed
    lines.append(f"{passed} passed, {failed} failed, {skipped} skipped")
    return "\n".join(lines), not failed and bool(passed)


def _cell(one: Outcome, row: str) -> str:
    if row in one.seconds:
        return f"{one.seconds[row]:.3f}"
    return FAILED if row in one.failures else "-"
