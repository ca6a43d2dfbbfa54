"""Speaks the checkpoint calls of the DIS REST API: one request out, one meaning back.

A request is signed from one snapshot of the credentials at the moment it is sent. Whether a failed write may have
been applied is decided here, and nowhere else.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

import structlog

from gateway.deadline import Until, forever
from gateway.dis import answers, signing
from gateway.dis.breaker import CREDENTIALS_REJECTED, Kind
from gateway.dis.credentials import AuthToken, Credentials, CredentialsProvider, KeyPair
from gateway.dis.error_table import Retry
from gateway.dis.http import AnswerTooLarge, HttpAnswer, HttpRequest, Transport, TransportError
from gateway.dis.resilience import Resilience
from gateway.dis.signing import SigningDialect, SigningScope
from gateway.errors import (
    CircuitOpen,
    CommitOutcomeUnknown,
    CredentialsUnavailable,
    DeleteOutcomeUnknown,
    GatewayError,
    InvalidUpstreamAnswer,
    OutcomeUnknown,
    UpstreamUnavailable,
)
from gateway.model import LAST_READ, Checkpoint, CheckpointKey, Commit, PartitionPage

_JSON = "application/json"
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_SKEW = timedelta(minutes=5)
"""A difference of clocks that is worth another attempt. DIS allows 15 minutes."""

ResultT = TypeVar("ResultT")

log = structlog.get_logger("gateway.dis")


@dataclass(frozen=True, slots=True)
class DisEndpoint:
    """Where DIS is and how requests to it are signed. ``url`` has no path; ``project_id`` is 32 hex digits."""

    url: str
    project_id: str
    scope: SigningScope
    dialect: SigningDialect = SigningDialect.SCOPED
    user_agent: str = "dis-checkpoint-gateway"

    @property
    def host(self) -> str:
        """What goes into the ``Host`` header: with the port unless it is the scheme's own."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        own = {"http": 80, "https": 443}[parts.scheme]
        return host if parts.port in (None, own) else f"{host}:{parts.port}"


class RequestSigner:
    """Makes a ready request: the pure stages of :mod:`gateway.dis.signing`, in order, for one endpoint."""

    def __init__(self, endpoint: DisEndpoint, now: Callable[[], datetime]) -> None:
        self._endpoint = endpoint
        self._now = now
        self._base = endpoint.url.rstrip("/")
        self._host = endpoint.host
        self._derived: tuple[tuple[KeyPair, str], bytes] | None = None

    def sign(
        self, credentials: Credentials, method: str, path: str, query: list[tuple[str, str]], body: bytes
    ) -> HttpRequest:
        """A request signed now. ``path`` and ``query`` are not yet encoded."""
        date = signing.format_date(self._now())
        headers = {"Host": self._host, "X-Sdk-Date": date}
        if body:
            headers["Content-Type"] = _JSON
        if isinstance(credentials, AuthToken):
            headers[signing.AUTH_TOKEN_HEADER] = credentials.token
        else:
            if credentials.security_token:
                headers[signing.SECURITY_TOKEN_HEADER] = credentials.security_token
            headers["Authorization"] = self._authorization(credentials, date, method, path, query, headers, body)
        headers["User-Agent"] = self._endpoint.user_agent
        headers["Accept"] = _JSON
        url = self._base + signing.canonical_uri(path).rstrip("/")
        if query:
            url += "?" + signing.canonical_query(query)
        return HttpRequest(method, url, headers, body)

    def _authorization(
        self,
        keys: KeyPair,
        date: str,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        body: bytes,
    ) -> str:
        scope, dialect = self._endpoint.scope, self._endpoint.dialect
        canonical = signing.canonical_request(method, path, query, headers, body)
        to_sign = signing.string_to_sign(canonical, date, scope, dialect)
        signed = signing.signature(self._key(keys, date), to_sign)
        names = signing.signed_headers(headers)
        return signing.authorization(keys.access_key, date, scope, dialect, names, signed)

    def _key(self, keys: KeyPair, date: str) -> bytes:
        """The signing key of the day; kept, as it takes four HMACs and changes once a day."""
        wanted = (keys, date[:8])
        kept = self._derived  # one read: another thread may replace it
        if kept is not None and kept[0] == wanted:
            return kept[1]
        key = signing.signing_key(keys.access_key, keys.secret_key, date, self._endpoint.scope, self._endpoint.dialect)
        self._derived = (wanted, key)
        return key


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
    ) -> None:
        self._credentials = credentials
        self._transport = transport
        self._now = now
        self._resilience = resilience
        self._sleep = sleep
        self.clock_offset = timedelta()
        self._rejected: Credentials | None = None
        self._signer = RequestSigner(endpoint, lambda: now() + self.clock_offset)
        self._project = f"/v2/{endpoint.project_id}"
        self._path = f"{self._project}/checkpoints"

    def read(self, key: CheckpointKey, until: Until = forever) -> Checkpoint | None:
        """The checkpoint that DIS has, or None where it says that there is none.

        Raises :class:`UpstreamError`, :class:`UpstreamUnavailable` or :class:`InvalidUpstreamAnswer`.
        """

        def attempt() -> Checkpoint | None:
            answer, hidden = self._get(self._path, checkpoint_query(key))
            if answers.is_success(answer):
                return answers.checkpoint_from(answer, key)
            if answers.says_not_committed_yet(answer):
                return None
            raise answers.error_from(answer, hidden)

        return self._patiently(Kind.READ, until, attempt)

    def commit(self, commit: Commit, until: Until = forever) -> None:
        """Store a checkpoint; returns only when DIS has answered 2xx.

        Raises :class:`CommitOutcomeUnknown` where DIS may or may not have stored it; after any other error it has not.
        """
        body = _commit_body(commit)
        self._patiently(Kind.WRITE, until, lambda: self._write("POST", [], body, CommitOutcomeUnknown))

    def delete(self, key: CheckpointKey, until: Until = forever) -> None:
        """Delete one partition's checkpoint; returns only when DIS has answered 2xx.

        Raises :class:`DeleteOutcomeUnknown` where it may or may not be gone; after any other error it is still there.
        """
        query = checkpoint_query(key)
        self._patiently(Kind.WRITE, until, lambda: self._write("DELETE", query, b"", DeleteOutcomeUnknown))

    def partitions(self, stream: str, app: str, after: str, limit: int, until: Until = forever) -> PartitionPage:
        """Where an app stands in the partitions of a stream: at most ``limit`` of them, after the one named ``after``.

        Raises :class:`UpstreamError`, :class:`UpstreamUnavailable` or :class:`InvalidUpstreamAnswer`.
        """
        query = [("checkpoint_type", LAST_READ), ("limit", str(limit))]
        if after:
            query.append(("start_partition_id", after))

        def attempt() -> PartitionPage:
            answer, hidden = self._get(f"{self._project}/apps/{app}/streams/{stream}", query)
            if answers.is_success(answer):
                return answers.partitions_from(answer, stream, app)
            raise answers.error_from(answer, hidden)

        return self._patiently(Kind.READ, until, attempt)

    def _patiently(self, kind: Kind, until: Until, attempt: Callable[[], ResultT]) -> ResultT:
        """Send a call, and again where that helps and is safe; each attempt is signed anew.

        Raises what the last attempt raised, or :class:`gateway.errors.CircuitOpen`.
        """
        self._resilience.begin()
        for attempts in itertools.count(1):
            if wait := self._resilience.wait(until()):
                self._sleep(wait)
            try:
                return self._guarded(kind, attempt)
            except CircuitOpen:
                raise
            except GatewayError as error:
                pause = self._resilience.pause(error, attempts, until())
                if pause is None:
                    raise
                log.info("call_is_sent_again", kind=kind.value, reason=error.reason, seconds=round(pause, 3))
            self._sleep(pause)
        raise AssertionError("it counts without end")

    def _guarded(self, kind: Kind, attempt: Callable[[], ResultT]) -> ResultT:
        """One attempt: the breaker may refuse it, and hears how it ended."""
        self._enter(kind)
        failure: GatewayError | None = None
        try:
            return attempt()
        except GatewayError as error:
            failure = error
            raise
        except BaseException:
            failure = UpstreamUnavailable("the gateway failed unexpectedly")
            raise
        finally:
            self._resilience.ended(kind, failure)

    def _enter(self, kind: Kind) -> None:
        """Rejected credentials shut all calls out for long; others in their place are worth a probe before that."""
        try:
            self._resilience.enter(kind)
        except CircuitOpen as refusal:
            if refusal.metadata["cause"] != CREDENTIALS_REJECTED or not self._has_others():
                raise
            self._resilience.credentials_replaced()
            self._resilience.enter(kind)

    def _has_others(self) -> bool:
        """Whether there are other credentials than those that DIS has rejected last."""
        try:
            return self._rejected is not None and self._credentials.snapshot() != self._rejected
        except CredentialsUnavailable:
            return False

    def _get(self, path: str, query: list[tuple[str, str]]) -> tuple[HttpAnswer, tuple[str, ...]]:
        try:
            return self._send("GET", path, query, b"")
        except AnswerTooLarge as error:
            raise InvalidUpstreamAnswer(str(error), metadata={"http_status": str(error.status)}) from error
        except TransportError as error:
            raise _unavailable(error) from error

    def _write(self, method: str, query: list[tuple[str, str]], body: bytes, unknown: type[OutcomeUnknown]) -> None:
        try:
            answer, hidden = self._send(method, self._path, query, body)
        except TransportError as error:
            if error.status is not None and 200 <= error.status < 300:
                return  # DIS has said yes; what its answer's body lacks changes nothing
            if not error.sent:
                raise _unavailable(error) from error
            raise _outcome_unknown(str(error), unknown, _status_metadata(error.status)) from error
        if answers.is_success(answer):
            return
        failure = answers.error_from(answer, hidden)
        if failure.reason == UpstreamUnavailable.reason:  # it broke inside DIS or on the way: before or after?
            raise _outcome_unknown(failure.message, unknown, dict(failure.metadata)) from failure
        raise failure

    def _send(
        self, method: str, path: str, query: list[tuple[str, str]], body: bytes
    ) -> tuple[HttpAnswer, tuple[str, ...]]:
        """One exchange; once more where the answer shows that this gateway's clock or credentials were outdated.

        Such an answer says that nothing was applied, so that this is safe for a write as well.
        """
        credentials = self._credentials.snapshot()
        request = self._signer.sign(credentials, method, path, query, body)
        answer = self._transport.send(request, deadline=math.inf)
        if not answers.is_success(answer) and self._mended(answer, credentials):
            credentials = self._credentials.snapshot()
            request = self._signer.sign(credentials, method, path, query, body)
            answer = self._transport.send(request, deadline=math.inf)
        if not answers.is_success(answer) and answers.row_of(answer).reason == CREDENTIALS_REJECTED:
            self._rejected = credentials
        return answer, credentials.secrets

    def _mended(self, answer: HttpAnswer, used: Credentials) -> bool:
        """Whether another attempt may do better, as something was outdated that now is not."""
        row = answers.row_of(answer)
        if row.retry is not Retry.ONCE:
            return False
        return self._learn_time(answer) or self._credentials.reload(used) != used

    def _learn_time(self, answer: HttpAnswer) -> bool:
        """Take over the time of DIS, where it differs by enough to have a signature rejected."""
        try:
            theirs = parsedate_to_datetime(answer.headers.get("Date", ""))
        except ValueError:
            return False
        if theirs.tzinfo is None:
            return False
        offset = theirs - self._now()
        if abs(offset - self.clock_offset) < _SKEW:
            return False
        log.warning("clock_offset_learned", seconds=offset.total_seconds(), before=self.clock_offset.total_seconds())
        self.clock_offset = offset
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
    key, checkpoint, membership = commit.key, commit.checkpoint, commit.membership
    fields = {
        "stream_name": key.stream_name,
        "app_name": key.app_name,
        "partition_id": key.partition_id,
        "sequence_number": str(checkpoint.sequence_number),
        "checkpoint_type": key.checkpoint_type,
        "metadata": checkpoint.metadata,
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
