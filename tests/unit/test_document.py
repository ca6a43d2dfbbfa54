"""The page on observability names every metric that others rely on, and every line of the log that the code writes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
ROWS = set(re.findall(r"^\| `(disgw_\w+)` \|", PAGE, re.MULTILINE))


def events() -> Iterator[str]:
    """The names of what is logged from level info on, but for the emulator's."""
    for file in sorted((ROOT / "gateway").rglob("*.py")):
        if "emulator" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr="info" | "warning" | "error" | "exception"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    yield name


@pytest.mark.parametrize("name", sorted(set(events())))
def test_every_line_of_the_log_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_page_names_no_metric_that_there_is_not() -> None:
    assert len(ROWS) > 20
    assert set(re.findall(r"disgw_\w+", PAGE)) <= ROWS


@pytest.mark.parametrize(
    "name",
    [
        "disgw_build_info",
        "disgw_breaker_open",
        "disgw_cache_age_seconds",
        "disgw_cache_entries",
        "disgw_cache_reads_total",
        "disgw_clock_offset_seconds",
        "disgw_commits_below_total",
        "disgw_commits_folded_total",
        "disgw_credentials_expiry_timestamp_seconds",
        "disgw_draining",
        "disgw_flights_shared_total",
        "disgw_items_total",
        "disgw_keys_active",
        "disgw_lag_records",
        "disgw_last_commit_timestamp_seconds",
        "disgw_ready",
        "disgw_rpc_seconds",
        "disgw_rpcs_total",
        "disgw_streams_open",
        "disgw_upstream_attempts_total",
        "disgw_upstream_pace_calls_per_second",
        "disgw_upstream_retries_total",
        "disgw_upstream_seconds",
        "disgw_writes_overloaded_total",
        "disgw_writes_unknown_total",
        "disgw_writes_waiting",
    ],
)
def test_dashboards_and_alerts_find_what_they_ask_for(name: str) -> None:
    assert name in ROWS
