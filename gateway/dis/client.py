"""Speaks the checkpoint calls of the DIS REST API: one request out, one meaning back.

A request is signed from one snapshot of the credentials at the moment it is sent. Whether a failed write may have
been applied is decided here, and nowhere else.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

import structlog

from gateway.deadline import Until, forever
from gateway.dis import answers
from gateway.dis.attempts import UNSEEN, Observer, Operation
from gateway.dis.breaker import REJECTED, Kind, Ticket
from gateway.dis.credentials import CredentialsProvider
from gateway.dis.http import AnswerTooLarge, HttpAnswer, HttpRequest, Transport, TransportError
from gateway.dis.resilience import Resilience
from gateway.dis.signer import DisEndpoint, RequestSigner, SignedBy
from gateway.errors import (
    CommitOutcomeUnknown,
    CredentialsUnavailable,
    DeadlineTooShort,
    DeleteOutcomeUnknown,
    GatewayError,
    InvalidUpstreamAnswer,
    OutcomeUnknown,
    UpstreamError,
    UpstreamUnavailable,
)
from gateway.model import LAST_READ, Checkpoint, CheckpointKey, Commit, PartitionPage
from gateway.trace import Traces, untraced

_to_json = json.JSONEncoder(separators=(",", ":")).encode
_SKEW = timedelta(minutes=5)
"""A difference of clocks that is worth another attempt. DIS allows 15 minutes."""
_SKEW_MAX = timedelta(days=366)
"""No clock is so wrong: whatever says so is not DIS."""
_MOMENT = 0.01
"""Seconds after which a call asks again whether others have found out what it waits for; doubled each time, up to"""
_MOMENT_MAX = 0.1
_SLICE = 0.25
"""Seconds that a call waits before it looks whether somebody still waits for it."""

ResultT = TypeVar("ResultT")

log = structlog.get_logger("gateway.dis")


class _Call:
    """One call, of one or more requests."""

    __slots__ = ("operation", "sent", "traces")

    def __init__(self, operation: Operation, traces: Traces) -> None:
        self.operation = operation
        self.traces = traces
        self.sent = 0
        """requests that have gone out for it"""

    @property
    def kind(self) -> Kind:
        return Kind.WRITE if self.operation in (Operation.COMMIT, Operation.DELETE) else Kind.READ


class DisClient:
    """Reads and writes checkpoints in DIS. Safe for use by many threads.

    Each attempt is sent once; a second time only if DIS rejected its time or its credentials, and there are others.
    How often a call is attempted is up to :class:`~gateway.dis.resilience.Resilience`.
    """

    def __init__(
        self,
        endpoint: DisEndpoint,
        credentials: CredentialsProvider,
        transport: Transport,
        now: Callable[[], datetime],
        resilience: Resilience,
        sleep: Callable[[float], None] = time.sleep,
        observer: Observer = UNSEEN,
    ) -> None:
        self._observer = observer
        self._credentials = credentials
        self._transport = transport
        self._now = now
        self._resilience = resilience
        self._sleep = sleep
        self.clock_offset = timedelta()
        self._learning = threading.Lock()
        self._signer = RequestSigner(endpoint, now)
        self._project = f"/v2/{endpoint.project_id}"
        self._path = f"{self._project}/checkpoints"

    def read(self, key: CheckpointKey, until: Until = forever, traces: Traces = untraced) -> Checkpoint | None:
        """The checkpoint that DIS has, or None where it says that there is none.

        Raises :class:`UpstreamError`, :class:`UpstreamUnavailable` or :class:`InvalidUpstreamAnswer`.
        """
        call = _Call(Operation.READ, traces)

        def attempt(signed_by: SignedBy) -> Checkpoint | None:
            answer = self._get(call, signed_by, self._path, checkpoint_query(key))
            if answers.is_success(answer):
                return answers.checkpoint_from(answer, key)
            if answers.says_not_committed_yet(answer):
                return None
            raise answers.error_from(answer, signed_by.credentials.secrets)

        return self._patiently(call, until, attempt)

    def commit(self, commit: Commit, until: Until = forever, traces: Traces = untraced) -> None:
        """Store a checkpoint; returns only when DIS has answered 2xx.

        Raises :class:`CommitOutcomeUnknown` where DIS may or may not have stored it; after any other error it has not.
        """
        body, call = _commit_body(commit), _Call(Operation.COMMIT, traces)
        self._patiently(call, until, lambda by: self._write(call, by, "POST", [], body, CommitOutcomeUnknown))

    def delete(self, key: CheckpointKey, until: Until = forever, traces: Traces = untraced) -> None:
        """Delete one partition's checkpoint; returns only when DIS has answered 2xx.

        Raises :class:`DeleteOutcomeUnknown` where it may or may not be gone; after any other error it is still there.
        """
        query, call = checkpoint_query(key), _Call(Operation.DELETE, traces)
        self._patiently(call, until, lambda by: self._write(call, by, "DELETE", query, b"", DeleteOutcomeUnknown))

    def partitions(
        self, stream: str, app: str, after: str, limit: int, until: Until = forever, traces: Traces = untraced
    ) -> PartitionPage:
        """Where an app stands in the partitions of a stream: at most ``limit`` of them, after the one named ``after``.

        Raises :class:`UpstreamError`, :class:`UpstreamUnavailable` or :class:`InvalidUpstreamAnswer`.
        """
        query = [("checkpoint_type", LAST_READ), ("limit", str(limit))]
        if after:
            query.append(("start_partition_id", after))
        call = _Call(Operation.LIST, traces)

        def attempt(signed_by: SignedBy) -> PartitionPage:
            answer = self._get(call, signed_by, f"{self._project}/apps/{app}/streams/{stream}", query)
            if answers.is_success(answer):
                return answers.partitions_from(answer, stream, app)
            raise answers.error_from(answer, signed_by.credentials.secrets)

        return self._patiently(call, until, attempt)

    def _patiently(self, call: _Call, until: Until, attempt: Callable[[SignedBy], ResultT]) -> ResultT:
        """Send a call, and again where that helps and is safe; each attempt is signed anew.

        Raises what the last attempt raised; if there was none, :class:`gateway.errors.CircuitOpen`,
        :class:`gateway.errors.DeadlineTooShort`, or what else kept it from being sent.
        """
        self._resilience.begin()
        attempts, mended = 0, False
        failure: GatewayError | None = None
        while True:
            try:
                ticket, signed_by = self._admitted(call.kind, until)
            except GatewayError:  # nothing more was sent, so what DIS has said before is the better answer
                if failure is not None:
                    raise failure from None
                raise
            outcome: GatewayError | None = UpstreamUnavailable("the gateway failed unexpectedly")
            anew = False
            try:
                result = attempt(signed_by)
                outcome = None
                return result
            except GatewayError as error:
                outcome = failure = error
                anew = not mended and self._mended(error, signed_by)
            finally:
                if anew:
                    self._resilience.withdrawn(ticket, rejected=True)
                else:
                    self._resilience.ended(ticket, outcome)
            if anew:
                mended = True
                continue
            attempts += 1
            pause = self._resilience.pause(failure, attempts, until())
            if pause is None:
                raise failure
            log.debug(
                "call_is_sent_again", operation=call.operation.value, reason=failure.reason, seconds=round(pause, 3)
            )
            self._pass(pause, until)

    def _admitted(self, kind: Kind, until: Until) -> tuple[Ticket, SignedBy]:
        """Wait for leave to send an attempt, and for its place in the row. Nothing is sent that nobody waits for."""
        signed_by = self._signed_by()
        if wait := self._resilience.wait(kind, signed_by, until()):
            self._pass(wait, until)
            signed_by = self._signed_by()  # it may be another by now
        moment = _MOMENT
        while True:
            ticket = self._resilience.enter(kind, signed_by)
            if ticket is None:
                self._pass(moment, until)
                moment = min(2 * moment, _MOMENT_MAX)
                signed_by = self._signed_by()
            elif until() > self._resilience.clock():
                return ticket, signed_by
            else:
                self._resilience.withdrawn(ticket)
            if until() <= self._resilience.clock():
                raise DeadlineTooShort("the call's time ended before its turn; nothing was sent")

    def _signed_by(self) -> SignedBy:
        return SignedBy(self._credentials.snapshot(), self.clock_offset)

    def _pass(self, seconds: float, until: Until) -> None:
        """Pass some time, or less where those who wait have left."""
        end = self._resilience.clock() + seconds
        while (left := min(end, until()) - self._resilience.clock()) > 0:
            self._sleep(min(left, _SLICE))

    def _get(self, call: _Call, signed_by: SignedBy, path: str, query: list[tuple[str, str]]) -> HttpAnswer:
        try:
            return self._exchange(call, self._signer.sign(signed_by, "GET", path, query, b""))
        except AnswerTooLarge as error:
            raise InvalidUpstreamAnswer(str(error), metadata={"http_status": str(error.status)}) from error
        except TransportError as error:
            raise _unavailable(error) from error

    def _write(
        self,
        call: _Call,
        signed_by: SignedBy,
        method: str,
        query: list[tuple[str, str]],
        body: bytes,
        unknown: type[OutcomeUnknown],
    ) -> None:
        try:
            answer = self._exchange(call, self._signer.sign(signed_by, method, self._path, query, body))
        except TransportError as error:
            if error.status is not None and 200 <= error.status < 300:
                return  # DIS has said yes; what its answer's body lacks changes nothing
            if not error.sent:
                raise _unavailable(error) from error
            raise _outcome_unknown(str(error), unknown, _status_metadata(error.status)) from error
        if answers.is_success(answer):
            doubt = answers.doubt_in(answer)
            if not doubt:
                return
            raise _outcome_unknown(doubt, unknown, _status_metadata(answer.status))
        failure = answers.error_from(answer, signed_by.credentials.secrets)
        if failure.reason == UpstreamUnavailable.reason:  # it broke inside DIS or on the way: before or after?
            raise _outcome_unknown(failure.message, unknown, dict(failure.metadata)) from failure
        raise failure

    def _exchange(self, call: _Call, request: HttpRequest) -> HttpAnswer:
        """Send a signed request once, and tell the observer. Raises :class:`TransportError`."""
        attempt = self._observer.began(call.operation, request, call.sent, call.traces)
        call.sent += 1
        outcome: HttpAnswer | TransportError | None = None
        try:
            if attempt.headers:
                request = replace(request, headers={**request.headers, **attempt.headers})
            outcome = answer = self._transport.send(request, deadline=math.inf)
            return answer
        except TransportError as error:
            outcome = error
            raise
        finally:
            attempt.ended(outcome)

    def _mended(self, error: GatewayError, signed_by: SignedBy) -> bool:
        """Whether the same may be accepted if it is signed anew, as something was outdated that now is not.

        Such an answer says that nothing was applied, so that this is safe for a write as well.
        """
        if not isinstance(error, UpstreamError) or error.reason not in REJECTED:
            return False
        if self._learn_time(error.date, signed_by.clock_offset):
            return True
        try:
            return self._credentials.reload(signed_by.credentials) != signed_by.credentials
        except CredentialsUnavailable:
            return False

    def _learn_time(self, date: str, offset: timedelta) -> bool:
        """Take over the time of DIS, where ``offset`` was wrong by enough to have a signature rejected."""
        try:
            theirs = parsedate_to_datetime(date)
            learned = theirs - self._now()
        except (ValueError, OverflowError, TypeError):  # no date, one that no calendar has, or one without a zone
            return False
        if abs(learned - offset) < _SKEW or abs(learned) > _SKEW_MAX:
            return False
        with self._learning:
            before, news = self.clock_offset, abs(learned - self.clock_offset) >= _SKEW
            if news:  # else another call has learned it before
                self.clock_offset = learned
        if news:
            log.warning("clock_offset_learned", seconds=learned.total_seconds(), before=before.total_seconds())
        return True


def checkpoint_query(key: CheckpointKey) -> list[tuple[str, str]]:
    """The query of a read and of a delete."""
    # partition_id is never left out: a DELETE without it deletes every checkpoint of the app on the stream
    return [
        ("app_name", key.app_name),
        ("checkpoint_type", key.checkpoint_type),
        ("partition_id", key.partition_id),
        ("stream_name", key.stream_name),
    ]


def _commit_body(commit: Commit) -> bytes:
    key, membership = commit.key, commit.membership
    fields = {
        "stream_name": key.stream_name,
        "app_name": key.app_name,
        "partition_id": key.partition_id,
        "sequence_number": str(commit.number),
        "checkpoint_type": key.checkpoint_type,
        "metadata": commit.metadata,
    }
    if membership.client_id:
        fields["client_id"] = membership.client_id
    if membership.generation_id:
        fields["generation_id"] = membership.generation_id
    return _to_json(fields).encode("ascii")


def _unavailable(error: TransportError) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        str(error), retry_after=answers.DEFAULT_RETRY_AFTER, metadata=_status_metadata(error.status)
    )


def _outcome_unknown(problem: str, unknown: type[OutcomeUnknown], metadata: dict[str, str]) -> OutcomeUnknown:
    again = "commit the same number" if unknown is CommitOutcomeUnknown else "delete it"
    return unknown(
        f"the write was sent, but whether DIS applied it is not known: {problem}; {again} again, that is safe",
        retry_after=answers.DEFAULT_RETRY_AFTER,
        metadata=metadata,
    )


def _status_metadata(status: int | None) -> dict[str, str]:
    return {} if status is None else {"http_status": str(status)}
