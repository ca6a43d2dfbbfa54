"""Request signatures for DIS, as pure functions: canonical request, string to sign, signature, headers.

DIS accepts three dialects, all over the same canonical request. ``scoped`` is the one that the DIS API reference
documents, ``access`` and ``derived`` are what Huawei Cloud's current SDK core sends. Nothing here reads a clock, a file
or the environment; the verifier of the emulator uses the same stages.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import quote

SDK_ALGORITHM = "SDK-HMAC-SHA256"
DERIVED_ALGORITHM = "V11-HMAC-SHA256"
SCOPE_TERMINATOR = "sdk_request"
DATE_FORMAT = "%Y%m%dT%H%M%SZ"
DATE_HEADER = "x-sdk-date"
SECURITY_TOKEN_HEADER = "x-security-token"
AUTH_TOKEN_HEADER = "X-Auth-Token"

_UNRESERVED = "-._~"  # letters and digits are never quoted


class SigningDialect(StrEnum):
    """How a request is signed; the value is what ``upstream.signing`` takes."""

    SCOPED = "scoped"
    ACCESS = "access"
    DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class SigningScope:
    """Where a signature is valid: a region such as ``eu-de`` and a service name, ``dis`` unless configured."""

    region: str
    service: str = "dis"


def format_date(moment: datetime) -> str:
    """The ``X-Sdk-Date`` form of an aware datetime: UTC, to the second, such as ``20180820T024248Z``."""
    return moment.astimezone(UTC).strftime(DATE_FORMAT)


def canonical_uri(path: str) -> str:
    """``path`` (not yet percent-encoded) encoded segment by segment; always ends in ``/``."""
    encoded = quote(path, safe="/" + _UNRESERVED)
    return encoded if encoded.endswith("/") else encoded + "/"


def canonical_query(query: Iterable[tuple[str, str]]) -> str:
    """Pairs (not yet percent-encoded) encoded, sorted by name and then by value, and joined."""
    pairs = sorted((quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def canonical_request(
    method: str, path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str], body: bytes
) -> str:
    """The text that every dialect hashes.

    ``headers`` holds the headers to be signed and no others; their names may be in any case.
    """
    lines = sorted((name.lower(), value.strip()) for name, value in headers.items())
    return "\n".join(
        (
            method.upper(),
            canonical_uri(path),
            canonical_query(query),
            "".join(f"{name}:{value}\n" for name, value in lines),
            ";".join(name for name, _ in lines),
            hashlib.sha256(body).hexdigest(),
        )
    )


def signed_headers(headers: Mapping[str, str]) -> str:
    """The ``SignedHeaders`` value for exactly these headers: lower-case names, sorted, joined by ``;``."""
    return ";".join(sorted(name.lower() for name in headers))


def credential_scope(date: str, scope: SigningScope, dialect: SigningDialect) -> str:
    """What stands between the access key and the signature; empty for ``access``, which has no scope."""
    if dialect is SigningDialect.ACCESS:
        return ""
    parts = [date[:8], scope.region, scope.service]
    if dialect is SigningDialect.SCOPED:
        parts.append(SCOPE_TERMINATOR)
    return "/".join(parts)


def string_to_sign(canonical: str, date: str, scope: SigningScope, dialect: SigningDialect) -> str:
    """The text that the key signs. ``date`` is in the ``X-Sdk-Date`` form."""
    algorithm = DERIVED_ALGORITHM if dialect is SigningDialect.DERIVED else SDK_ALGORITHM
    parts = [algorithm, date]
    if dialect is not SigningDialect.ACCESS:
        parts.append(credential_scope(date, scope, dialect))
    parts.append(hashlib.sha256(canonical.encode()).hexdigest())
    return "\n".join(parts)


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.new(key, message.encode(), "sha256").digest()


def _scoped_key(access_key: str, secret_key: str, date: str, scope: SigningScope) -> bytes:
    key = _hmac(("SDK" + secret_key).encode(), date[:8])
    for part in (scope.region, scope.service, SCOPE_TERMINATOR):
        key = _hmac(key, part)
    return key


def _access_key(access_key: str, secret_key: str, date: str, scope: SigningScope) -> bytes:
    return secret_key.encode()


def _derived_key(access_key: str, secret_key: str, date: str, scope: SigningScope) -> bytes:
    # HKDF (RFC 5869) with one block of output: extract with the access key as salt, expand with the scope as info.
    extracted = hmac.new(access_key.encode(), secret_key.encode(), "sha256").digest()
    info = credential_scope(date, scope, SigningDialect.DERIVED)
    return hmac.new(extracted, info.encode() + b"\x01", "sha256").digest().hex().encode()


_KEYS: Mapping[SigningDialect, Callable[[str, str, str, SigningScope], bytes]] = {
    SigningDialect.SCOPED: _scoped_key,
    SigningDialect.ACCESS: _access_key,
    SigningDialect.DERIVED: _derived_key,
}


def signing_key(access_key: str, secret_key: str, date: str, scope: SigningScope, dialect: SigningDialect) -> bytes:
    """The key that signs on the day of ``date``; for ``scoped`` and ``derived`` it changes with the day."""
    return _KEYS[dialect](access_key, secret_key, date, scope)


def signature(key: bytes, to_sign: str) -> str:
    """Lower-case hex of the HMAC-SHA256 of the string to sign."""
    return _hmac(key, to_sign).hex()


def authorization(
    access_key: str, date: str, scope: SigningScope, dialect: SigningDialect, names: str, signed: str
) -> str:
    """The ``Authorization`` value; ``names`` is what :func:`signed_headers` gave."""
    if dialect is SigningDialect.ACCESS:
        head = f"{SDK_ALGORITHM} Access={access_key}"
    else:
        algorithm = DERIVED_ALGORITHM if dialect is SigningDialect.DERIVED else SDK_ALGORITHM
        head = f"{algorithm} Credential={access_key}/{credential_scope(date, scope, dialect)}"
    return f"{head}, SignedHeaders={names}, Signature={signed}"
