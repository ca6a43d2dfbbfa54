"""The status page: how a gateway stands, for a person, as one HTML page that loads nothing else and runs nothing.

Its numbers are those of ``/metrics``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice

from gateway.telemetry.metrics import Metrics, Samples
from gateway.telemetry.partitions import Labels
from gateway.telemetry.readiness import Readiness

ROWS_MAX = 50
"""Partitions that are shown; ``/metrics`` has the others."""

NOTHING = "-"

_STYLE = """\
:root { color-scheme: light dark; --ink: #1b2430; --dim: #5b6776; --line: #d9dee5; --paper: #fff; --card: #f5f7fa;
  --good: #17693a; --bad: #a4201d; --warn: #8a5300; --link: #1d5bb8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #9aa7b6; --line: #333d49; --paper: #14181e;
  --card: #1c222a; --good: #6fd497; --bad: #ff8e88; --warn: #f2bd64; --link: #8ab8ff } }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 64rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1rem; margin: 0 0 .4rem }
header { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: baseline; margin-bottom: .3rem }
.dim { color: var(--dim) } .good { color: var(--good) } .bad { color: var(--bad) } .warn { color: var(--warn) }
.state { font-weight: 600 }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr));
  gap: .8rem; margin-bottom: .8rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem;
  overflow-x: auto }
section.wide { margin-bottom: .8rem }
dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1rem; margin: 0 }
dt { color: var(--dim) } dd { margin: 0; text-align: right; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-top: 1px solid var(--line); white-space: nowrap }
th { color: var(--dim); font-weight: 500; border-top: 0 } td.n, th.n { text-align: right }
a { color: var(--link) } nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; margin-bottom: 1rem }
"""


def status_page(
    readiness: Readiness, metrics: Metrics, facts: Mapping[str, str], links: Sequence[str], now: float
) -> str:
    """The page. ``now`` is in seconds since 1970; ``facts`` are shown as they are, under their names."""
    samples = metrics.samples()
    state = "good" if readiness.ready else "bad"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><title>DIS checkpoint gateway</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="refresh" content="15"><style>{_STYLE}</style></head><body>',
        "<header><h1>DIS checkpoint gateway</h1>",
        f'<span class="state {state}">{escape(readiness.words())}</span>',
        "</header><nav>" + "".join(f'<a href="{path}">{path}</a>' for path in links) + "</nav>",
        '<div class="cards">',
        _card("Gateway", [(name, escape(value)) for name, value in facts.items()]),
        _card("DIS", _upstream(readiness, samples, now)),
        _card("Cache", _cache(samples)),
        _card("Writes", _writes(samples)),
        "</div>",
        _wide("Calls", ("method", "ok", "failed", "mean time"), _calls(samples), "No call yet."),
        _wide(
            "Partitions",
            ("stream", "app", "partition", "last commit", "lag when listed"),
            _partitions(metrics.last_commits(), metrics.lags(), now),
            "None was committed or listed yet.",
        ),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _upstream(readiness: Readiness, samples: Samples, now: float) -> list[tuple[str, str]]:
    rows = [
        (f"breaker: {circuit}", _mark(state, "good" if state == "closed" else "bad"))
        for circuit, state in readiness.circuits().items()
    ]
    expiry = samples.get("disgw_credentials_expiry_timestamp_seconds")
    if expiry:
        left = expiry[0][1] - now
        rows.append(("credentials expire in", _mark(_duration(left), "good" if left > 60 else "bad")))
    else:
        rows.append(("credentials expire", '<span class="dim">never, as far as known</span>'))
    attempts = samples.get("disgw_upstream_attempts_total", [])
    good = sum(value for labels, value in attempts if labels["result"].startswith("2"))
    rows += [
        ("requests, good", _count(good)),
        ("requests, not good", _count(sum(value for _, value in attempts) - good)),
        ("sent again", _count(_sum(samples, "disgw_upstream_retries_total"))),
        ("clock ahead by", _duration(_sum(samples, "disgw_clock_offset_seconds"))),
    ]
    return rows


def _cache(samples: Samples) -> list[tuple[str, str]]:
    reads = {labels["result"]: value for labels, value in samples.get("disgw_cache_reads_total", [])}
    hits, misses = reads.get("hit", 0.0), reads.get("miss", 0.0)
    share = f"{hits / (hits + misses):.1%}" if hits + misses else NOTHING
    return [
        ("keys", _count(_sum(samples, "disgw_cache_entries"))),
        ("reads served from it", _count(hits)),
        ("reads that asked DIS", _count(misses)),
        ("share served", share),
        ("served stale", _count(reads.get("stale", 0.0))),
        ("reads that joined another", _count(_sum(samples, "disgw_flights_shared_total"))),
    ]


def _writes(samples: Samples) -> list[tuple[str, str]]:
    unknown = _sum(samples, "disgw_writes_unknown_total")
    overloaded = _sum(samples, "disgw_writes_overloaded_total")
    return [
        ("waiting", _count(_sum(samples, "disgw_writes_waiting"))),
        ("keys with work under way", _count(_sum(samples, "disgw_keys_active"))),
        ("open streams", _count(_sum(samples, "disgw_streams_open"))),
        ("folded into a higher one", _count(_sum(samples, "disgw_commits_folded_total"))),
        ("outcome not known", _mark(_count(unknown), "warn" if unknown else "")),
        ("refused: too many waited", _mark(_count(overloaded), "warn" if overloaded else "")),
    ]


def _calls(samples: Samples) -> Iterable[Sequence[str]]:
    calls: dict[str, list[float]] = {}
    for labels, value in samples.get("disgw_rpcs_total", []):
        calls.setdefault(labels["method"], [0.0, 0.0])[labels["code"] != "OK"] += value
    sums = {labels["method"]: value for labels, value in samples.get("disgw_rpc_seconds_sum", [])}
    counts = {labels["method"]: value for labels, value in samples.get("disgw_rpc_seconds_count", [])}
    for method, (ok, failed) in sorted(calls.items()):
        if ok or failed:
            mean = f"{sums[method] / counts[method] * 1000:.1f} ms" if counts.get(method) else NOTHING
            yield escape(method), _count(ok), _mark(_count(failed), "warn" if failed else ""), mean


def _partitions(commits: Mapping[Labels, float], lags: Mapping[Labels, float], now: float) -> Iterable[Sequence[str]]:
    everything = dict.fromkeys([*commits, *lags])
    for labels in islice(everything, ROWS_MAX):
        committed = f"{_duration(now - commits[labels])} ago" if labels in commits else NOTHING
        yield *map(escape, labels), committed, _count(lags[labels]) if labels in lags else NOTHING


def _card(title: str, rows: Iterable[tuple[str, str]]) -> str:
    inside = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows)
    return f"<section><h2>{title}</h2><dl>{inside}</dl></section>"


def _wide(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], nothing: str) -> str:
    """A table whose last columns, those after names, are numbers."""
    numbers = {"ok", "failed", "mean time", "last commit", "lag when listed"}
    kinds = [' class="n"' if column in numbers else "" for column in columns]
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    head = "".join(f"<th{kind}>{column}</th>" for kind, column in zip(kinds, columns, strict=True))
    inside = f"<table><tr>{head}</tr>{body}</table>" if body else f'<p class="dim">{nothing}</p>'
    return f'<section class="wide"><h2>{title}</h2>{inside}</section>'


def _sum(samples: Samples, name: str) -> float:
    return sum(value for _, value in samples.get(name, []))


def _mark(text: str, kind: str) -> str:
    return f'<span class="{kind}">{escape(text)}</span>' if kind else escape(text)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _duration(seconds: float) -> str:
    """In the two units that tell most: ``3 h 20 min``."""
    sign, left = ("-" if seconds < 0 else ""), abs(seconds)
    if left < 60:
        return f"{sign}{left:.1f} s"
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    place = next(place for place, (size, _) in enumerate(units) if left >= size)
    (large, name), (small, other) = units[place], units[min(place + 1, 3)]
    return f"{sign}{int(left // large)} {name} {int(left % large // small)} {other}"
