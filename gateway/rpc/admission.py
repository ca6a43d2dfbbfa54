"""At the door: who calls, by what the call shows, and what the caller may do. Once for each call, before it is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from gateway.errors import CallerUnknown
from gateway.rpc.callers import Policy, Rights, Shown, digest
from gateway.rpc.callers_file import read_policy
from gateway.watched import Watched

Permit = Callable[[str, str], None]
"""Takes a stream and an app; raises where the caller may not use them."""
Admit = Callable[[grpc.ServicerContext], Permit]
"""Looks who calls. Raises where the caller is not known, or may not use the method at all."""

_AUTHORIZATION = "authorization"
_BEARER = "bearer "
_ONCE = "the metadata `authorization` must be there once, as `Bearer` and a token"
_SHOWN_MAX = 1000
"""Of the ways to write a token in it so many are remembered."""
_UNIX = "unix:"
_NAMES_MAX = 300
"""Characters of the names in a certificate that an error has."""
_URIS, _DNS_NAMES, _COMMON_NAME = "peer_uri", "peer_dns", "x509_common_name"
"""Where gRPC has the names of a verified certificate; others, such as e-mail addresses, tell no caller."""


@dataclass(frozen=True, slots=True)
class CallersSettings:
    """The file of callers, and whether they are looked at on unix sockets too."""

    file: Path
    check_unix: bool = False


def anything(stream: str, app: str) -> None:
    """The permit of who may do everything."""


def anybody(context: grpc.ServicerContext) -> Permit:
    """Lets everybody in."""
    return anything


def name_of(permit: Permit | None) -> str:
    """Who calls, for the log; empty where callers are not told apart."""
    return permit.name if isinstance(permit, _Permit) else ""


class Admission:
    """Makes the :data:`Admit` of each method. Without settings everybody may do everything.

    Raises :class:`gateway.errors.ConfigurationError` for a file that is wrong.
    """

    def __init__(self, settings: CallersSettings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._check_unix = settings is not None and settings.check_unix
        self._policy: Watched[Policy] | None = None
        if settings is not None:
            file, check_unix = settings.file, settings.check_unix
            self._policy = Watched("callers", [file], lambda: read_policy(file, checks_unix=check_unix), clock)

    def to(self, rpc: str) -> Admit:
        """The door of one method, by its bare name."""
        policy, check_unix = self._policy, self._check_unix
        if policy is None:
            return anybody

        current = policy.current
        by_shown: tuple[Policy, dict[str | Shown, _Permit]] = (current(), {})
        """the permits of those who were here, as long as the file of callers stays the same"""

        def admit(context: grpc.ServicerContext) -> Permit:
            nonlocal by_shown
            if not check_unix and context.peer().startswith(_UNIX):
                return anything
            token = _authorization(context)
            shown = _shown(context) if token is None else token
            known, permits = by_shown
            if known is not (now := current()) or len(permits) >= _SHOWN_MAX:
                known, permits = by_shown = (now, {})
            permit = permits.get(shown)
            if permit is None:
                who = shown if isinstance(shown, Shown) else Shown(digest(_token(shown).encode()))
                permit = permits[shown] = _Permit(policy, who, rpc)
            return permit

        return admit


class _Permit:
    """What one call may do. A stream may outlive the callers that it began under: changed ones hold for it too."""

    __slots__ = ("_held", "_rpc", "_shown", "_watched")

    def __init__(self, watched: Watched[Policy], shown: Shown, rpc: str) -> None:
        self._watched = watched
        self._shown = shown
        self._rpc = rpc
        policy = watched.current()
        self._held = policy, self._look(policy)

    def __call__(self, stream: str, app: str) -> None:
        policy = self._watched.current()
        held, rights = self._held
        if policy is not held:
            rights = self._look(policy)
            self._held = policy, rights
        rights.require(stream, app)

    @property
    def name(self) -> str:
        """Who calls."""
        return self._held[1].name

    def _look(self, policy: Policy) -> Rights:
        try:
            rights = policy.rights(self._shown)
        except CallerUnknown as error:
            if self._shown.identities:
                error.metadata = {
                    "identities": b", ".join(self._shown.identities).decode("utf-8", "replace")[:_NAMES_MAX]
                }
            raise
        rights.require_rpc(self._rpc)
        return rights


def _shown(context: grpc.ServicerContext) -> Shown:
    if context.peer().startswith(_UNIX):
        return Shown(unix=True)
    about = context.auth_context()
    return Shown(identities=(*about.get(_URIS, ()), *about.get(_DNS_NAMES, ()), *about.get(_COMMON_NAME, ())))


def _authorization(context: grpc.ServicerContext) -> str | None:
    shown = None
    for key, value in context.invocation_metadata():
        if key == _AUTHORIZATION:
            if shown is not None or not isinstance(value, str):
                raise CallerUnknown(_ONCE)
            shown = value
    return shown


def _token(shown: str) -> str:
    if shown[: len(_BEARER)].lower() != _BEARER:
        raise CallerUnknown(_ONCE)
    return shown[len(_BEARER) :].strip() or " "
