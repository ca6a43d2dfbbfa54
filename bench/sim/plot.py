"""A picture of one script: calls that reach DIS and what is done in time, as SVG that reads on light and on dark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from bench.sim.hour import Hour
from bench.sim.scenarios import Scenario

_STEP = 10
"""Seconds that one point of a line is the mean of."""
_LEFT, _RIGHT, _WIDTH = 60, 20, 860
_CALLS, _DONE, _HEIGHT = 60, 250, 130
"""Where the two panels begin, and how high each is."""
_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 420" role="img" aria-label="{title}">
<style>
text {{ font: 13px system-ui, sans-serif; fill: #57606a }}
path {{ fill: none; stroke-width: 1.8; stroke-linejoin: round }}
.axis {{ stroke: #8c959f; stroke-width: 1 }}
.grid {{ stroke: #8c959f; stroke-opacity: .3; stroke-width: 1 }}
.trouble {{ fill: #8c959f; fill-opacity: .15 }}
.client0 {{ stroke: #0969da; stroke-width: 2.4 }}
.client1 {{ stroke: #bc4c00 }}
.client2 {{ stroke: #8250df; stroke-dasharray: 5 4 }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #9198a1 }}
.client0 {{ stroke: #4493f8 }}
.client1 {{ stroke: #f0883e }}
.client2 {{ stroke: #bc8cff }}
}}
</style>
"""


def svg(scenario: Scenario, hours: Mapping[str, Hour]) -> str:
    """The picture. The clients get their colours in the order in which they stand in ``hours``."""
    seconds = len(next(iter(hours.values())).sent)
    across = (_WIDTH - _LEFT - _RIGHT) / seconds
    calls = {client: _means(hour.sent, [_STEP] * (seconds // _STEP)) for client, hour in hours.items()}
    done = {client: _means(hour.done, _sums(hour.due)) for client, hour in hours.items()}
    most = _round_up(max(max(line) for line in calls.values()))
    parts = [_HEAD.format(title=scenario.title)]
    for number, client in enumerate(hours):
        x = _LEFT + 180 * number
        parts.append(f'<path class="client{number}" d="M{x} 24h26"/><text x="{x + 32}" y="28">{client}</text>\n')
    start, end = scenario.trouble.start * across, scenario.trouble.end * across
    for top, title, highest, lines in (
        (_CALLS, "calls a second that reach DIS", f"{most:g}", calls),
        (_DONE, "share of operations done in time", "100 %", done),
    ):
        scale = most if lines is calls else 1.0
        parts.append(f'<text x="{_LEFT}" y="{top - 8}">{title}</text>\n')
        parts.append(
            f'<rect class="trouble" x="{_LEFT + start:.1f}" y="{top}" width="{end - start:.1f}" height="{_HEIGHT}"/>\n'
        )
        parts.append(_axes(top, highest, across))
        for number, line in reversed(list(enumerate(lines.values()))):
            place = _placing(across, top, scale)
            parts.append(f'<path class="client{number}" d="{_path(line, place)}"/>\n')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_DONE + _HEIGHT + 36}" text-anchor="end">minutes</text>\n</svg>\n')
    return "".join(parts)


def _sums(values: Sequence[int]) -> list[int]:
    return [sum(values[start : start + _STEP]) for start in range(0, len(values), _STEP)]


def _means(values: Sequence[int], of: Sequence[int]) -> list[float]:
    return [value / whole if whole else 1.0 for value, whole in zip(_sums(values), of, strict=True)]


def _round_up(value: float) -> float:
    return next(step for step in (40, 50, 80, 100, 150, 200, 300, 500, 1000, 5000) if step >= value)


def _axes(top: int, highest: str, across: float) -> str:
    bottom, right = top + _HEIGHT, _WIDTH - _RIGHT
    text = f'<path class="grid" d="M{_LEFT} {top}H{right}M{_LEFT} {top + _HEIGHT / 2:g}H{right}"/>\n'
    text += f'<path class="axis" d="M{_LEFT} {top}V{bottom}H{right}"/>\n'
    text += f'<text x="{_LEFT - 6}" y="{top + 5}" text-anchor="end">{highest}</text>'
    text += f'<text x="{_LEFT - 6}" y="{bottom + 4}" text-anchor="end">0</text>\n'
    for minute in range(0, 61, 10):
        x = _LEFT + minute * 60 * across
        text += f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{minute}</text>'
    return text + "\n"


def _placing(across: float, top: int, scale: float) -> Callable[[int, float], str]:
    def place(number: int, value: float) -> str:
        return f"{_LEFT + (number + 0.5) * _STEP * across:.1f} {top + _HEIGHT * (1 - value / scale):.1f}"

    return place


def _path(line: Sequence[float], place: Callable[[int, float], str]) -> str:
    """Points in the middle of a level stretch are left out."""
    before = [True, *(one != other for one, other in pairwise(line))]
    after = [*before[1:], True]
    kept = [place(number, value) for number, value in enumerate(line) if before[number] or after[number]]
    return "M" + "L".join(kept)
