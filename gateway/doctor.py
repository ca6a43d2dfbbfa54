"""Finds out what stands between a gateway and DIS: one check after the other, each with what to do where it fails.

At most one request reaches DIS while its signature is not accepted: DIS blacklists addresses that fail often.
"""

from __future__ import annotations

import math
import socket
import ssl
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import certifi

from gateway import wiring
from gateway.config import Config, require_serving
from gateway.dis import answers
from gateway.dis.client import checkpoint_query
from gateway.dis.credentials import AuthToken, Credentials
from gateway.dis.http import HttpAnswer, TransportError
from gateway.dis.signer import RequestSigner, SignedBy
from gateway.dis.transport import RequestsTransport
from gateway.errors import ConfigurationError, CredentialsUnavailable, InvalidUpstreamAnswer, UpstreamError
from gateway.model import CheckpointKey
from gateway.reasons import ADVICE

NOBODY = "dis-gateway-doctor"
"""Stream and app that are asked for where none is named. They need not exist: DIS looks at the signature first."""
SKEW_ALLOWED = timedelta(minutes=15)
SKEW_WARNED = timedelta(minutes=1)
CERTIFICATE_WARNED = timedelta(days=14)
ROUND_TRIPS = 5
_SIGNATURE_REFUSED = frozenset({"UPSTREAM_CREDENTIALS_REJECTED", "UPSTREAM_CLOCK_SKEW", "UPSTREAM_PROJECT_INVALID"})

_TELLS_NOTHING = {
    "UPSTREAM_UNAVAILABLE": "DIS, or what stands in front of it, is broken: try again, then ask its operator",
    "UPSTREAM_THROTTLED": "DIS is asked too often: try again later",
    "UPSTREAM_ENDPOINT_INVALID": ADVICE["UPSTREAM_ENDPOINT_INVALID"].do,
    "UPSTREAM_BLACKLISTED": ADVICE["UPSTREAM_BLACKLISTED"].do,
}
"""What to do about answers that come before anybody looks at a signature."""


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do about it. ``seconds`` is how long it took."""

    check: str
    verdict: Verdict
    detail: str
    advice: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a check returns, without its name and time."""

    detail: str
    verdict: Verdict = Verdict.OK
    advice: str = ""


class _Failed(Exception):
    """A check has failed, and what depends on it cannot be checked."""

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.advice = advice


@dataclass
class Doctor:
    """Examines one configuration; ``stream`` and ``app`` make it find out whether checkpoints may be read there."""

    config: Config
    stream: str = ""
    app: str = ""
    timeout: float = 5.0
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _transports: list[RequestsTransport] = field(default_factory=list)
    _credentials: Credentials | None = None
    _offset: timedelta = timedelta()
    _answer: HttpAnswer | None = None

    def examine(self) -> list[Finding]:
        """All checks in order. After one that fails, those that need it are skipped."""
        checks: list[tuple[str, Callable[[], Result]]] = [
            ("configuration", self._check_configuration),
            ("credentials", self._check_credentials),
            ("name", self._check_name),
            ("connection", self._check_connection),
            ("tls", self._check_tls),
            ("answer", self._check_answer),
            ("clock", self._check_clock),
            ("signature", self._check_signature),
            ("permission", self._check_permission),
            ("latency", self._check_latency),
        ]
        findings: list[Finding] = []
        stopped = False
        try:
            for name, check in checks:
                if stopped:
                    findings.append(Finding(name, Verdict.SKIPPED, "not looked at, as an earlier check failed"))
                    continue
                findings.append(_run(name, check))
                stopped = findings[-1].verdict is Verdict.FAILED
        finally:
            for transport in self._transports:
                transport.close()
        return findings

    # one check each

    def _check_configuration(self) -> Result:
        try:
            require_serving(self.config)
        except ConfigurationError as error:
            raise _Failed(str(error), "see docs/configuration.md") from None
        upstream = self.config.upstream
        weak = [name for name in ("insecure", "insecure_skip_verify") if getattr(upstream, name)]
        if weak:
            return Result(
                f"upstream.{' and upstream.'.join(weak)} set", Verdict.WARNING, "do not use this outside of tests"
            )
        return Result(f"{upstream.endpoint}, project {upstream.project_id}, signing {upstream.signing.value}")

    def _check_credentials(self) -> Result:
        self._transports.append(RequestsTransport(wiring.transport_settings(self.config.upstream)))
        try:
            provider = wiring.credentials_provider(self.config.credentials, self.config.upstream, self._transports)
            self._credentials = provider.snapshot()
        except ConfigurationError as error:
            raise _Failed(str(error), "see docs/configuration.md") from None
        except CredentialsUnavailable as error:
            raise _Failed(error.message, ADVICE[error.reason].do) from None
        if isinstance(self._credentials, AuthToken):
            return Result("a token")
        return Result("a temporary key pair" if self._credentials.security_token else "a key pair")

    def _check_name(self) -> Result:
        host, port = self._next_hop()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise _Failed(f"{host} does not resolve: {error.strerror or error}", "check the name, and DNS") from None
        addresses = sorted({str(entry[4][0]) for entry in found})
        return Result(f"{host} is {', '.join(addresses)}")

    def _check_connection(self) -> Result:
        host, port = self._next_hop()
        try:
            with socket.create_connection((host, port), self.timeout):
                pass
        except OSError as error:
            raise _Failed(
                f"no connection to {host}:{port}: {error.strerror or error}",
                "check the port, firewalls and network policies",
            ) from None
        through = " (the proxy)" if self.config.upstream.proxy else ""
        return Result(f"connected to {host}:{port}{through}")

    def _check_tls(self) -> Result:
        upstream = self.config.upstream
        parts = urlsplit(upstream.endpoint)
        if parts.scheme != "https":
            return Result("the endpoint is http://", Verdict.SKIPPED)
        if upstream.proxy:
            return Result("through a proxy; the next check has it", Verdict.SKIPPED)
        host, port = self._next_hop()
        context = ssl.create_default_context(cafile=upstream.ca_file or certifi.where())
        if upstream.insecure_skip_verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with (
                socket.create_connection((host, port), self.timeout) as plain,
                context.wrap_socket(plain, server_hostname=host) as secured,
            ):
                return self._about(secured)
        except ssl.SSLCertVerificationError as error:
            raise _Failed(
                f"the certificate is not trusted: {error.verify_message}",
                "set upstream.ca_file to the CA of the endpoint, or check that the endpoint is the right host",
            ) from None
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
            raise _Failed(f"no TLS: {reason}", "check that the endpoint speaks HTTPS on this port") from None

    def _about(self, secured: ssl.SSLSocket) -> Result:
        certificate: dict[str, Any] = dict(secured.getpeercert() or {})
        if not certificate:
            return Result(f"{secured.version()}, the certificate is not verified", Verdict.WARNING)
        names = {part: value for group in certificate["issuer"] for part, value in group}
        expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
        detail = f"{secured.version()}, issued by {names.get('commonName') or names}, expires {expires:%Y-%m-%d}"
        if expires - self.now() < CERTIFICATE_WARNED:
            return Result(detail, Verdict.WARNING, "have the certificate of the endpoint renewed")
        return Result(detail)

    def _check_answer(self) -> Result:
        self._answer = self._ask()
        error = self._error()
        if error is not None and error.reason in _TELLS_NOTHING:
            raise _Failed(f"{error.message} (HTTP {self._answer.status})", _TELLS_NOTHING[error.reason])
        return Result(f"HTTP {self._answer.status}")

    def _check_clock(self) -> Result:
        try:
            theirs = parsedate_to_datetime(self._whole().headers.get("Date", ""))
            offset = self.now() - theirs
        except (ValueError, TypeError):
            return Result("the answer has no Date", Verdict.SKIPPED)
        detail = f"{abs(offset).total_seconds():.0f} s {'ahead of' if offset > timedelta() else 'behind'} DIS"
        if abs(offset) >= SKEW_ALLOWED:
            self._offset = -offset  # as the gateway does it
            self._answer = self._ask()
            return Result(
                f"{detail}; 15 minutes are allowed",
                Verdict.WARNING,
                "set this machine's clock; the gateway learns the difference, but other programs do not",
            )
        verdict = Verdict.WARNING if abs(offset) >= SKEW_WARNED else Verdict.OK
        return Result(detail, verdict, "set this machine's clock" if verdict is Verdict.WARNING else "")

    def _check_signature(self) -> Result:
        error = self._error()
        if error is None:
            try:
                answers.checkpoint_from(self._whole(), self._key)
            except InvalidUpstreamAnswer as invalid:
                raise _Failed(invalid.message, ADVICE[invalid.reason].do) from None
            return Result("accepted")
        if error.reason in _SIGNATURE_REFUSED:
            raise _Failed(error.message, ADVICE[error.reason].do)
        if not error.metadata.get("dis_error_code"):
            raise _Failed(error.message, ADVICE["UPSTREAM_ENDPOINT_INVALID"].do)
        return Result("accepted")

    def _check_permission(self) -> Result:
        error = self._error()
        if error is not None and error.reason == "UPSTREAM_PERMISSION_DENIED":
            raise _Failed(error.message, ADVICE[error.reason].do)
        if not (self.stream and self.app):
            return Result("name a stream and an app to find out (--stream, --app)", Verdict.SKIPPED)
        if error is not None and error.reason != "APP_WITHOUT_CHECKPOINT":
            raise _Failed(error.message, ADVICE[error.reason].do)
        return Result(f"checkpoints of {self.stream}/{self.app} may be read")

    def _check_latency(self) -> Result:
        times = []
        for _ in range(ROUND_TRIPS):
            begin = time.perf_counter()
            self._ask()
            times.append((time.perf_counter() - begin) * 1000)
        return Result(f"{ROUND_TRIPS} round trips: median {statistics.median(times):.1f} ms, most {max(times):.1f} ms")

    # what they share

    @property
    def _key(self) -> CheckpointKey:
        return CheckpointKey(self.stream or NOBODY, self.app or NOBODY, "0")

    def _next_hop(self) -> tuple[str, int]:
        parts = urlsplit(self.config.upstream.proxy or self.config.upstream.endpoint)
        return parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]

    def _ask(self) -> HttpAnswer:
        """One signed read. It changes nothing."""
        if self._credentials is None:
            raise AssertionError("the credentials are checked first")
        signer = RequestSigner(wiring.endpoint(self.config.upstream), self.now)
        path = f"/v2/{self.config.upstream.project_id}/checkpoints"
        signed_by = SignedBy(self._credentials, self._offset)
        request = signer.sign(signed_by, "GET", path, checkpoint_query(self._key), b"")
        try:
            return self._transports[0].send(request, deadline=math.inf)
        except TransportError as error:
            raise _Failed(f"no answer: {error}", ADVICE["UPSTREAM_ENDPOINT_INVALID"].do) from None

    def _whole(self) -> HttpAnswer:
        if self._answer is None:
            raise AssertionError("the answer is fetched first")
        return self._answer

    def _error(self) -> UpstreamError | None:
        answer = self._whole()
        if answers.is_success(answer):
            return None
        return answers.error_from(answer, self._credentials.secrets if self._credentials else ())


def _run(name: str, check: Callable[[], Result]) -> Finding:
    begin = time.perf_counter()
    try:
        result = check()
    except _Failed as failure:
        result = Result(str(failure), Verdict.FAILED, failure.advice)
    return Finding(name, result.verdict, result.detail, result.advice, time.perf_counter() - begin)
