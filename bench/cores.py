"""A gateway that is tied to no core, as most are."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.parts import Contest, Figure, Pace, all_of, dis, gateway, spread
from bench.reads import is_full
from bench.without import ARRIVALS, copy


def figures(pace: Pace) -> list[Figure]:
    """At full speed, and at 1,000 a second; beside one whose calls have threads, and one whose gRPC is as it comes."""
    tied, free, default = "on one core", "on all cores", "on all cores, with gRPC's own poller"
    threads = "on all cores, with threads as grpcio has them"
    with tempfile.TemporaryDirectory() as folder, dis() as url:
        root = copy([ARRIVALS], Path(folder) / "threads")
        contenders = {
            tied: gateway(url, f"unix://{folder}/tied.sock"),
            free: gateway(url, f"unix://{folder}/free.sock", core=None),
            threads: gateway(url, f"unix://{folder}/threads.sock", core=None, root=root),
            default: gateway(url, f"unix://{folder}/default.sock", core=None, grpc={"GRPC_EXPERIMENTS": ""}),
        }
        calm: dict[str, list[float]] = {name: [] for name in contenders}
        late: dict[str, list[float]] = {name: [] for name in contenders}
        with all_of(contenders) as servers:
            contest = Contest(servers).run(pace, "-callers", "16")
            for _ in range(max(1, pace.rounds // 3)):
                for name, server in servers.items():
                    before = server.cpu()
                    done = server.load("-mode", "open", "-rate", "1000", "-seconds", "10" if is_full(pace) else "1")
                    calm[name].append((server.cpu() - before) / done["calls"])
                    late[name].append(done["p90"])
    result = [contest.figure(f"{name}: 16 callers", name, tied, "itself" if name == tied else tied) for name in servers]
    for what, unit, times, values in (
        ("CPU of a call, 16 callers", "µs", 1e6, contest.cpu),
        ("CPU of a call, 1,000 a second", "µs", 1e6, calm),
        ("p90, 1,000 a second", "µs", 1.0, late),
    ):
        for name, mine in values.items():
            ratios = [one / other for one, other in zip(mine, values[tied], strict=True)]
            of = "itself" if name == tied else tied
            value = statistics.median(mine) * times
            result.append(Figure(f"{name}: {what}", value, unit, statistics.median(ratios), of, spread=spread(ratios)))
    return result
