"""What each optimisation of the way of a call gains: the gateway beside itself without it.

Each is taken out of a copy of the gateway by a change of its text. A text that is no longer found is an error: the list
must follow the code.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.parts import ROOT, Contest, Figure, Pace, all_of, dis, gateway
from bench.reads import TOKEN, checked, is_full

_WHOLE = "the whole gateway"


@dataclass(frozen=True)
class Change:
    """``old`` becomes ``new`` in a file: it is then without ``what``, and does at most ``goal`` of what the whole does.

    Where it does more than ``slack`` times that, the optimisation gains nothing any more.
    """

    what: str
    file: str
    old: str
    new: str
    goal: float | None = None
    slack: float = 1.0


@dataclass(frozen=True)
class Load:
    """What is called, of a gateway that looks who calls or does not, and without what it is called too.

    ``base``: what the whole is already without.
    """

    what: str
    options: Sequence[str]
    changes: Sequence[Change]
    checked: bool = False
    base: Sequence[Change] = ()


SHORT_WAY = Change(
    "the short way of cached reads (`rpc/quick.py`)",
    "gateway/rpc/handlers.py",
    "if self._quick is None or len(data)",
    "if True or len(data)",
    goal=0.85,
    slack=1.08,
)
ARRIVALS = Change(
    "calls that begin with their message, and need no thread: with grpcio's own way",
    "gateway/rpc/server.py",
    "        parts = inner_parts()\n",
    "        parts = None\n",
    goal=0.9,
    slack=1.06,
)
PATIENCE = Change(
    "threads that the kernel puts behind those who wake them (`SCHED_BATCH`)",
    "gateway/rpc/pool.py",
    "        let_others_go_on()\n",
    "",
    goal=0.97,
    slack=1.06,
)
POLLER = Change(
    "gRPC's older poller: with threads of its own that hand calls over",
    "gateway/rpc/environment.py",
    '    "GRPC_EXPERIMENTS": "-event_engine_listener",\n',
    "",
    goal=0.97,
    slack=1.06,
)
REQUESTS = Change(
    "requests that are remembered",
    "gateway/rpc/quick.py",
    "        memo[data] = _Read(self._service, key, max_age)\n",
    "",
)
ANSWERS = Change(
    "answers that are remembered",
    "gateway/checkpoints/reads.py",
    "return held\n",
    "return held and Held(held.known, held.until, self._show(held.known))\n",
)
REGISTERED = Change(
    "methods that gRPC's core knows: with those that Python looks up",
    "gateway/rpc/server.py",
    "self._server.add_registered_method_handlers(SERVICE_NAME, self._checkpoint_handlers(service, reader))",
    "self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("
    "SERVICE_NAME, self._checkpoint_handlers(service, reader)),))",
)
TOKENS = Change(
    "tokens that are remembered",
    "gateway/rpc/admission.py",
    "permit = permits.get(shown)\n",
    "permit = None\n",
)
BATCHES = Change(
    "the short way of a batch (`rpc/quick.py`)",
    "gateway/rpc/server.py",
    "pb.BatchGetCheckpointsRequest, quick=quick.many)",
    "pb.BatchGetCheckpointsRequest)",
    goal=0.85,
    slack=1.08,
)
BATCH_REQUESTS = Change("batches that are remembered", "gateway/rpc/quick.py", "            memo[data] = known\n", "")
_OF_READS = (SHORT_WAY, ARRIVALS, POLLER, REQUESTS, ANSWERS, REGISTERED)
LOADS = (
    Load("16 callers", ("-callers", "16"), _OF_READS),
    Load("64 callers, 64 connections", ("-callers", "64", "-connections", "64"), _OF_READS),
    Load("16 callers, with threads", ("-callers", "16"), (PATIENCE,), base=(ARRIVALS,)),
    Load("16 callers by token", ("-callers", "16", "-token", TOKEN), (TOKENS,), checked=True),
    Load(
        "batches of 100, 4 callers",
        ("-mode", "batchget", "-callers", "4", "-sets"),
        (BATCHES, BATCH_REQUESTS, REQUESTS, ANSWERS),
    ),
)


def copy(changes: Sequence[Change], to: Path) -> Path:
    """A tree whose gateway is without them."""
    shutil.copytree(ROOT / "gateway", to / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    for change in changes:
        file = to / change.file
        text = file.read_text(encoding="utf-8")
        if text.count(change.old) != 1:
            raise ValueError(f"{change.file} has no longer once: {change.old!r}")
        file.write_text(text.replace(change.old, change.new), encoding="utf-8")
    return to


def figures(pace: Pace) -> list[Figure]:
    """Calls a second of each, and what they are of the whole gateway's; in a short run of those that have a goal."""
    result: list[Figure] = []
    met: set[Change] = set()
    for load in LOADS:
        changes = [one for one in load.changes if is_full(pace) or (one.goal and one not in met)]
        met.update(changes)
        if changes:
            result += _beside(load, changes, pace)
    return result


def _beside(load: Load, changes: Sequence[Change], pace: Pace) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, dis() as url:
        work = Path(folder)
        settings = checked(work) if load.checked else {}
        whole = copy(load.base, work / "whole")
        contenders = {_WHOLE: gateway(url, f"unix://{work}/whole.sock", root=whole, **settings)}
        for place, change in enumerate(changes):
            root = copy([*load.base, change], work / str(place))
            contenders[change.what] = gateway(url, f"unix://{work}/{place}.sock", root=root, **settings)
        with all_of(contenders) as servers:
            contest = Contest(servers).run(pace, *load.options)
    result = [contest.figure(f"{_WHOLE}: {load.what}", _WHOLE, _WHOLE, "itself")]
    for change in changes:
        figure = contest.figure(f"without {change.what}: {load.what}", change.what, _WHOLE, _WHOLE, change.goal)
        result.append(replace(figure, at_most=True, slack=change.slack))
    return result
