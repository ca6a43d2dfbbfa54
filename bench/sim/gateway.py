"""The gateway in the simulation: its own core and its own DIS client with their defaults; threads and HTTP are not."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bench.sim.clock import Clock
from bench.sim.dis import Dis, Outcome
from gateway import wiring
from gateway.checkpoints.cache import CheckpointCache
from gateway.checkpoints.core import Core
from gateway.checkpoints.work import (
    Answer,
    CommitCall,
    CommitResult,
    Effect,
    Job,
    Linger,
    ReadCall,
    ReadJob,
    ReadResult,
    Result,
    Start,
    WriteJob,
)
from gateway.config import Config
from gateway.dis.client import DisClient
from gateway.dis.credentials import AuthToken, Credentials
from gateway.dis.http import AnswerLost, HttpAnswer, HttpRequest, NotSent
from gateway.dis.signer import DisEndpoint
from gateway.dis.signing import AUTH_TOKEN_HEADER, SigningScope
from gateway.errors import GatewayError
from gateway.model import Checkpoint, CheckpointKey, Commit, SequenceNumber

_START = datetime(2026, 1, 1, tzinfo=UTC)
_RIGHT = AuthToken("right")
_WRONG = AuthToken("wrong")
_ENDPOINT = DisEndpoint("https://dis.example.com", "0" * 32, SigningScope("eu-de", "dis"))


def _error(code: str, status: int) -> HttpAnswer:
    return HttpAnswer(status, {}, json.dumps({"errorCode": code, "message": ""}).encode())


_ANSWERS = {
    Outcome.THROTTLED: _error("DIS.4303", 400),
    Outcome.REJECTED: _error("DIS.4114", 441),
    Outcome.BLACKLISTED: _error("DIS.4309", 400),
    Outcome.BROKEN: _error("DIS.5000", 500),
}
_STORED = HttpAnswer(201, {}, b"")


class _Transport:
    """Carries requests to the simulated DIS."""

    def __init__(self, dis: Dis, timeout: float) -> None:
        self._dis = dis
        self._timeout = timeout
        self._numbers: dict[str, str] = {}

    def send(self, request: HttpRequest, deadline: float) -> HttpAnswer:
        trusted = request.headers[AUTH_TOKEN_HEADER] == _RIGHT.token
        outcome = self._dis.ask(timeout=self._timeout, trusted=trusted)
        if outcome is Outcome.REFUSED:
            raise NotSent("no connection")
        if outcome is Outcome.TIMED_OUT:
            raise AnswerLost("no answer in time")
        return self._done(request) if outcome is Outcome.OK else _ANSWERS[outcome]

    def _done(self, request: HttpRequest) -> HttpAnswer:
        if request.method == "POST":
            body = json.loads(request.body)
            self._numbers[body["partition_id"]] = body["sequence_number"]
            return _STORED
        partition = dict(parse_qsl(urlsplit(request.url).query))["partition_id"]
        return HttpAnswer(200, {}, json.dumps({"sequence_number": self._numbers.get(partition, "-1")}).encode())


class _MountedSecret:
    """Credentials that somebody replaces by wrong ones, and later by the right ones."""

    def __init__(self, trusted: Callable[[], bool]) -> None:
        self._trusted = trusted

    def snapshot(self) -> Credentials:
        return _RIGHT if self._trusted() else _WRONG

    def reload(self, rejected: Credentials) -> Credentials:
        return self.snapshot()


@dataclass(slots=True, eq=False)
class _Commit(CommitCall):
    wake: Callable[[Any], None]

    def answered(self, result: Result) -> None:
        self.wake(result)


@dataclass(slots=True, eq=False)
class _Read(ReadCall):
    wake: Callable[[Any], None] = print

    def answered(self, result: Result) -> None:
        self.wake(result)


class Gateway:
    """What :class:`gateway.checkpoints.service.CheckpointService` does, with greenlets in place of threads."""

    def __init__(self, clock: Clock, dis: Dis, trusted: Callable[[], bool], rng: random.Random) -> None:
        config = Config()
        self._clock = clock
        self.resilience = wiring.resilience(config, clock, rng.uniform)
        self._core = Core(wiring.core_settings(config), CheckpointCache(config.cache.max_entries), clock)
        self._client = DisClient(
            _ENDPOINT,
            _MountedSecret(trusted),
            _Transport(dis, config.upstream.read_timeout_seconds),
            lambda: _START + timedelta(seconds=clock.now),
            self.resilience,
            clock.sleep,
        )
        self._free = config.upstream.pool_size
        self._jobs: deque[Job] = deque()

    def commit(self, key: str, number: int, deadline: float) -> bool:
        """Whether it was stored, before the deadline."""
        wake, wait = self._clock.block()
        where = CheckpointKey("stream", "app", key)
        call = _Commit(where, deadline, Commit.of(Checkpoint(where, SequenceNumber(number))), wake)
        self._perform(self._core.commit(call))
        self._clock.at(deadline, lambda: self._perform(self._core.left([call])))
        return isinstance(wait(), CommitResult)

    def read(self, key: str, number: int, deadline: float) -> bool:
        """Whether it was answered by DIS, before the deadline."""
        wake, wait = self._clock.block()
        call = _Read(CheckpointKey("stream", "app", key), deadline, fresh=True, wake=wake)
        self._perform(self._core.read(call))
        self._clock.at(deadline, lambda: self._perform(self._core.left([call])))
        return isinstance(wait(), ReadResult)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                self._start(effect.job)
            elif isinstance(effect, Linger):
                self._clock.at(effect.until, lambda linger=effect: self._perform(self._core.lingered(linger)))
        for effect in effects:
            if isinstance(effect, Answer):
                for call in effect.calls:
                    call.answered(effect.result)

    def _start(self, job: Job) -> None:
        """Work on it now, or when a connection is free."""
        if self._free:
            self._free -= 1
            self._clock.spawn(lambda: self._work(job))
        else:
            self._jobs.append(job)

    def _work(self, job: Job) -> None:
        self._carry_out(job)
        while self._jobs:
            self._carry_out(self._jobs.popleft())
        self._free += 1

    def _carry_out(self, job: Job) -> None:
        if isinstance(job, WriteJob):
            self._perform(self._core.take_up(job))
            if not job.taken_up:
                return
        self._perform(self._core.finished(job, self._outcome(job)))

    def _outcome(self, job: Job) -> Checkpoint | GatewayError | None:
        try:
            if isinstance(job, ReadJob):
                return self._client.read(job.key, job.until)
            assert job.commit is not None
            self._client.commit(job.commit, job.until)
        except GatewayError as error:
            return error
        return None
