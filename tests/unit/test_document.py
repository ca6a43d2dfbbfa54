"""The page on observability names what a gateway has, and every line of the log that the code writes."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")

AGREED = {
    "disgw_rpcs_total",
    "disgw_rpc_seconds",
    "disgw_items_total",
    "disgw_upstream_seconds",
    "disgw_upstream_attempts_total",
    "disgw_cache_age_seconds",
    "disgw_last_commit_timestamp_seconds",
    "disgw_credentials_expiry_timestamp_seconds",
    "disgw_streams_open",
    "disgw_ready",
    "disgw_draining",
    "disgw_cache_reads_total",
    "disgw_flights_shared_total",
    "disgw_commits_folded_total",
    "disgw_writes_unknown_total",
    "disgw_writes_overloaded_total",
    "disgw_commits_below_total",
    "disgw_writes_waiting",
    "disgw_keys_active",
    "disgw_cache_entries",
    "disgw_clock_offset_seconds",
    "disgw_breaker_open",
    "disgw_upstream_retries_total",
    "disgw_upstream_pace_calls_per_second",
    "disgw_lag_records",
    "disgw_build_info",
}


def test_every_metric_that_others_rely_on_is_on_the_page() -> None:
    rows = re.findall(r"^\| `(disgw_\w+)` \|", PAGE, re.MULTILINE)
    assert set(rows) >= AGREED
    assert set(re.findall(r"disgw_\w+", PAGE)) <= set(rows)
