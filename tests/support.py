"""What tests of the whole gateway share: names, configuration, and a client that takes failures apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import msgspec
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway._gen.disgateway.v1 import checkpoint_pb2_grpc as pb_grpc
from gateway.app import Gateway
from gateway.config import (
    CacheConfig,
    Config,
    CredentialsConfig,
    LimitsConfig,
    RetryConfig,
    ServerConfig,
    UpstreamConfig,
)
from gateway.dis.signing import SigningDialect
from gateway.emulator import Emulator

ACCESS_KEY = "TESTACCESSKEY"
SECRET_KEY = "test-secret-key-that-nothing-may-show"
PROJECT = "6332998f84ac4c13a83db055da33cb66"
REGION = "eu-de"
STREAM, APP = "stream-1", "app-1"

Detail = TypeVar("Detail", bound=Message)


@dataclass
class Call:
    """How a call failed, taken apart as a client would."""

    code: grpc.StatusCode
    message: str
    status: status_pb2.Status

    @classmethod
    def of(cls, error: grpc.RpcError) -> Call:
        trailing = dict(error.trailing_metadata())
        status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
        assert status.code == error.code().value[0]
        assert status.message == error.details()
        assert SECRET_KEY not in f"{error!r} {status}"
        return cls(error.code(), error.details(), status)

    def detail(self, kind: type[Detail]) -> Detail | None:
        for packed in self.status.details:
            if packed.Is(kind.DESCRIPTOR):
                found = kind()
                packed.Unpack(found)
                return found
        return None

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        info = self.detail(error_details_pb2.ErrorInfo)
        assert info is not None
        assert info.domain == "disgateway.v1"
        return info

    @property
    def reason(self) -> str:
        return str(self.info.reason)

    @property
    def field(self) -> str:
        bad = self.detail(error_details_pb2.BadRequest)
        return bad.field_violations[0].field if bad else ""

    @property
    def retry_after(self) -> float | None:
        retry = self.detail(error_details_pb2.RetryInfo)
        return retry.retry_delay.ToTimedelta().total_seconds() if retry else None


def key(partition: str = "0", *, stream: str = STREAM, app: str = APP) -> pb.CheckpointKey:
    return pb.CheckpointKey(stream_name=stream, app_name=app, partition_id=partition)


class Client:
    """The generated stub, with a deadline on every call."""

    def __init__(
        self, address: str, credentials: grpc.ChannelCredentials | None = None, **arguments: int | str
    ) -> None:
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), *arguments.items()]
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=options)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=options)
        self.stub = pb_grpc.CheckpointServiceStub(self.channel)

    def get(self, partition: str = "0", **fields: object) -> pb.GetCheckpointResponse:
        request = pb.GetCheckpointRequest(**{"key": key(partition), **fields})
        return self.stub.GetCheckpoint(request, timeout=20, wait_for_ready=True)

    def commit(self, number: str | int, partition: str = "0", **fields: object) -> pb.CommitCheckpointResponse:
        request = pb.CommitCheckpointRequest(**{"key": key(partition), "sequence_number": str(number), **fields})
        return self.stub.CommitCheckpoint(request, timeout=20, wait_for_ready=True)

    def delete(self, partition: str = "0", **fields: object) -> pb.DeleteCheckpointResponse:
        request = pb.DeleteCheckpointRequest(**{"key": key(partition), **fields})
        return self.stub.DeleteCheckpoint(request, timeout=20, wait_for_ready=True)

    def health(self) -> str:
        """What the gateway says of itself to gRPC."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def failure(self, call: Callable[..., object], *args: object, **fields: object) -> Call:
        """The failure of a call that must fail."""
        with pytest.raises(grpc.RpcError) as caught:
            call(*args, **fields)
        return Call.of(caught.value)


def upstream_of(emulator: Emulator, **fields: object) -> UpstreamConfig:
    config = UpstreamConfig(
        endpoint=emulator.endpoint, project_id=PROJECT, region=REGION, signing=SigningDialect.SCOPED
    )
    return msgspec.structs.replace(config, **fields)


def config_for(emulator: Emulator, **sections: object) -> Config:
    config = Config(
        upstream=upstream_of(emulator),
        credentials=CredentialsConfig(access_key=ACCESS_KEY, secret_key=SECRET_KEY),
        server=ServerConfig(listen="127.0.0.1:0", admin_listen="127.0.0.1:0"),
        cache=CacheConfig(ttl_seconds=3600.0),  # no test shall depend on how long it takes
        limits=LimitsConfig(),
        retry=RetryConfig(attempts=1),  # but where a test is about them
    )
    return msgspec.structs.replace(config, **sections)


@dataclass
class Running:
    gateway: Gateway
    client: Client


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that other threads do."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to be")
