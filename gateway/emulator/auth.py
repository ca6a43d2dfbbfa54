"""Verifies who sends a request, as DIS does: a token, or a signature in one of the three dialects."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

from gateway.dis import signing
from gateway.dis.signing import SigningDialect, SigningScope
from gateway.emulator.answers import DisError

CLOCK_SKEW_MAX = 15 * 60.0
"""Seconds by which the clocks may differ."""

_AUTHORIZATION = re.compile(r"(?P<algorithm>\S+)\s+(?P<fields>.+)")


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Who is let in. Empty ``token`` or ``security_token``: there is none. Empty ``region``: any."""

    access_key: str
    secret_key: str
    security_token: str = ""
    token: str = ""
    region: str = ""
    service: str = "dis"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came. ``headers`` has lower-case names; ``path`` and ``query`` are as in the request line."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query, decoded."""
        pairs = []
        for part in filter(None, self.query.split("&")):
            name, _, value = part.partition("=")
            pairs.append((unquote(name), unquote(value)))
        return pairs


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the ``Authorization`` header says."""

    dialect: SigningDialect
    access_key: str
    scope: SigningScope
    day: str
    signed: tuple[str, ...]
    signature: str


def verify(request: Incoming, identity: Identity, now: float) -> None:
    """Return if the request comes from ``identity``; ``now`` is in seconds since 1970.

    Raises :class:`DisError` with the code that DIS has for what is wrong.
    """
    token = request.headers.get(signing.AUTH_TOKEN_HEADER.lower())
    if token is not None:
        return _verify_token(token, identity)
    header = request.headers.get("authorization", "")
    if not header:
        raise DisError("DIS.4101")
    claim = _claim_in(header)
    date = _checked_date(request, now)
    _check_claim(claim, identity, date)
    if not _same(request.headers.get(signing.SECURITY_TOKEN_HEADER, ""), identity.security_token):
        raise DisError("DIS.4107")
    try:
        right = _signatures(request, claim, identity)
    except UnicodeEncodeError:  # bytes that are no text, in a header that was signed
        raise DisError("DIS.4100") from None
    if not any(_same(one, claim.signature) for one in right):
        raise DisError("DIS.4100")
    return None


def _verify_token(token: str, identity: Identity) -> None:
    if not token:
        raise DisError("DIS.4113")
    if not identity.token or not _same(token, identity.token):
        raise DisError("DIS.4114")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode())


def _claim_in(header: str) -> _Claim:
    match = _AUTHORIZATION.fullmatch(header.strip())
    if match is None or match["algorithm"] not in (signing.SDK_ALGORITHM, signing.DERIVED_ALGORITHM):
        raise DisError("DIS.4102")
    fields = {}
    for part in match["fields"].split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in fields:
            raise DisError("DIS.4102")
        fields[name] = value
    dialect, access_key, day, scope = _scope_in(match["algorithm"], fields)
    if "SignedHeaders" not in fields or "Signature" not in fields:
        raise DisError("DIS.4109")
    signed = tuple(fields["SignedHeaders"].split(";"))
    if not fields["Signature"]:
        raise DisError("DIS.4110")
    return _Claim(dialect, access_key, scope, day, signed, fields["Signature"])


def _scope_in(algorithm: str, fields: Mapping[str, str]) -> tuple[SigningDialect, str, str, SigningScope]:
    if algorithm == signing.SDK_ALGORITHM and "Access" in fields:
        return SigningDialect.ACCESS, fields["Access"], "", SigningScope("")
    if "Credential" not in fields:
        raise DisError("DIS.4109")
    access_key, *parts = fields["Credential"].split("/")
    if algorithm == signing.DERIVED_ALGORITHM:
        dialect = SigningDialect.DERIVED
    else:
        dialect = SigningDialect.SCOPED
        if not parts or parts.pop() != signing.SCOPE_TERMINATOR:
            raise DisError("DIS.4102")
    if len(parts) != 3:
        raise DisError("DIS.4102")
    day, region, service = parts
    return dialect, access_key, day, SigningScope(region, service)


def _checked_date(request: Incoming, now: float) -> str:
    date = request.headers.get(signing.DATE_HEADER, "")
    if not date:
        raise DisError("DIS.4103")
    try:
        moment = datetime.strptime(date, signing.DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise DisError("DIS.4104") from None
    if abs(moment.timestamp() - now) > CLOCK_SKEW_MAX:
        raise DisError("DIS.4105")
    return date


def _check_claim(claim: _Claim, identity: Identity, date: str) -> None:
    if not claim.access_key:
        raise DisError("DIS.4106")
    if claim.access_key != identity.access_key:
        raise DisError("DIS.4107")
    if claim.dialect is not SigningDialect.ACCESS:
        if not claim.scope.service:
            raise DisError("DIS.4108")
        if not claim.scope.region or (identity.region and claim.scope.region != identity.region):
            raise DisError("DIS.4111")
        if claim.scope.service != identity.service or claim.day != date[:8]:
            raise DisError("DIS.4112")
    if signing.DATE_HEADER not in claim.signed:  # the host is not asked for: today's Go SDK does not sign it
        raise DisError("DIS.4112")


def _signatures(request: Incoming, claim: _Claim, identity: Identity) -> list[str]:
    """The signatures that are right: one for each form of the host that published clients sign."""
    try:
        headers = {name: request.headers[name] for name in claim.signed}
    except KeyError:
        raise DisError("DIS.4112") from None
    date = request.headers[signing.DATE_HEADER]
    key = signing.signing_key(identity.access_key, identity.secret_key, date, claim.scope, claim.dialect)
    forms = [headers]
    name, colon, port = headers.get("host", "").rpartition(":")
    if colon and port.isdecimal():
        forms.append({**headers, "host": name})  # the older Python SDK signs the host without its port
    right = []
    for form in forms:
        canonical = signing.canonical_request(request.method, unquote(request.path), request.pairs, form, request.body)
        right.append(signing.signature(key, signing.string_to_sign(canonical, date, claim.scope, claim.dialect)))
    return right
