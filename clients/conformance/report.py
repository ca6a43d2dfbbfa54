"""One table: what each language has done, step by step, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass, field

FAILED = "FAILED"


@dataclass
class Outcome:
    """How it went with one language."""

    name: str
    missing: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """What went well, and how long it took."""
    failed: str = ""
    """What failed; what came after it was not tried."""
    problem: str = ""


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
            lines.append(f"{one.name}: no toolchain here. Install: {'; '.join(one.missing)}")
        if one.failed:
            lines.append(f"{one.name}: {one.failed} failed: {one.problem}")
    passed = sum(len(one.seconds) for one in outcomes)
    absent = len(rows) * sum(1 for one in outcomes if one.missing)
    failed = sum(1 for one in outcomes if one.failed) + (absent if require_all else 0)
    skipped = len(rows) * len(outcomes) - passed - failed
    lines.append(f"{passed} passed, {failed} failed, {skipped} skipped")
    return "\n".join(lines), not failed and bool(passed)


def _cell(one: Outcome, row: str) -> str:
    if row in one.seconds:
        return f"{one.seconds[row]:.3f}"
    return FAILED if row == one.failed else "-"
