"""Bars as SVG that read on light and on dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 860, 390, 90, 26, 40
_STYLE = """\
<style>
text { font: 13px system-ui, sans-serif; fill: #57606a }
.ours { fill: #0969da }
.other { fill: #8c959f; fill-opacity: .7 }
.goal { stroke: #bc4c00; stroke-width: 1.5; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1 }
.ours { fill: #4493f8 }
.goal { stroke: #f0883e }
}
</style>
"""


def bars(
    title: str, rows: Sequence[tuple[str, float, bool]], unit: str, goal: float | None = None, note: str = ""
) -> str:
    """Each row is a name, a value and whether it is the gateway's; ``goal`` is a line across, ``note`` a last line."""
    below = _TOP + _ROW * len(rows)
    height = below + (_ROW if note else 0) + 12
    most = max([value for _, value, _ in rows] + ([goal] if goal else []))
    across = (_WIDTH - _LEFT - _RIGHT) / most
    line = goal * across if goal else 0.0
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
            f'aria-label="{escape(title)}">\n{_STYLE}<text x="{_LEFT}" y="22">{escape(title)}</text>\n'
        )
    ]
    for place, (name, value, ours) in enumerate(rows):
        y = _TOP + _ROW * place
        width = max(1.0, value * across)
        beside = line if 0 <= line - width < _RIGHT else width  # the line does not cross the number
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{"ours" if ours else "other"}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="18" rx="2"/>'
            f'<text x="{_LEFT + beside + 6:.1f}" y="{y + 14}">{_short(value)} {escape(unit)}</text>\n'
        )
    if goal:
        parts.append(f'<path class="goal" d="M{_LEFT + line:.1f} {_TOP - 6}V{below + 4}"/>\n')
    if note:
        parts.append(f'<text x="{_WIDTH - 8}" y="{below + 22}" text-anchor="end">{escape(note)}</text>\n')
    return "".join(parts) + "</svg>\n"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
