"""What each optimisation of the way of a call gains: the gateway beside itself without it.

Each is taken out of a copy of the gateway by a change of its text. A text that is no longer found is an error: the list
must follow the code.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.parts import ROOT, Contest, Figure, Pace, all_of, dis, gateway

_WHOLE = "the whole gateway"
_LOADS: Sequence[tuple[str, Sequence[str]]] = (
    ("16 callers", ("-callers", "16")),
    ("64 callers, 64 connections", ("-callers", "64", "-connections", "64")),
)


@dataclass(frozen=True)
class Change:
    """``old`` becomes ``new`` in a file: it is then without ``what``."""

    what: str
    file: str
    old: str
    new: str


CHANGES = (
    Change(
        "the short way of cached reads",
        "gateway/rpc/handlers.py",
        "if quick is not None and len(data)",
        "if False and len(data)",
    ),
    Change(
        "few threads: with one for each call",
        "gateway/rpc/pool.py",
        "RUNNING = 4\n",
        "RUNNING = 512\n",
    ),
    Change(
        "calls that gRPC does not count: with a future for each",
        "gateway/rpc/pool.py",
        "            self._jobs.put((job, args))\n",
        "            future = Future()\n"
        "            self._jobs.put((lambda: (job(*args), future.set_result(None)), ()))\n",
    ),
)


def copy(change: Change, to: Path) -> Path:
    """A tree whose gateway is without it."""
    shutil.copytree(ROOT / "gateway", to / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    file = to / change.file
    text = file.read_text(encoding="utf-8")
    if text.count(change.old) != 1:
        raise ValueError(f"{change.file} has no longer once: {change.old!r}")
    file.write_text(text.replace(change.old, change.new), encoding="utf-8")
    return to


def figures(pace: Pace) -> list[Figure]:
    """Cached reads a second of each, and what they are of the whole gateway's."""
    result = []
    with tempfile.TemporaryDirectory() as folder, dis() as url:
        work = Path(folder)
        contenders = {_WHOLE: gateway(url, f"unix://{work}/whole.sock")}
        for place, change in enumerate(CHANGES):
            root = copy(change, work / str(place))
            contenders[change.what] = gateway(url, f"unix://{work}/{place}.sock", root=root)
        with all_of(contenders) as servers:
            for what, options in _LOADS:
                contest = Contest(servers).run(pace, *options)
                result.append(contest.figure(f"{_WHOLE}: {what}", _WHOLE, _WHOLE, "itself"))
                result += [
                    contest.figure(f"without {change.what}: {what}", change.what, _WHOLE, _WHOLE) for change in CHANGES
                ]
    return result
