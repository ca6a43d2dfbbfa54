"""The machine-readable transcript holds: a gateway answers it as it says."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config
from gateway.emulator import Emulator
from tests.support import Running, config_for

CLIENTS = Path(__file__).parents[2] / "clients"
TRANSCRIPT = json.loads((CLIENTS / "transcript.json").read_text())
NAMES = {"$STREAM": "transcript", "$APP": "every-language"}
Json = Any


def filled(value: Json, names: dict[str, str]) -> Json:
    """A template with its placeholders replaced and its repetitions written out."""
    if isinstance(value, dict):
        if set(value) == {"repeat", "times"}:
            return value["repeat"] * value["times"]
        return {name: filled(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, names) for one in value]
    if isinstance(value, str):
        for placeholder, text in names.items():
            value = value.replace(placeholder, text)
    return value


def as_json(message: Message) -> Json:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def differences(wanted: Json, found: Json, path: str = "") -> Iterator[str]:
    """Where an answer is not what it must be; it may have more fields, but not more elements."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            yield from differences(value, found.get(name) if isinstance(found, dict) else None, f"{path}.{name}")
    elif isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            yield f"{path}: {found!a} has not {len(wanted)} elements"
            return
        for index, value in enumerate(wanted):
            yield from differences(value, found[index], f"{path}[{index}]")
    elif wanted != found:
        yield f"{path}: {found!a}, not {wanted!a}"


def taken_apart(status: status_pb2.Status) -> Json:
    """A status as the transcript speaks of it."""
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    has_retry = False
    for detail in status.details:
        if detail.Unpack(info):
            assert info.domain == "disgateway.v1"
        detail.Unpack(bad)
        has_retry = has_retry or detail.Unpack(retry)
    return {
        "code": code_pb2.Code.Name(status.code),
        "reason": info.reason,
        "metadata": dict(info.metadata),
        "retry_info": has_retry,
        "fields": [violation.field for violation in bad.field_violations],
    }


def of_call(error: grpc.RpcError) -> Json:
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if details is None:
        return taken_apart(status_pb2.Status(code=error.code().value[0]))
    return taken_apart(status_pb2.Status.FromString(details))


def of_batch(one: Any, unset: list[str]) -> Json:
    if one.HasField("status"):
        return {"status": taken_apart(one.status)}
    return {**as_json(one), "unset": [name for name in unset if not one.response.HasField(name)]}


class Conversation:
    """Holds the steps with a gateway."""

    def __init__(self, running: Running, emulator: Emulator) -> None:
        self._stub = running.client.stub
        self._emulator = emulator
        self._watch: Any = None
        self._saved: dict[str, str] = {}

    def act(self, action: Json) -> list[str]:
        """Do one thing of a step; what differs from the transcript."""
        action = filled(action, {**NAMES, **self._saved})
        if "emulator" in action:
            return self._control(**action["emulator"])
        if "connection" in action:
            return []  # the clients do so; here there is one channel for the whole test
        kind = {"StreamCommits": self._stream, "WatchCheckpoints": self._watched}.get(action["rpc"], self._unary)
        return kind(action)

    def _control(self, method: str, path: str, body: Json = None) -> list[str]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._emulator.endpoint + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status in (200, 204)
        return []

    def _unary(self, action: Json) -> list[str]:
        expect = action["expect"]
        request = ParseDict(action["request"], getattr(pb, action["rpc"] + "Request")())
        began = time.monotonic()
        try:
            answer = getattr(self._stub, action["rpc"])(request, timeout=action.get("deadline_seconds", 10))
        except grpc.RpcError as error:
            found = of_call(error)
        else:
            found = {"code": "OK", "response": as_json(answer), "unset": [], "nonempty": []}
            found["unset"] = [name for name in expect.get("unset", []) if not answer.HasField(name)]
            found["nonempty"] = [name for name in expect.get("nonempty", []) if getattr(answer, name)]
            if "results" in expect:
                found["results"] = [
                    of_batch(one, wanted.get("unset", []))
                    for one, wanted in zip(answer.results, expect["results"], strict=True)
                ]
            if "save" in action:
                self._saved["$SAVED"] = getattr(answer, action["save"])
        expect = dict(expect)
        if "within_seconds" in expect:
            assert time.monotonic() - began < expect.pop("within_seconds")
        if isinstance(expect.get("reason"), list):
            assert found["reason"] in expect.pop("reason")
        return list(differences(expect, found))

    def _stream(self, action: Json) -> list[str]:
        first, last = action["stream"]["ids"]
        key = action["stream"]["commit"]["key"]

        def commits() -> Iterator[pb.StreamCommitsRequest]:
            for id_ in range(first, last + 1):
                here = pb.CheckpointKey(**{**key, "partition_id": str(id_ % 4)})
                commit = pb.CommitCheckpointRequest(key=here, sequence_number=str(1000 + id_))
                yield pb.StreamCommitsRequest(id=id_, commit=commit)

        answered = []
        for answer in self._stub.StreamCommits(commits(), timeout=60):
            answered.append(answer.id)
            effective = answer.response.effective
            assert pb.CommitResult.Name(answer.response.result) in action["expect"]["result"]
            assert int(effective.sequence_number) >= 1000 + answer.id
            assert effective.key.partition_id == f"shardId-{answer.id % 4:010}"
        assert len(answered) == action["expect"]["answers"]
        return list(differences(sorted(answered), list(range(first, last + 1))))

    def _watched(self, action: Json) -> list[str]:
        if "request" in action:
            request = ParseDict(action["request"], pb.WatchCheckpointsRequest())
            self._watch = self._stub.WatchCheckpoints(request, timeout=60)
        found = as_json(next(self._watch))
        if action.get("then") == "cancel":
            self._watch.cancel()
        return list(differences(action["expect"]["message"], found))


def test_a_gateway_answers_as_the_transcript_says(emulator: Emulator, start: Callable[[Config], Running]) -> None:
    conversation = Conversation(start(config_for(emulator)), emulator)
    for action in TRANSCRIPT["setup"]:
        conversation.act(action)
    for step in TRANSCRIPT["steps"]:
        for number, action in enumerate(step["do"], 1):
            problems = conversation.act(action)
            assert problems == [], f"step {step['id']} ({step['name']}), action {number}"
