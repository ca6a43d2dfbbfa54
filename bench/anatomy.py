"""Where the time of a cached read goes: the kernel, gRPC, and the gateway's own code.

The first two are got from CPU of a loaded server, as the system has it. The gateway's own code is called without a
server, a million times in a row, so with warm caches; the rest is gRPC.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import assembled
from bench.parts import Contest, Figure, Pace, all_of, dis, gateway, peer, spread
from bench.reads import TOKEN, checked
from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.rpc.admission import Admission, CallersSettings
from gateway.rpc.calls import unseen
from gateway.rpc.deadlines import Deadlines
from gateway.rpc.handlers import Shared, UnaryMethod
from gateway.rpc.messages import MessageReader
from gateway.rpc.pool import CallPool
from gateway.rpc.quick import QuickReads
from gateway.rpc.servicer import CheckpointServicer
from gateway.telemetry.calls import Calls
from gateway.telemetry.metrics import Metrics

_CALLS = 20_000
_KEYS = 1000
_WHOLE = "gateway, callers by token"
_BARE = "bare grpcio echo"


class _Reply:
    """To a call, with as much of its context as a cached read looks at."""

    def __init__(self) -> None:
        self.context: Any = self
        self._metadata = (("user-agent", "grpc-go"), ("authorization", f"Bearer {TOKEN}"))

    def peer(self) -> str:
        return "unix:"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def send(self, response: bytes) -> None:
        """The rest is gRPC's."""

    def fail(self, status: object) -> None:
        raise RuntimeError(f"a cached read failed: {status}")


def figures(pace: Pace) -> list[Figure]:
    """Microseconds of CPU for each call, and what they are of those of the bare server."""
    with tempfile.TemporaryDirectory() as folder, dis() as url:
        work = Path(folder)
        contenders = {
            _BARE: peer("bare", f"unix://{work}/bare.sock"),
            _WHOLE: gateway(url, f"unix://{work}/gateway.sock", **checked(work)),
        }
        with all_of(contenders) as servers:
            contest = Contest(servers).run(pace, "-callers", "16", "-token", TOKEN)
        own = _own_code(pace, work / "callers.toml")
    base = statistics.median(contest.cpu[_BARE]) * 1e6
    result: list[Figure] = []

    def tell(what: str, micros: float, of_which: list[float] | None = None) -> None:
        of = "itself" if what == _BARE else _BARE
        result.append(Figure(what, micros, "µs", micros / base, of, spread=spread(of_which or [])))

    for name in servers:
        whole, kernel = (statistics.median(times[name]) * 1e6 for times in (contest.cpu, contest.kernel))
        code = 0.0 if name == _BARE else statistics.median(own["all"])
        tell(name, whole, contest.cpu[name])
        if pace.share >= 1:  # what the kernel takes is counted in ticks of 10 ms
            tell(f"{name}: in the kernel", kernel, contest.kernel[name])
            tell(f"{name}: gRPC{'' if code else ', and a message parsed and written'}", whole - kernel - code)
        if not code:
            continue
        tell(f"{name}: the gateway's own code", code, own["all"])
        earlier = 0.0
        for part, values in own.items():
            if part != "all":
                tell(f"of which {part}", statistics.median(values) - earlier)
                earlier = statistics.median(values)
    return result


def _own_code(pace: Pace, callers: Path) -> dict[str, list[float]]:
    """CPU of the gateway's code for a cached read in µs, by round: with one thing more each time, and with all."""
    admission = Admission(CallersSettings(callers, check_unix=True))
    kinds = {
        "the read itself": _method(None, None),
        "counting it": _method(Metrics("bench"), None),
        "looking who calls": _method(Metrics("bench"), admission),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(2 * pace.rounds):
        for name, method in kinds.items():
            times[name].append(_timed(method))
    return {**times, "all": times["looking who calls"]}


def _method(metrics: Metrics | None, admission: Admission | None) -> UnaryMethod[pb.GetCheckpointRequest]:
    service = assembled.service(_KEYS, metrics)
    assembled.fill(service, _KEYS)
    calls_of = Calls(metrics) if metrics else unseen
    reader = MessageReader(50)
    quick = QuickReads(service, reader, calls_of("BatchGetCheckpoints"))
    servicer = CheckpointServicer(service, reader, calls_of)
    return UnaryMethod(
        Shared(1 << 20, time.monotonic, CallPool(1, 10, "bench"), Deadlines(time.monotonic)),
        servicer.get,
        pb.GetCheckpointRequest,
        calls_of("GetCheckpoint"),
        (admission or Admission()).to("GetCheckpoint"),
        quick.one,
        servicer.reads(),
    )


def _timed(method: UnaryMethod[pb.GetCheckpointRequest]) -> float:
    requests = [
        pb.GetCheckpointRequest(
            key=pb.CheckpointKey(stream_name="bench", app_name="bench", partition_id=str(partition))
        ).SerializeToString()
        for partition in range(_KEYS)
    ]
    reply = _Reply()
    for data in requests:
        method.arrived(data, reply)
    began = time.thread_time()
    for turn in range(_CALLS):
        method.arrived(requests[turn % _KEYS], reply)
    return (time.thread_time() - began) / _CALLS * 1e6
