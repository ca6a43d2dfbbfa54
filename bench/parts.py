"""What the benchmarks are made of: processes on cores of their own, load, and figures with their spread.

The machine's noise hits all that is compared alike: of each round each contender gets a short turn, and what is told is
the median over the rounds, of values and of ratios within a round.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from gateway.rpc.environment import DEFAULTS

ROOT = Path(__file__).parent.parent
LOAD = str(ROOT / ".cache" / "bench-load")
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""Those that this process may use; none where the system does not tell, and then nothing stays on one."""
SERVER_CORE, LOAD_CORE = CORES[:2] if len(CORES) > 1 else (0, 0)
ECHO_METHOD = "/bench.Echo/Get"
_FAILED = 0.0001
"""Share of the calls of an open loop that may fail, which is told; a closed one ends at the first."""
_END_SECONDS = 20
"""How long a process has to end when it is asked to."""
_PARENT_DEATH = 1  # PR_SET_PDEATHSIG
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Figure:
    """One line of a table. ``spread`` is the distance of the quartiles over the median, ``goal`` is for the ratio."""

    what: str
    value: float
    unit: str
    ratio: float | None = None
    of: str = ""
    goal: float | None = None
    at_most: bool = False
    spread: float = 0.0
    slack: float = 2.0
    """how many times worse than its goal it may be before that is a collapse: what no noise of this machine explains"""
    row: str = ""
    """which of the goals it is a figure of: see ``bench.page.GOALS``"""
    limit: str = ""
    """its goal as readers expect it, where that is not one of a ratio: ``≤ 500 µs``"""

    @property
    def met(self) -> bool:
        """Whether the goal is met; as it is where there is none."""
        if self.goal is None or self.ratio is None:
            return True
        return self.ratio <= self.goal if self.at_most else self.ratio >= self.goal

    @property
    def in_noise(self) -> bool:
        """Whether the goal is missed by no more than half the distance of the quartiles, and at most by a tenth."""
        if self.met or self.goal is None or self.ratio is None:
            return False
        return abs(self.ratio - self.goal) <= min(self.ratio * self.spread / 2, self.goal / 10)

    @property
    def collapsed(self) -> bool:
        """Whether it is so much worse than its goal that no noise explains it."""
        if self.goal is None or self.ratio is None:
            return False
        return self.ratio > self.goal * self.slack if self.at_most else self.ratio < self.goal / self.slack

    def as_json(self) -> dict[str, Any]:
        """For the file beside the page: what is not as it is by default."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}


@dataclass(frozen=True)
class Pace:
    """How long it may take. ``rounds`` of ``seconds`` for each contender; ``share`` of what has no rounds."""

    rounds: int
    seconds: float
    share: float


FULL = Pace(9, 1.0, 1.0)
QUICK = Pace(3, 0.15, 0.1)


def spread(values: Sequence[float]) -> float:
    """The distance of the quartiles, as a part of the median."""
    if len(values) < 3:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle if middle else 0.0


def cramped() -> str:
    """What is to be told where server and load do not have a core each, else nothing."""
    if len(CORES) > 1:
        return ""
    which = f"only core {CORES[0]}" if CORES else "cores that cannot be told apart"
    return f"The bench has {which}: server and load take turns, and no figure here says much."


def tied(core: int | None = None) -> dict[str, Any]:
    """What to start a process with, so that it stays on a core, ends with this one, and Ctrl-C is left to this one."""
    parent = os.getpid()

    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PARENT_DEATH, signal.SIGKILL)  # that is, when the thread ends that starts it
            if os.getppid() != parent:
                os._exit(1)
        if core is not None and len(CORES) > 1:
            os.sched_setaffinity(0, {core})

    return {"preexec_fn": prepare, "process_group": 0}


@contextmanager
def process(
    core: int | None, *command: str, errors: bool = False, root: Path = ROOT, **env: str
) -> Iterator[subprocess.Popen[str]]:
    """Running on a core, or on any, until the end of the block. Of its two outputs the one that is read is a pipe."""
    one = subprocess.Popen(
        command,
        env={**os.environ, **env},
        cwd=root,
        stdout=subprocess.DEVNULL if errors else subprocess.PIPE,
        stderr=subprocess.PIPE if errors else None,
        text=True,
        **tied(core),
    )
    try:
        yield one
    finally:
        one.terminate()
        try:
            one.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            one.kill()
            one.communicate()


def first_line(one: subprocess.Popen[str]) -> str:
    """What a server prints when it serves."""
    assert one.stdout is not None
    line = one.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"{one.args!r} did not start")
    return line


@dataclass(frozen=True)
class Server:
    """Something to call: where, what, and by which process. ``options`` are for the load."""

    target: str
    pid: int
    options: tuple[str, ...] = ()

    def cpu(self) -> float:
        """Seconds of a processor that it has used; on Linux to the nanosecond, elsewhere to the tick."""
        if sys.platform == "linux":
            return time.clock_gettime(~self.pid << 3 | 2)  # as clock_getcpuclockid(3) has it
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def kernel(self) -> float:
        """Seconds of that in the kernel, as the system counts them."""
        return float(psutil.Process(self.pid).cpu_times().system)

    def memory(self) -> int:
        """Bytes that it holds (RSS)."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def load(self, *options: str) -> dict[str, Any]:
        """Call it, with ``-mode get`` unless told otherwise, and give what was measured."""
        command = [LOAD, "-mode", "get", "-target", self.target, *self.options, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, **tied(LOAD_CORE))
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        result = dict(json.loads(done.stdout))
        if result.get("failed", 0) > _FAILED * result.get("calls", 0):
            raise RuntimeError(f"{' '.join(command)}: {result['failed']} calls failed: {done.stderr.strip()}")
        if done.stderr:
            print(done.stderr.strip(), file=sys.stderr)
        return result


@contextmanager
def dis(delay: float = 0.0) -> Iterator[str]:
    """A DIS that only waits; gives its URL."""
    with process(LOAD_CORE, LOAD, "-mode", "dis", "-delay", f"{delay}s") as one:
        yield first_line(one)


def settings(url: str, **more: str) -> dict[str, str]:
    """The variables of a gateway before ``url``; ``more`` as ``cache__ttl_seconds="5"``."""
    base = {
        "upstream__endpoint": url,
        "upstream__project_id": "0" * 32,
        "upstream__region": "bench",
        "credentials__access_key": "bench",
        "credentials__secret_key": "bench",
        "server__quiet_seconds": "0",
        "cache__ttl_seconds": "86400",  # what is measured as cached is
    }
    return {f"DISGW_{name.upper()}": value for name, value in (base | more).items()}


@contextmanager
def gateway(
    url: str,
    target: str,
    options: Sequence[str] = (),
    admin: str = "127.0.0.1:0",
    root: Path = ROOT,
    core: int | None = SERVER_CORE,
    grpc: Mapping[str, str] | None = None,
    **more: str,
) -> Iterator[Server]:
    """A gateway as users run it. ``target`` is where it serves; a TCP port of 0 is chosen by the system.

    ``root`` is the folder of its code, ``grpc`` what gRPC's core is told otherwise.
    """
    command = [sys.executable, "-m", "gateway.cli", "serve", "--listen", target, "--admin-listen", admin]
    with process(core, *command, errors=True, root=root, **settings(url, **more), **(grpc or {})) as one:
        assert one.stderr is not None
        told: dict[str, Any] = {}
        while told.get("event") != "serving":
            line = one.stderr.readline()
            if not line:
                raise RuntimeError("the gateway did not start")
            told = json.loads(line) if line.startswith("{") else {}
        threading.Thread(target=one.stderr.read, daemon=True).start()  # a full pipe would hold it up
        listen = told["listen"]
        bound = listen[0] if isinstance(listen, list) else str(listen).split(",")[0]
        yield Server(bound, one.pid, tuple(options))


@contextmanager
def peer(kind: str, target: str, *more: str, like_ours: bool = False) -> Iterator[Server]:
    """Something else that answers: ``bare`` grpcio, with ``more`` options of its own, ``go-echo``, ``go-native``.

    ``like_ours``: gRPC's core is told what the gateway tells it; else it is as it comes.
    """
    command = [sys.executable, "-m", "bench.echo", target, *more]
    if kind != "bare":
        command = [LOAD, "-mode", kind.removeprefix("go-"), "-listen", target]
    options = () if kind == "go-native" else ("-method", ECHO_METHOD)
    with process(SERVER_CORE, *command, **(DEFAULTS if like_ours else {})) as one:
        yield Server(first_line(one), one.pid, options)


@contextmanager
def awake() -> Iterator[None]:
    """Both cores have something to do that gives way to everything else, so that none must be woken."""
    idle = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))"
    spin = f"{idle}; print('awake', flush=True)\nwhile True: pass"
    with ExitStack() as stack:
        for core in (SERVER_CORE, LOAD_CORE):
            first_line(stack.enter_context(process(core, sys.executable, "-c", spin)))
        yield


class Contest:
    """Contenders that are loaded in turns, by round.

    ``rates`` has calls a second; ``cpu`` the server's seconds for each, ``kernel`` those in the kernel, ``load`` those
    of whoever calls.
    """

    def __init__(self, contenders: Mapping[str, Server]) -> None:
        self.contenders = contenders
        self.rates: dict[str, list[float]] = {name: [] for name in contenders}
        self.cpu: dict[str, list[float]] = {name: [] for name in contenders}
        self.kernel: dict[str, list[float]] = {name: [] for name in contenders}
        self.load: dict[str, list[float]] = {name: [] for name in contenders}

    def run(self, pace: Pace, *options: str, filled: bool = False, **own: Sequence[str]) -> Contest:
        """``options`` are for all, ``own`` for one of them, instead; ``filled``: all keys are cached already.

        Each round begins with another of them.
        """
        names = list(self.contenders)
        for turn in range(pace.rounds + 1):  # the first warms up
            begin = turn % len(names)
            for name in names[begin:] + names[:begin]:
                server = self.contenders[name]
                before, kernel = server.cpu(), server.kernel()
                more = () if turn or filled else ("-prime",)
                done = server.load(*own.get(name, options), *more, "-seconds", f"{pace.seconds:g}")
                if turn:
                    self.rates[name].append(done["calls"] / done["seconds"])
                    self.cpu[name].append((server.cpu() - before) / done["calls"])
                    self.kernel[name].append((server.kernel() - kernel) / done["calls"])
                    self.load[name].append(done["cpu"] / done["calls"])
        return self

    def rate(self, name: str) -> float:
        """Calls a second."""
        return statistics.median(self.rates[name])

    def figure(self, what: str, name: str, base: str, of: str, goal: float | None = None, times: float = 1.0) -> Figure:
        """How many a second, and what that is of ``base`` within a round; ``times`` as much in each call."""
        rates = self.rates[name]
        ratios = [rate * times / other for rate, other in zip(rates, self.rates[base], strict=True)]
        return Figure(what, self.rate(name) * times, "/s", statistics.median(ratios), of, goal, spread=spread(ratios))


@contextmanager
def all_of(contenders: Mapping[str, Any]) -> Iterator[dict[str, Server]]:
    """Every one of some contexts, by name."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(one) for name, one in contenders.items()}
