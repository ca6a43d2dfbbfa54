"""Today's published SDK, unmodified, against the emulator: the emulator is held to what others send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, DerivedCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkdis.v2 import (
    CommitCheckpointReq,
    CommitCheckpointRequest,
    CreateAppReq,
    CreateAppRequest,
    CreateStreamReq,
    CreateStreamRequest,
    DeleteAppRequest,
    DeleteCheckpointRequest,
    DeleteStreamRequest,
    DisClient,
    ListAppRequest,
    ListStreamsRequest,
    ShowCheckpointRequest,
    ShowConsumerStateRequest,
    ShowStreamRequest,
)

from gateway.emulator import Emulator
from tests.support import ACCESS_KEY, PROJECT, REGION, SECRET_KEY


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(access_key=ACCESS_KEY, secret_key=SECRET_KEY, project=PROJECT, region=REGION) as running:
        yield running


def client(emulator: Emulator, dialect: str, secret_key: str = SECRET_KEY) -> Any:
    credentials = BasicCredentials(ACCESS_KEY, secret_key, PROJECT)
    builder = DisClient.new_builder()
    if dialect == "derived":
        credentials.with_derived_predicate(DerivedCredentials.get_default_derived_predicate())
        builder._derived_auth_service_name = "dis"  # clients of services that use it come with it set
    return builder.with_credentials(credentials).with_region(Region(REGION, emulator.endpoint)).build()


@pytest.mark.parametrize("dialect", ["access", "derived"])
def test_it_makes_a_stream_and_an_app_and_commits_reads_and_deletes(emulator: Emulator, dialect: str) -> None:
    dis = client(emulator, dialect)
    dis.create_stream(CreateStreamRequest(body=CreateStreamReq(stream_name="s", partition_count=2)))
    dis.create_app(CreateAppRequest(body=CreateAppReq(app_name="a")))
    assert dis.list_streams(ListStreamsRequest()).stream_names == ["s"]
    assert [app.app_name for app in dis.list_app(ListAppRequest()).apps] == ["a"]
    assert len(dis.show_stream(ShowStreamRequest(stream_name="s")).partitions) == 2

    key = {"stream_name": "s", "app_name": "a", "partition_id": "0", "checkpoint_type": "LAST_READ"}
    assert dis.show_checkpoint(ShowCheckpointRequest(**key)).sequence_number == "-1"
    text = 'a b+c/d="é" 😀'
    committed = dis.commit_checkpoint(
        CommitCheckpointRequest(body=CommitCheckpointReq(**key, sequence_number="41", metadata=text))
    )
    assert committed.status_code == 201
    found = dis.show_checkpoint(ShowCheckpointRequest(**{**key, "partition_id": "shardId-0000000000"}))
    assert (found.sequence_number, found.metadata) == ("41", text)
    state = dis.show_consumer_state(
        ShowConsumerStateRequest(stream_name="s", app_name="a", checkpoint_type="LAST_READ")
    )
    assert [one.sequence_number for one in state.partition_consuming_states] == ["41", "-1"]

    assert dis.delete_checkpoint(DeleteCheckpointRequest(**key)).status_code == 204
    assert dis.show_checkpoint(ShowCheckpointRequest(**key)).sequence_number == "-1"
    assert dis.delete_app(DeleteAppRequest(app_name="a")).status_code == 204
    assert dis.delete_stream(DeleteStreamRequest(stream_name="s")).status_code == 204
    prefix = "V11-HMAC-SHA256" if dialect == "derived" else "SDK-HMAC-SHA256 Access="
    assert all(one.authorization.startswith(prefix) for one in emulator.requests())  # it did sign as was meant


def test_it_understands_the_errors(emulator: Emulator) -> None:
    dis = client(emulator, "access")
    with pytest.raises(ClientRequestException) as caught:
        dis.show_stream(ShowStreamRequest(stream_name="nowhere"))
    assert caught.value.status_code == 400
    assert "DIS.4301" in str(caught.value)
    with pytest.raises(ClientRequestException) as caught:
        client(emulator, "access", "wrong").list_streams(ListStreamsRequest())
    assert caught.value.status_code == 441
    assert "DIS.4100" in str(caught.value)
