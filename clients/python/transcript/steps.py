"""The steps of TRANSCRIPT.md, in its order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from disgateway import errors
from disgateway.retry import sequence_number
from disgateway.v1 import checkpoint_pb2 as pb
from disgateway.v1 import checkpoint_pb2_grpc
from transcript.emulator import EmulatorControl
from transcript.expect import Mismatch, committed, equal, fails, failure, found, not_found

TIMEOUT = 10.0
STREAM_TIMEOUT = 60.0
OPTIONS = [
    ("grpc.enable_retries", 0),  # each error is looked at
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # else a new channel may go on with the connection of the one before
]
SNAKE = "\N{SNAKE}"


def long(partition: int) -> str:
    """The long spelling of a partition."""
    return f"shardId-{partition:010}"


class Conversation:
    """What the steps share."""

    def __init__(self, target: str, emulator: EmulatorControl, stream: str, app: str) -> None:
        self._target = target
        self._emulator = emulator
        self._stream = stream
        self._app = app
        self._connect()

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """Each with its name."""
        return [
            ("get nothing", self.get_nothing),
            ("commit", self.commit_first),
            ("read back by the other spelling", self.read_back),
            ("regression refused", self.regress),
            ("rewind", self.rewind),
            ("metadata with astral characters", self.astral),
            ("invalid field", self.invalid),
            ("batch with one failing item", self.batch),
            ("stream of 1,000 commits", self.many_commits),
            ("watch sees a change", self.watch),
            ("list with lag", self.list_with_lag),
            ("delete", self.delete),
            ("deadline passes", self.deadline),
            ("upstream outage", self.outage),
            ("lost answer", self.lost_answer),
            ("fenced consumer", self.fenced),
            ("resume after reconnecting", self.resume),
        ]

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def get_nothing(self) -> None:
        answer = self._fresh("0")
        not_found(answer)
        equal("source", answer.source, pb.CHECKPOINT_SOURCE_UPSTREAM)

    def commit_first(self) -> None:
        answer = self._commit("0", "41", metadata="first")
        committed(answer, "41")
        equal("metadata", answer.effective.metadata, "first")
        key = answer.effective.key
        equal("key", (key.stream_name, key.app_name), (self._stream, self._app))
        equal("key", (key.partition_id, key.checkpoint_type), (long(0), "LAST_READ"))

    def read_back(self) -> None:
        answer = self._get(long(0))
        found(answer, "41", "first")
        key = answer.checkpoint.key
        equal("key", (key.partition_id, key.checkpoint_type), (long(0), "LAST_READ"))
        answer = self._fresh("0")
        found(answer, "41", "first")
        equal("source", answer.source, pb.CHECKPOINT_SOURCE_UPSTREAM)
        equal("partition", answer.checkpoint.key.partition_id, long(0))

    def regress(self) -> None:
        refused = failure(lambda: self._commit("0", "9"))
        code = grpc.StatusCode.FAILED_PRECONDITION
        fails(refused, code, errors.CHECKPOINT_REGRESSION, effective_sequence_number="41")

    def rewind(self) -> None:
        answer = self._commit("0", "9", allow_rewind=True)
        committed(answer, "9")
        equal("metadata", answer.effective.metadata, "")
        found(self._fresh("0"), "9")

    def astral(self) -> None:
        thousand = SNAKE * 1000  # 4,000 bytes, 1,000 characters
        committed(self._commit("0", "10", metadata=thousand), "10")
        found(self._fresh("0"), "10", thousand)
        refused = failure(lambda: self._commit("0", "11", metadata=thousand + SNAKE))
        fails(refused, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", field="metadata")

    def invalid(self) -> None:
        code = grpc.StatusCode.INVALID_ARGUMENT
        fails(failure(lambda: self._commit("0", "1.5")), code, "FIELD_INVALID", field="sequence_number")
        fails(failure(lambda: self._get("shardId-7")), code, "FIELD_INVALID", field="key.partition_id")

    def batch(self) -> None:
        pairs = (("1", "20"), ("0", "5"), ("3", "30"))
        commits = [pb.CommitCheckpointRequest(key=self._key(one), sequence_number=number) for one, number in pairs]
        request = pb.BatchCommitCheckpointsRequest(commits=commits)
        results = self._gateway.BatchCommitCheckpoints(request, timeout=TIMEOUT, wait_for_ready=True).results
        equal("number of results", len(results), 3)
        committed(results[0].response, "20")
        equal("partition", results[0].response.effective.key.partition_id, long(1))
        code = grpc.StatusCode.FAILED_PRECONDITION
        fails(results[1].status, code, errors.CHECKPOINT_REGRESSION, effective_sequence_number="10")
        committed(results[2].response, "30")
        equal("partition", results[2].response.effective.key.partition_id, long(3))

        reads = self._batch_get("3", "2", "nonsense")
        found(reads[0].response, "30")
        equal("partition", reads[0].response.checkpoint.key.partition_id, long(3))
        equal("result of one that does not exist", reads[1].WhichOneof("result"), "response")
        not_found(reads[1].response)
        fails(reads[2].status, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", field="keys[2].partition_id")

    def many_commits(self) -> None:
        unanswered = set(range(1, 1001))
        # The half-close comes when the iterator of requests ends.
        for answer in self._gateway.StreamCommits(self._thousand(), timeout=STREAM_TIMEOUT, wait_for_ready=True):
            if answer.id not in unanswered:
                raise Mismatch(f"id {answer.id} is answered twice, or was never sent")
            unanswered.remove(answer.id)
            equal(f"result of {answer.id}", answer.WhichOneof("result"), "response")
            effective, own = sequence_number(answer.response.effective), 1000 + answer.id
            equal("partition", answer.response.effective.key.partition_id, long(answer.id % 4))
            equal("at least its own number", effective >= own, True)
            result = pb.COMMIT_RESULT_SUPERSEDED if effective > own else pb.COMMIT_RESULT_COMMITTED
            equal(f"result of {answer.id}", answer.response.result, result)
        equal("ids without an answer", unanswered, set())
        reads = self._batch_get("0", "1", "2", "3")
        for read, number in zip(reads, ("2000", "1997", "1998", "1999"), strict=True):
            found(read.response, number)

    def watch(self) -> None:
        request = pb.WatchCheckpointsRequest(keys=[self._key("2")])
        changes = self._gateway.WatchCheckpoints(request, timeout=STREAM_TIMEOUT, wait_for_ready=True)
        try:
            self._seen(next(changes), "1998", "")
            committed(self._commit("2", "2100", metadata="watched"), "2100")
            self._seen(next(changes), "2100", "watched")
        finally:
            changes.cancel()

    def list_with_lag(self) -> None:
        self._emulator.call("PUT", "offsets", stream=self._stream, partition="2", earliest=1000, latest=2150)
        request = pb.ListCheckpointsRequest(stream_name=self._stream, app_name=self._app, page_size=3)
        page = self._gateway.ListCheckpoints(request, timeout=TIMEOUT, wait_for_ready=True)
        self._standing(page, 0, "2000", "1997", "2100")
        third = page.partitions[2]
        equal("offsets", (third.earliest_sequence_number, third.latest_sequence_number), ("1000", "2150"))
        equal("lag", third.lag, 50)
        equal("whether there is a token", bool(page.next_page_token), True)
        request.page_token = page.next_page_token
        page = self._gateway.ListCheckpoints(request, timeout=TIMEOUT, wait_for_ready=True)
        self._standing(page, 3, "1999")
        equal("token", page.next_page_token, "")

    def delete(self) -> None:
        request = pb.DeleteCheckpointRequest(key=self._key("3"))
        self._gateway.DeleteCheckpoint(request, timeout=TIMEOUT, wait_for_ready=True)
        not_found(self._fresh("3"))
        self._gateway.DeleteCheckpoint(request, timeout=TIMEOUT, wait_for_ready=True)

    def deadline(self) -> None:
        self._emulator.fault("hold", "GET", 0)
        began = time.monotonic()
        failed = failure(lambda: self._fresh("0", timeout=0.5))
        equal("within 3 seconds", time.monotonic() - began < 3, True)
        equal("code", failed.code, grpc.StatusCode.DEADLINE_EXCEEDED)
        equal("a known reason", failed.reason in ("", "UPSTREAM_TOO_SLOW"), True)
        self._emulator.clear()
        self._emulator.call("POST", "release")
        found(self._fresh("0"), "2000")

    def outage(self) -> None:
        self._emulator.fault("error", "GET", 0, code="DIS.5000")
        failed = failure(lambda: self._fresh("0"))
        self._emulator.clear()
        code = grpc.StatusCode.UNAVAILABLE
        fails(failed, code, "UPSTREAM_UNAVAILABLE", retry=True, dis_error_code="DIS.5000", http_status="500")
        found(self._fresh("0"), "2000")

    def lost_answer(self) -> None:
        self._emulator.fault("cut_after", "POST", 1)
        failed = failure(lambda: self._commit("0", "2200"))
        equal("code", failed.code, grpc.StatusCode.UNAVAILABLE)
        equal("reason", failed.reason, errors.COMMIT_OUTCOME_UNKNOWN)
        equal("fields", failed.fields, ())
        committed(self._commit("0", "2200"), "2200")

    def fenced(self) -> None:
        self._emulator.fault("error", "POST", 1, code="DIS.4702")
        refused = failure(lambda: self._commit("0", "2300", client_id="consumer-1", generation_id="7"))
        code = grpc.StatusCode.FAILED_PRECONDITION
        fails(refused, code, errors.CONSUMER_FENCED, dis_error_code="DIS.4702", http_status="400")

    def resume(self) -> None:
        self._channel.close()
        self._connect()
        answer = self._fresh("0")
        found(answer, "2200")
        equal("source", answer.source, pb.CHECKPOINT_SOURCE_UPSTREAM)
        committed(self._commit("0", "2201"), "2201")

    def _connect(self) -> None:
        self._channel = grpc.insecure_channel(self._target, options=OPTIONS)
        self._gateway = checkpoint_pb2_grpc.CheckpointServiceStub(self._channel)

    def _key(self, partition: str) -> pb.CheckpointKey:
        return pb.CheckpointKey(stream_name=self._stream, app_name=self._app, partition_id=partition)

    def _get(
        self, partition: str, mode: pb.ReadMode = pb.READ_MODE_UNSPECIFIED, timeout: float = TIMEOUT
    ) -> pb.GetCheckpointResponse:
        request = pb.GetCheckpointRequest(key=self._key(partition), read_mode=mode)
        return self._gateway.GetCheckpoint(request, timeout=timeout, wait_for_ready=True)

    def _fresh(self, partition: str, timeout: float = TIMEOUT) -> pb.GetCheckpointResponse:
        """Read from DIS itself."""
        return self._get(partition, pb.READ_MODE_FRESH, timeout)

    def _commit(self, partition: str, number: str, **fields: Any) -> pb.CommitCheckpointResponse:
        request = pb.CommitCheckpointRequest(key=self._key(partition), sequence_number=number, **fields)
        return self._gateway.CommitCheckpoint(request, timeout=TIMEOUT, wait_for_ready=True)

    def _batch_get(self, *partitions: str) -> list[pb.BatchGetCheckpointsResult]:
        keys = [self._key(partition) for partition in partitions]
        request = pb.BatchGetCheckpointsRequest(keys=keys, read_mode=pb.READ_MODE_FRESH)
        results = self._gateway.BatchGetCheckpoints(request, timeout=TIMEOUT, wait_for_ready=True).results
        equal("number of results", len(results), len(partitions))
        return list(results)

    def _thousand(self) -> Iterator[pb.StreamCommitsRequest]:
        for number in range(1, 1001):
            key = self._key(str(number % 4))
            commit = pb.CommitCheckpointRequest(key=key, sequence_number=str(1000 + number))
            yield pb.StreamCommitsRequest(id=number, commit=commit)

    def _standing(self, page: pb.ListCheckpointsResponse, begin: int, *numbers: str) -> None:
        """Just these partitions, from that one on."""
        standing = [
            (one.checkpoint.key.partition_id, one.found, one.checkpoint.sequence_number, one.status)
            for one in page.partitions
        ]
        wanted = [(long(index), True, number, "ACTIVE") for index, number in enumerate(numbers, begin)]
        equal("partitions", standing, wanted)

    def _seen(self, change: pb.WatchCheckpointsResponse, number: str, metadata: str) -> None:
        equal("found", change.found, True)
        equal("partition", change.key.partition_id, long(2))
        equal("number", change.checkpoint.sequence_number, number)
        equal("metadata", change.checkpoint.metadata, metadata)
