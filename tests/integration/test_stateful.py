"""Anything in any order, through real gRPC and real HTTP: what the gateway says is what DIS has."""

from __future__ import annotations

import os
from typing import Any

import grpc
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.app import Gateway
from gateway.emulator import Emulator
from tests.support import ACCESS_KEY, APP, PROJECT, REGION, SECRET_KEY, STREAM, Call, Client, config_for

PARTITIONS = st.sampled_from(["0", "shardId-0000000000", "1"])
NUMBERS = st.integers(0, 30)
METADATA = st.sampled_from(["", "a", "ü😀"])
FAULTS = st.sampled_from(["cut_before", "cut_after", "truncate", "DIS.4303", "DIS.5000", "DIS.4702", "DIS.4224"])

NOT_STORED = {"UPSTREAM_THROTTLED", "CONSUMER_FENCED", "SEQUENCE_NUMBER_OUT_OF_RANGE", "UPSTREAM_UNAVAILABLE"}

Value = tuple[str, str] | None


class Checkpoints(RuleBasedStateMachine):
    """One caller after another. ``outdated``: another program wrote since the gateway last heard from DIS."""

    def __init__(self) -> None:
        super().__init__()
        self.emulator = Emulator(access_key=ACCESS_KEY, secret_key=SECRET_KEY, project=PROJECT, region=REGION)
        self.emulator.start()
        self.emulator.create_stream(STREAM, 2)
        self.emulator.create_app(APP)
        self.gateway = Gateway(config_for(self.emulator))
        self.gateway.start()
        self.client = Client(self.gateway.bound[0].address)
        self.known: dict[str, Value] = {}

    def teardown(self) -> None:
        self.client.channel.close()
        self.gateway.stop(0)
        self.emulator.stop()

    def in_dis(self, partition: str) -> Value:
        return self.emulator.checkpoint(STREAM, APP, partition)

    def attempt(self, call: Any, *args: Any, **fields: Any) -> Any:
        try:
            return call(*args, **fields)
        except grpc.RpcError as error:
            return Call.of(error)
        finally:
            self.emulator.clear_faults()

    @rule(fault=FAULTS, method=st.sampled_from(["GET", "POST", "DELETE"]))
    def something_goes_wrong_next(self, fault: str, method: str) -> None:
        if fault.startswith("DIS."):
            self.emulator.inject("error", code=fault, method=method)
        else:
            self.emulator.inject(fault, method=method)

    @rule(partition=PARTITIONS, number=NUMBERS, metadata=METADATA, rewind=st.booleans())
    def commit(self, partition: str, number: int, metadata: str, rewind: bool) -> None:
        key, before = partition[-1], self.in_dis(partition)
        answer = self.attempt(self.client.commit, number, partition, metadata=metadata, allow_rewind=rewind)
        after = self.in_dis(partition)
        if isinstance(answer, pb.CommitCheckpointResponse):
            assert after == (str(number), metadata)
            assert answer.effective.sequence_number == str(number)
            self.known[key] = after
        elif answer.reason == "CHECKPOINT_REGRESSION":
            assert before is not None
            assert not rewind
            assert number < int(before[0])
            assert answer.info.metadata["effective_sequence_number"] == before[0]
            assert after == before
            self.known[key] = before
        elif answer.reason == "COMMIT_OUTCOME_UNKNOWN":
            assert after in (before, (str(number), metadata))
            self.known.pop(key, None)
        else:
            assert answer.reason in NOT_STORED
            assert after == before
            if answer.reason == "CONSUMER_FENCED":
                self.known.pop(key, None)

    @rule(partition=PARTITIONS)
    def delete(self, partition: str) -> None:
        key, before = partition[-1], self.in_dis(partition)
        other = "1" if key == "0" else "0"
        untouched = self.in_dis(other)
        answer = self.attempt(self.client.delete, partition)
        after = self.in_dis(partition)
        if isinstance(answer, pb.DeleteCheckpointResponse):
            assert after is None
            self.known.pop(key, None)
        elif answer.reason == "DELETE_OUTCOME_UNKNOWN":
            assert after in (before, None)
            self.known.pop(key, None)
        else:
            assert answer.reason in NOT_STORED
            assert after == before
            if answer.reason == "CONSUMER_FENCED":
                self.known.pop(key, None)
        assert self.in_dis(other) == untouched

    @rule(partition=PARTITIONS, fresh=st.booleans())
    def read(self, partition: str, fresh: bool) -> None:
        key = partition[-1]
        mode = pb.READ_MODE_FRESH if fresh else pb.READ_MODE_CACHED
        answer = self.attempt(self.client.get, partition, read_mode=mode)
        if not isinstance(answer, pb.GetCheckpointResponse):
            assert answer.reason in NOT_STORED | {"UPSTREAM_INVALID_ANSWER"}
            return
        seen = (answer.checkpoint.sequence_number, answer.checkpoint.metadata) if answer.found else None
        if answer.source == pb.CHECKPOINT_SOURCE_CACHE:
            assert not fresh
            assert seen == self.known[key]  # what DIS said last, and nothing after an unknown outcome
        else:
            assert seen == self.in_dis(partition)
            self.known[key] = seen

    @rule(partition=PARTITIONS, number=NUMBERS)
    def somebody_else_commits(self, partition: str, number: int) -> None:
        self.emulator.set_checkpoint(STREAM, APP, partition, number, "elsewhere")


TestCheckpoints = Checkpoints.TestCase
TestCheckpoints.settings = settings(
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    stateful_step_count=25,
    deadline=None,
    derandomize="EXAMPLES" not in os.environ,  # the same each time, unless somebody looks for more
    suppress_health_check=list(HealthCheck),
)
