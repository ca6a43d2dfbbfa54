"""The gateway's own server and cache alone, over a store that answers at once, to see what single parts cost.

python -m bench.assembled ADDRESS [--metrics] [--fill KEYS]
"""

from __future__ import annotations

import argparse
import time

from gateway.checkpoints.core import CoreSettings
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.waits import Caller
from gateway.deadline import Until, forever
from gateway.model import Checkpoint, CheckpointKey, Commit, PartitionPage, SequenceNumber
from gateway.rpc.calls import unseen
from gateway.rpc.server import GatewayServer, ServerSettings
from gateway.telemetry.calls import Calls
from gateway.telemetry.metrics import Metrics
from gateway.trace import Traces, untraced

_BATCH = 1000
_FOREVER = Caller(1e12)


class InstantStore:
    """Has a checkpoint of every key."""

    def read(self, key: CheckpointKey, until: Until = forever, traces: Traces = untraced) -> Checkpoint | None:
        return Checkpoint(key, SequenceNumber(int(key.partition_id[-10:])))

    def commit(self, commit: Commit, until: Until = forever, traces: Traces = untraced) -> None:
        """Stored."""

    def delete(self, key: CheckpointKey, until: Until = forever, traces: Traces = untraced) -> None:
        """Gone."""

    def partitions(
        self, stream: str, app: str, after: str, limit: int, until: Until = forever, traces: Traces = untraced
    ) -> PartitionPage:
        return PartitionPage((), more=False)


def key(partition: int) -> CheckpointKey:
    """As the load in Go asks for."""
    return CheckpointKey("bench", "bench", str(partition))


def service(max_entries: int, metrics: Metrics | None = None) -> CheckpointService:
    """A service whose cache keeps what it has."""
    hears = ("count", "count_hit", "count_hits")
    more = {name: getattr(metrics, name) for name in hears} if metrics else {}
    return CheckpointService(
        InstantStore(), CoreSettings(ttl=86_400.0, max_waiting=10**7), max_entries, time.monotonic, 4, **more
    )


def fill(into: CheckpointService, count: int) -> None:
    """Have so many keys cached."""
    for start in range(0, count, _BATCH):
        into.get_many([key(start + step) for step in range(min(_BATCH, count - start))], _FOREVER)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--metrics", action="store_true")
    parser.add_argument("--fill", type=int, default=0)
    options = parser.parse_args()
    metrics = Metrics("bench") if options.metrics else None
    cached = service(max(1000, options.fill), metrics)
    fill(cached, options.fill)
    settings = ServerSettings([options.address])
    server = GatewayServer(cached, settings, calls_of=Calls(metrics) if metrics else unseen)
    server.start()
    print(server.bound[0].address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
