"""Reads the file of callers: TOML, every key known, no token in it but its digest."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from gateway.errors import ConfigurationError
from gateway.rpc.callers import ACCESS, ADMIN, Names, Policy, Rights

KEY = "callers.file"
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_PATTERN = re.compile(r"[A-Za-z0-9_-]*\*?")

KnownT = TypeVar("KnownT")


class _Caller(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    streams: list[str]
    apps: list[str]
    token_sha256: list[str] = []
    identities: list[str] = []
    unix: bool = False
    access: Literal["read", "write", "admin", ""] = ""
    rpcs: list[str] = []


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    caller: list[_Caller]


def read_policy(path: Path, *, checks_unix: bool) -> Policy:
    """The callers of a file. ``checks_unix`` tells that callers are looked at on unix sockets too.

    Raises :class:`ConfigurationError`, which names the caller and the key, and shows no digest: it may be a token that
    somebody has put there by mistake.
    """
    tokens: dict[bytes, Rights] = {}
    identities: dict[bytes, Rights] = {}
    unix: Rights | None = None
    names: set[str] = set()
    for caller in _parsed(path).caller:
        try:
            rights = _rights(caller)
            _once(names, caller.name, "another caller has this name")
            for text in caller.token_sha256:
                _add(tokens, _digest(text), rights, "token_sha256 has a digest that is there already")
            for text in caller.identities:
                _add(identities, text.encode(), rights, f"the identity {text!r} is there already")
            if caller.unix:
                unix = _the_unix_one(unix, rights, checks_unix=checks_unix)
        except ValueError as error:
            raise ConfigurationError(KEY, f"{path}: caller {caller.name!r}: {error}") from None
    if not names:
        raise ConfigurationError(KEY, f"{path} has no [[caller]]: nobody could call")
    return Policy(tokens, identities, unix)


def _parsed(path: Path) -> _File:
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except OSError as error:
        raise ConfigurationError(KEY, f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(KEY, f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(KEY, f"{path} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigurationError(KEY, f"{path}: {error}") from None


def _rights(caller: _Caller) -> Rights:
    if not caller.name.strip():
        raise ValueError("name is empty")
    if not (caller.token_sha256 or caller.identities or caller.unix):
        raise ValueError("nothing tells who it is: give token_sha256, identities or unix")
    if "" in caller.identities:
        raise ValueError("identities has an empty one")
    if not (caller.access or caller.rpcs):
        raise ValueError("it may do nothing: give access (read, write, admin) or rpcs")
    for rpc in caller.rpcs:
        if rpc not in ADMIN:
            raise ValueError(f"rpcs has {rpc!r}, which is none of {', '.join(sorted(ADMIN))}")
    allowed = ACCESS.get(caller.access, frozenset()) | frozenset(caller.rpcs)
    return Rights(caller.name, allowed, _names("streams", caller.streams), _names("apps", caller.apps))


def _names(key: str, patterns: list[str]) -> Names:
    if not patterns:
        raise ValueError(f'{key} is empty: name them, or all with ["*"]')
    for pattern in patterns:
        if not pattern or not _PATTERN.fullmatch(pattern):
            raise ValueError(f"{key} has {pattern!r}, which is neither a name nor the beginning of names and a *")
    return Names.of(patterns)


def _digest(text: str) -> bytes:
    if not _DIGEST.fullmatch(text):
        raise ValueError("token_sha256 must have SHA-256 digests, 64 hex digits each: `dis-gateway token` makes them")
    return bytes.fromhex(text)


def _the_unix_one(before: Rights | None, rights: Rights, *, checks_unix: bool) -> Rights:
    if before is not None:
        raise ValueError(f"unix is true for {before.name!r} already")
    if not checks_unix:
        raise ValueError('unix has no effect: everybody may do everything there, unless callers.unix_socket = "check"')
    return rights


def _once(known: set[KnownT], one: KnownT, problem: str) -> None:
    if one in known:
        raise ValueError(problem)
    known.add(one)


def _add(known: dict[bytes, Rights], one: bytes, rights: Rights, problem: str) -> None:
    if one in known:
        raise ValueError(problem)
    known[one] = rights
