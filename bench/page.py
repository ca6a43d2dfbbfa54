"""Measures everything, and writes docs/performance.md.

make bench
"""

from __future__ import annotations

from pathlib import Path

from bench import lanes, start, upstream
from bench.lanes import CONNECTIONS, DELAY, Row

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
TEXT = """\
# Performance

`make bench` measures this and writes this page. The ratios are what counts: figures of one run may be compared with
each other, those of two machines may not.

## Commits through the lanes

A gateway in a process of its own, behind it a DIS that answers each commit after {ms} ms, over at most {connections}
connections, so that one key takes at most {one:.0f} commits a second one at a time, and many keys {all:,.0f}. The load
comes from a Go program, over a unix socket.

| what | acknowledged a second | ratio | of |
|---|---|---|---|
{lanes}
A caller that waits for each answer before it commits again meets every second write: when one ends, the first to come
back starts the next, and the others wait for the one after. Callers that commit while an answer is under way, as a
consumer does that commits each record and does not wait, fold into every write.

## A read of DIS

CPU in the client, in µs for each read, all in one process in turns. The signature of the gateway's client is made anew
for each, and its answer checked.

| client | µs | ratio | of |
|---|---|---|---|
{upstream}
## A gateway that has nothing to do

| what | value | ratio | of |
|---|---|---|---|
{start}"""


def _table(rows: list[Row], digits: int = 0) -> str:
    return "".join(f"| {row.what} | {row.value:,.{digits}f} | {row.ratio:.2f} | {row.of} |\n" for row in rows)


def main() -> None:
    text = TEXT.format(
        ms=round(DELAY * 1000),
        connections=CONNECTIONS,
        one=1 / DELAY,
        all=CONNECTIONS / DELAY,
        start=_table(start.rows(), 2),
        upstream=_table(upstream.rows()),
        lanes=_table(lanes.rows()),
    )
    print(text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
