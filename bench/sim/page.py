"""docs/resilience.md, made of the hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill

from bench.sim.consumers import IN_TIME
from bench.sim.hour import CONSUMERS, DEMAND, READ_EVERY, Hour
from bench.sim.scenarios import Scenario

_HEAD = """\
# When DIS is in trouble

What does a gateway do to DIS, and for its callers, while DIS throttles, is down, or rejects its credentials?
`make hour` simulates an hour of each and writes this page, on a clock that jumps from event to event.

{consumers} consumers commit once a second and read every {read_every:.0f} seconds, one call of each at a time:
{demand:.1f} calls a second. DIS answers in 20 ms, until something goes wrong at minute 20.

- **Calls a minute**: what reached DIS, or its address, during the trouble. What fails there counts against you: DIS
  throttles, and blocks addresses whose calls fail.
- **In time**: the share of what the consumers were due to do that was done within {in_time:.0f} seconds. A commit that
  is stored does for the earlier ones of its consumer too.
- **Well again**: how long after the end of the trouble the last operation fell due that was not done in time.

## In short

Each cell: **dis-gateway** · huaweicloudsdkdis · dis_sdk_python.

| trouble | calls a minute | in time, meanwhile | well again after |
|---|---|---|---|
"""

_LESSONS = """
- **While DIS is down, or rejects you, the gateway leaves it alone**: one probe every few seconds (down) or once a
  minute (rejected), in place of every call of every consumer. Callers get an answer at once, `UPSTREAM_CIRCUIT_OPEN`,
  with the cause and the time to wait; nothing was sent for it.
- **While DIS throttles, the gateway finds the rate that DIS takes** and lets callers wait their turn. At half of what
  is wanted {ours} of its calls are rejected, {theirs} of the SDKs', and more is done in time.
- **It cannot make up for what DIS does not take.** At a quarter of what is wanted consumers do not fare better than by
  asking all the time; the gateway asks a quarter as often for it. A caller whose turn would take more than half of its
  deadline is told so at once (`UPSTREAM_THROTTLED`).
- **The price is some seconds at the end**: an open breaker asks again after `breaker.open_seconds` (5), and a rate that
  was cut grows step by step. A client that never stops asking notices sooner.
- **Replaced credentials are tried at once.** Where the same ones become valid again (a permission was given back) it
  takes up to `breaker.rejected_seconds` (60).

[configuration.md](configuration.md) has the keys that change it: `[breaker]`, `[retry]` and
`upstream.max_calls_per_second`; [errors.md](errors.md) the errors that callers get. What to watch:
`disgw_breaker_open`, `disgw_upstream_retries_total`, `disgw_upstream_pace_calls_per_second`.
"""

_TABLE = """
| client | calls in the hour | a minute in the trouble | of these failed | busiest second | in time, in the trouble | in time, in the hour | well again after |
|---|---|---|---|---|---|---|---|
"""  # noqa: E501

_TAIL = """
## What is compared

- **dis-gateway**: its own code with its defaults: the lanes of commits, breaker, pace, retries and the DIS client. The
  clock, the threads, HTTP and DIS are simulated. Callers have a deadline of {in_time:.0f} seconds. Reads ask for
  `READ_MODE_FRESH`: served from the cache they would not reach DIS at all, and flatter the gateway.
- **huaweicloudsdkdis** 3.1.219 as it comes: it does not retry. `HttpConfig.retry_times` is 0, and the `with_retry` of
  its invokers is off, unless a program turns them on. It waits 120 seconds for an answer.
- **dis_sdk_python** (`huaweicloud-python-sdk-dis` 2.0.4): up to 10 more attempts, after 50 ms and twice as long each
  time, 51 seconds in all, without jitter. It does so after a 5xx, be it a read or a commit, after a connection that
  timed out, and after a read without an answer in 60 seconds; neither after a refused connection nor after throttling,
  which is a 400. There it does the same as the other SDK, and the two lines lie on each other.

`tests/contract/test_sdk_retries.py` holds these two rules against the installed SDKs.

## What is assumed

- One gateway serves all {consumers} consumers; with an SDK they all have one address.
- A consumer whose call fails goes on when its next one falls due; none gives up, and none retries on its own.
- The limit is a bucket of one second's worth of calls; a throttled call takes nothing from it.
- DIS is well at once when the trouble is over.

## Repeat it

    make hour

writes this page and its pictures anew, in about a minute, and always with the same bytes: seeds are fixed, and no wall
clock is read. `make hour-check` fails if they are not what the code gives. The scripts stand in
`bench/sim/scenarios.py`; `tests/unit/test_hour.py` holds the properties that matter, on shorter ones: few calls while
rejected, a steady rate while throttled, a bounded way back.
"""


@dataclass(frozen=True)
class _Figures:
    """What the tables say about one hour."""

    sent: int
    a_minute: float
    failed: float
    busiest: int
    meanwhile: float
    overall: float
    back: int | None
    """seconds; None: not within the hour"""

    @classmethod
    def of(cls, hour: Hour) -> _Figures:
        start, end = int(hour.trouble.start), int(hour.trouble.end)
        sent, due = sum(hour.sent[start:end]), sum(hour.due[start:end])
        return cls(
            sent=sum(hour.sent),
            a_minute=sent / (end - start) * 60,
            failed=sum(hour.failed[start:end]) / sent,
            busiest=max(hour.sent),
            meanwhile=sum(hour.done[start:end]) / due,
            overall=sum(hour.done) / sum(hour.due),
            back=hour.back,
        )


def page(hours: Mapping[Scenario, Mapping[str, Hour]]) -> str:
    """The whole page."""
    words = {"consumers": CONSUMERS, "demand": DEMAND, "read_every": READ_EVERY, "in_time": IN_TIME}
    figures = {scenario: {client: _Figures.of(hour) for client, hour in ran.items()} for scenario, ran in hours.items()}
    text = _HEAD.format(**words)
    for scenario, of in figures.items():
        link = "".join(c for c in scenario.title.lower().replace(" ", "-") if c.isalnum() or c == "-")
        columns = (
            _cell([f"{one.a_minute:,.0f}" for one in of.values()]),
            _cell([_percent(one.meanwhile) for one in of.values()]),
            _cell([_back(one.back) for one in of.values()]),
        )
        text += f"| [{scenario.title}](#{link}) | {' | '.join(columns)} |\n"
    ours, theirs, _ = (_percent(one.failed) for one in next(iter(figures.values())).values())
    text += _LESSONS.format(ours=ours, theirs=theirs)
    for scenario, of in figures.items():
        text += f"\n## {scenario.title}\n\n{fill(scenario.story, 120)}\n\n"
        text += f"![{scenario.title}](images/hour-{scenario.name}.svg)\n"
        text += _TABLE + "".join(_row(client, one) for client, one in of.items())
    return text + _TAIL.format(**words)


def _cell(texts: list[str]) -> str:
    """The gateway comes first."""
    return f"**{texts[0]}** · {' · '.join(texts[1:])}"


def _row(client: str, one: _Figures) -> str:
    cells = (
        client,
        f"{one.sent:,}",
        f"{one.a_minute:,.0f}",
        _percent(one.failed),
        str(one.busiest),
        _percent(one.meanwhile),
        _percent(one.overall),
        _back(one.back),
    )
    return f"| {' | '.join(cells)} |\n"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _back(seconds: int | None) -> str:
    if seconds is None:
        return "not in the hour"
    return f"{seconds} s" if seconds else "at once"
