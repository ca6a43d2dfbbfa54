"""What one client may take: calls, metadata, pings, and the age of its connection."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from queue import SimpleQueue

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config, ServerConfig
from gateway.emulator import Emulator
from gateway.rpc import limits
from gateway.rpc.pool import RUNNING
from tests.support import Call, Client, Running, config_for, key, wait_until

Start = Callable[[Config], Running]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ENHANCE_YOUR_CALM = 11


def serving(emulator: Emulator, **server: float) -> Config:
    return config_for(emulator, server=ServerConfig(listen="127.0.0.1:0", admin_listen="", **server))


def test_a_call_too_many_is_told_so_with_details_and_health_goes_on(emulator: Emulator, start: Start) -> None:
    most = 2
    running = start(serving(emulator, max_concurrent_calls=most))
    client = running.client
    client.get("2")
    emulator.inject("hold", times=most)
    pending = [
        client.stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key(partition)), timeout=50)
        for partition in ("0", "1")
    ]
    emulator.wait_for_held(most)
    refused = until_refused(client)
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "GATEWAY_OVERLOADED")
    assert refused.message == f"{most} calls are under way, and no more are taken"
    assert refused.retry_after == 1.0
    assert b'disgw_rpcs_total{code="RESOURCE_EXHAUSTED",method="GetCheckpoint"}' in running.gateway.metrics.text()
    health = health_pb2_grpc.HealthStub(client.channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=20).status == health_pb2.HealthCheckResponse.SERVING
    emulator.clear_faults()
    emulator.release()
    for call in pending:
        call.result(20)
    wait_until(lambda: served(client))


def test_calls_whose_message_does_not_come_hold_up_nobody(emulator: Emulator, start: Start) -> None:
    client = start(serving(emulator)).client
    client.commit(5)
    send = client.channel.stream_unary("/disgateway.v1.CheckpointService/GetCheckpoint")
    ends: list[SimpleQueue[bytes | None]] = [SimpleQueue() for _ in range(2 * RUNNING)]
    silent = [send.future(iter(end.get, None), timeout=50) for end in ends]
    for number in range(6, 10):
        assert client.get().checkpoint.sequence_number == str(number - 1)
        client.commit(number)
    for end in ends:
        end.put(None)
    for call in silent:
        with pytest.raises(grpc.RpcError):
            call.result(20)


def test_of_a_burst_each_call_is_served_or_told_that_there_are_too_many(emulator: Emulator, start: Start) -> None:
    running = start(serving(emulator))
    client = running.client
    client.commit(5)
    request = pb.GetCheckpointRequest(key=key("0"))
    clients = [Client(running.gateway.bound[0].address) for _ in range(4)]  # one alone may have 2,000 or so
    calls = [one.stub.GetCheckpoint.future(request, timeout=50) for _ in range(1500) for one in clients]
    assert {call.code() for call in calls} <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert client.get().checkpoint.sequence_number == "5"


def until_refused(client: Client) -> Call:
    """The calls that are held may still be on their way."""
    refusals: list[Call] = []

    def refused() -> bool:
        try:
            client.stub.GetCheckpoint(pb.GetCheckpointRequest(key=key("2")), timeout=0.5)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                refusals.append(Call.of(error))
        return bool(refusals)

    wait_until(refused)
    return refusals[0]


def served(client: Client) -> bool:
    try:
        client.commit(1, "2")
    except grpc.RpcError:
        return False
    return True


def test_metadata_that_is_too_large_is_refused(emulator: Emulator, start: Start) -> None:
    client = start(serving(emulator)).client
    request = pb.GetCheckpointRequest(key=key())
    assert client.stub.GetCheckpoint(request, metadata=[("x-some", "x" * 4000)], timeout=20)
    with pytest.raises(grpc.RpcError) as caught:
        client.stub.GetCheckpoint(request, metadata=[("x-some", "x" * 20_000)], timeout=20)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_connection_that_is_old_is_replaced_and_no_call_fails(emulator: Emulator, start: Start) -> None:
    client = start(serving(emulator, max_connection_age_seconds=0.2)).client
    states: SimpleQueue[grpc.ChannelConnectivity] = SimpleQueue()
    client.channel.subscribe(states.put)
    connections = 0

    def replaced_twice() -> bool:
        nonlocal connections
        client.commit(1)
        while not states.empty():
            connections += states.get() is grpc.ChannelConnectivity.READY
        return connections > 2

    wait_until(replaced_twice)


def test_a_stream_that_is_old_answers_what_it_took_and_ends(emulator: Emulator, start: Start) -> None:
    client = start(serving(emulator, max_connection_age_seconds=0.3)).client
    outgoing: SimpleQueue[pb.StreamCommitsRequest] = SimpleQueue()
    answers = client.stub.StreamCommits(iter(outgoing.get, None), timeout=50)
    commit = pb.CommitCheckpointRequest(key=key(), sequence_number="1")
    outgoing.put(pb.StreamCommitsRequest(id=1, commit=commit))
    assert next(answers).response.result == pb.COMMIT_RESULT_COMMITTED
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert Call.of(caught.value).reason == "GATEWAY_DRAINING"
    answers.cancel()
    outgoing.put(pb.StreamCommitsRequest())


class Http2:
    """A client that can ping and do nothing else."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.socket.sendall(PREFACE + frame(SETTINGS))

    def ping(self) -> None:
        self.socket.sendall(frame(PING, bytes(8)))

    def frames(self) -> Iterator[tuple[int, int, bytes]]:
        """Type, flags and payload of what comes, until the gateway closes the connection."""
        with self.socket.makefile("rb") as incoming:
            while head := incoming.read(9):
                length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
                yield kind, flags, incoming.read(length)

    def close(self) -> None:
        self.socket.close()


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, 0]) + bytes(4) + payload


def test_who_pings_too_often_is_disconnected(emulator: Emulator, start: Start) -> None:
    running = start(serving(emulator, min_ping_seconds=60))
    with closing(Http2(running.gateway.bound[0].address)) as client:
        for _ in range(5):
            client.ping()
        goaway = next(payload for kind, _, payload in client.frames() if kind == GOAWAY)
    assert int.from_bytes(goaway[4:8]) == ENHANCE_YOUR_CALM
    assert running.client.commit(1)  # the others are left alone


def test_a_client_that_is_gone_without_a_word_loses_its_connection(
    emulator: Emulator, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KEEPALIVE_SECONDS", 0.1)
    monkeypatch.setattr(limits, "KEEPALIVE_TIMEOUT_SECONDS", 0.3)
    running = start(serving(emulator))
    with closing(Http2(running.gateway.bound[0].address)) as silent:
        kinds = [kind for kind, _, _ in silent.frames()]  # it answers no ping, and is cut off
    assert PING in kinds
    assert running.client.commit(1)


def test_who_pings_now_and_then_stays_connected_without_a_call(emulator: Emulator, start: Start) -> None:
    running = start(serving(emulator, min_ping_seconds=0.1))
    with closing(Http2(running.gateway.bound[0].address)) as client:
        client.socket.settimeout(0.15)  # longer than the least time between pings
        for _ in range(5):
            client.ping()
            kinds = []
            with pytest.raises(TimeoutError):
                kinds.extend(kind for kind, _, _ in client.frames())
            assert GOAWAY not in kinds
