"""Programs of the first release go on working, and neither side falls over what a later version has added."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from clients.conformance import newer
from clients.conformance.later import SERVICE, a_later_gateway
from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config
from gateway.emulator import Emulator
from tests.support import APP, STREAM, Call, Client, Running, config_for, key


def heard_by_the_old_client(target: str) -> dict[str, Any]:
    script = Path(__file__).with_name("old_client.py")
    done = subprocess.run([sys.executable, script, target, STREAM, APP], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    heard: dict[str, Any] = json.loads(done.stdout)
    return heard


def raw(client: Client, method: str, request: bytes) -> bytes:
    """A call whose bytes nobody looks at on the way."""
    call = client.channel.unary_unary(f"/{SERVICE}/{method}")
    return bytes(call(request, timeout=20, wait_for_ready=True))


def newer_key(partition: str = "0") -> Any:
    return newer.message("CheckpointKey", stream_name=STREAM, app_name=APP, partition_id=partition, added="new")


def test_a_stub_of_the_first_release_works(emulator: Emulator, start: Callable[[Config], Running]) -> None:
    running = start(config_for(emulator))
    heard = heard_by_the_old_client(running.gateway.bound[0].address)
    assert heard["commit"] == [pb.COMMIT_RESULT_COMMITTED, "41"]
    assert heard["get"] == [True, "41", "old", pb.CHECKPOINT_SOURCE_CACHE]
    assert heard["regress"] == "FAILED_PRECONDITION"
    assert heard["stream"] == [[7, "response"]]
    assert [number for number, _ in heard["list"]] == ["41"]


def test_the_gateway_passes_over_fields_that_it_does_not_know(client: Client, emulator: Emulator) -> None:
    commit = newer.message("CommitCheckpointRequest", key=newer_key(), sequence_number="41", added="new")
    answer = pb.CommitCheckpointResponse.FromString(raw(client, "CommitCheckpoint", commit.SerializeToString()))
    assert (answer.result, answer.effective.sequence_number) == (pb.COMMIT_RESULT_COMMITTED, "41")
    batch = newer.message("BatchCommitCheckpointsRequest", commits=[commit], added="new")
    results = pb.BatchCommitCheckpointsResponse.FromString(
        raw(client, "BatchCommitCheckpoints", batch.SerializeToString())
    ).results
    assert [one.WhichOneof("result") for one in results] == ["response"]
    assert emulator.checkpoint(STREAM, APP, "0") == ("41", "")


def test_the_gateway_refuses_an_enum_value_that_it_does_not_know_and_names_the_field(client: Client) -> None:
    request = newer.message("GetCheckpointRequest", key=newer_key(), read_mode=newer.ADDED_VALUE)
    with pytest.raises(grpc.RpcError) as caught:
        raw(client, "GetCheckpoint", request.SerializeToString())
    failed = Call.of(caught.value)
    assert (failed.code, failed.reason, failed.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "FIELD_INVALID",
        "read_mode",
    )
    assert not client.get().found  # and goes on


def test_a_stub_of_the_first_release_reads_and_keeps_what_a_later_gateway_adds() -> None:
    with a_later_gateway() as target:
        heard = heard_by_the_old_client(target)
    assert heard["commit"] == [newer.ADDED_VALUE, "41"]
    assert heard["get"] == [True, "41", "old", newer.ADDED_VALUE]
    kept = newer.kind("GetCheckpointResponse").FromString(bytes.fromhex(heard["kept"]))
    assert [kept.added, kept.checkpoint.added, kept.checkpoint.key.added] == ["new", "new", "new"]
    assert heard["stream"] == [[7, "response"]]
    assert heard["list"] == [["41", 5]]


@pytest.mark.parametrize(
    ("verb", "printed"),
    [
        (("get", "--partition", "0"), "41"),
        (("commit", "--partition", "0", "--sequence-number", "41"), "41"),
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_the_command_reads_what_a_later_gateway_answers(verb: tuple[str, ...], printed: str, output: str) -> None:
    with a_later_gateway() as target:
        command = [sys.executable, "-m", "gateway.cli", *verb, "--stream", STREAM, "--app", APP, "--target", target]
        done = subprocess.run([*command, "--output", output], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


def test_the_added_field_and_value_are_unknown_to_this_version() -> None:
    commit = newer.message("CommitCheckpointRequest", key=newer_key(), sequence_number="41", added="new")
    assert len(pb.CommitCheckpointRequest.FromString(commit.SerializeToString()).SerializeToString()) == len(
        commit.SerializeToString()
    )
    assert "added" not in pb.CommitCheckpointRequest.DESCRIPTOR.fields_by_name
    assert newer.ADDED_VALUE not in pb.CommitResult.values()
    assert key().partition_id == "0"
