"""Starting, draining and stopping, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.app import Gateway
from gateway.config import Config, CredentialsConfig, ServerConfig
from gateway.emulator import Emulator
from gateway.errors import CredentialsUnavailable
from gateway.rpc.departure import Farewell
from tests.integration.test_transport import unused_port
from tests.support import APP, STREAM, Call, Client, Running, config_for, key, upstream_of, wait_until

Start = Callable[[Config], Running]


def patient(**fields: object) -> ServerConfig:
    """Drains until its clients have left, and no longer."""
    return ServerConfig(**{"listen": "127.0.0.1:0", "admin_listen": "", "quiet_seconds": 0.0, **fields})


@pytest.fixture(params=["tcp", "unix"])
def listen(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "127.0.0.1:0" if request.param == "tcp" else f"unix://{tmp_path}/gateway.sock"


def test_connections_of_clients_are_counted(emulator: Emulator, start: Start, listen: str) -> None:
    running = start(config_for(emulator, server=patient(listen=listen)))
    assert running.gateway.connections == 0
    running.client.commit(1)
    assert running.gateway.connections == 1
    other = Client(running.gateway.bound[0].address)
    # a channel of its own, as gRPC shares connections between channels that are alike
    other.channel = grpc.insecure_channel(running.gateway.bound[0].address, [("grpc.use_local_subchannel_pool", 1)])
    grpc.channel_ready_future(other.channel).result(20)
    assert running.gateway.connections == 2
    other.channel.close()
    wait_until(lambda: running.gateway.connections == 1)
    running.client.channel.close()
    wait_until(lambda: running.gateway.connections == 0)


def test_while_it_drains_it_serves_on_until_the_client_has_left(emulator: Emulator, start: Start, listen: str) -> None:
    running = start(config_for(emulator, server=patient(listen=listen)))
    running.client.commit(1)
    with ThreadPoolExecutor(1) as pool:
        draining = pool.submit(running.gateway.drain)
        wait_until(lambda: not running.gateway.readiness.ready)
        running.client.commit(2)  # on the connection that was open
        late = grpc.insecure_channel(running.gateway.bound[0].address, [("grpc.use_local_subchannel_pool", 1)])
        with late:
            other = Client(running.gateway.bound[0].address)
            other.channel = late
            assert other.health() == "NOT_SERVING"
        assert not draining.done()
        running.client.commit(3)
        running.client.channel.close()
        assert draining.result(20) is Farewell.CLIENTS_LEFT
    assert emulator.checkpoint(STREAM, APP, 0) == ("3", "")


def test_a_client_that_stays_holds_it_for_the_grace_period_alone(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator, server=patient(grace_seconds=0.2)))
    running.client.commit(1)
    assert running.gateway.drain() is Farewell.GRACE_OVER


def test_a_stream_goes_on_while_it_drains_and_ends_answered_when_it_stops(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator, server=patient(grace_seconds=0.0)))
    drained, more = threading.Event(), threading.Event()

    def requests() -> Iterator[pb.StreamCommitsRequest]:
        for number in (1, 2):
            commit = pb.CommitCheckpointRequest(key=key(), sequence_number=str(number))
            yield pb.StreamCommitsRequest(id=number, commit=commit)
            (drained if number == 1 else more).wait(20)

    answers = running.client.stub.StreamCommits(requests(), timeout=50)
    assert next(answers).id == 1
    running.gateway.drain()
    emulator.inject("hold", method="POST")
    drained.set()
    emulator.wait_for_held(1)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(running.gateway.stop, 20.0)
        emulator.release()
        assert next(answers).id == 2
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        more.set()
        stopping.result(20)
    assert Call.of(caught.value).reason == "GATEWAY_DRAINING"
    assert emulator.checkpoint(STREAM, APP, 0) == ("2", "")


def test_who_still_waits_for_a_write_when_time_is_over_hears_that_its_outcome_is_unknown(
    emulator: Emulator, start: Start
) -> None:
    running = start(config_for(emulator, server=patient()))
    emulator.inject("hold", method="POST", times=0)
    with ThreadPoolExecutor(3) as pool:
        sent = pool.submit(running.client.failure, running.client.commit, 41)
        emulator.wait_for_held(1)
        waiting = pool.submit(running.client.failure, running.client.commit, 42)
        wait_until(lambda: running.gateway.service.depth() == 1)
        stopping = pool.submit(running.gateway.stop, 1.0)
        assert (sent.result(20).code, sent.result(20).reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "COMMIT_OUTCOME_UNKNOWN",
        )
        assert waiting.result(20).reason == "GATEWAY_DRAINING"
        emulator.clear_faults()
        emulator.release()
        stopping.result(20)
    assert emulator.checkpoint(STREAM, APP, 0) == ("41", "")


def test_a_start_waits_for_credentials_and_gives_up_when_its_time_is_over(emulator: Emulator) -> None:
    nowhere = CredentialsConfig(metadata=True, metadata_endpoint=f"http://127.0.0.1:{unused_port()}")
    config = Config(
        upstream=upstream_of(emulator), credentials=nowhere, server=patient(startup_seconds=20.0, admin_listen="")
    )
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 3

    gateway = Gateway(config)
    try:
        with pytest.raises(CredentialsUnavailable, match="the metadata service gave no credentials"):
            gateway.start(wait)
        assert len(waits) == 3
        assert not gateway.readiness.has_started
        assert gateway.bound == ()
    finally:
        gateway.stop(0)
