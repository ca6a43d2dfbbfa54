"""What `make audit` makes of the answers of pip-audit: no finding is hidden, and nothing is called clean unseen."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

AUDIT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "audit"))
CLEAN = {"name": "click", "version": "8.1", "vulns": []}
FOUND = {"name": "urllib3", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.0"]}]}
SKIPPED = {"name": "grpcio", "skip_reason": "Dependency not found on PyPI"}


def report(*dependencies: dict[str, Any], required: bool = False) -> tuple[str, int]:
    output = json.dumps({"dependencies": dependencies, "fixes": []})
    lines, code = AUDIT["report"](output, "", {"urllib3"}, required=required)
    return "\n".join(lines), code


@pytest.mark.parametrize("required", [False, True])
def test_a_finding_is_named_and_fails_whatever_else_there_is(required: bool) -> None:
    said, code = report(CLEAN, FOUND, SKIPPED, required=required)
    assert code == 1
    assert "FOUND PYSEC-1 in urllib3 1.0 (in the image); fixed in: 2.0" in said
    assert "NOT AUDITED: nothing is known of 1 of 3: grpcio" in said
    assert "2 dependencies audited, 1 findings" in said


def test_all_seen_and_nothing_found_passes() -> None:
    assert report(CLEAN, required=True) == ("1 dependencies audited, 0 findings", 0)


@pytest.mark.parametrize(("required", "code"), [(False, 0), (True, 1)])
def test_what_nothing_is_known_of_is_not_called_clean(required: bool, code: int) -> None:
    said, ended = report(SKIPPED, required=required)
    assert ended == code
    assert "NOT AUDITED: nothing is known of 1 of 1: grpcio" in said
    assert "0 dependencies audited" in said
    assert report(required=required)[1] == code  # nor is nothing at all


@pytest.mark.parametrize(("required", "code"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("output", ["", "[]", "{}", "null"])
def test_no_answer_is_said(required: bool, code: int, output: str) -> None:
    lines, ended = AUDIT["report"](output, "Traceback\nConnectionError: no such host\n", set(), required=required)
    assert (lines, ended) == (
        ["NOT AUDITED: the data of vulnerabilities could not be had: ConnectionError: no such host"],
        code,
    )


def test_the_packages_of_a_lock_are_read() -> None:
    lock = "aiohttp==3.1 \\\n    --hash=sha256:00\n    # via x\ntyping-extensions==4.1 \\\n"
    assert AUDIT["names"](lock) == {"aiohttp", "typing-extensions"}
