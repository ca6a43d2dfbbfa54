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

    def to(self, rpc: str, lasts: bool = False) -> Admit:
        """The door of one method, by its bare name. A call that ``lasts`` may outlive the file that it began under."""
        watched, check_unix = self._policy, self._check_unix
        if watched is None:
            return anybody

        def made(policy: Policy, shown: Shown) -> _Permit:
            return _LastingPermit(watched, policy, shown, rpc) if lasts else _Permit(policy, shown, rpc)

        by_token = _ByToken(watched, made)

        def admit(context: grpc.ServicerContext) -> Permit:
            if not check_unix and context.peer().startswith(_UNIX):
                return anything
            shown = _authorization(context)
            return made(watched.current(), _shown(context)) if shown is None else by_token.permit(shown)

        return admit


class _Permit:
    """What one call may do, by the callers that there were when it began: always the same."""

    __slots__ = ("_rights",)

    def __init__(self, policy: Policy, shown: Shown, rpc: str) -> None:
        self._rights = _rights(policy, shown, rpc)

    def __call__(self, stream: str, app: str) -> None:
        self._rights.require(stream, app)

    @property
    def name(self) -> str:
        """Who calls."""
        return self._rights.name


class _LastingPermit(_Permit):
    """What a stream may do: changed callers hold for it too."""

    __slots__ = ("_policy", "_rpc", "_shown", "_watched")

    def __init__(self, watched: Watched[Policy], policy: Policy, shown: Shown, rpc: str) -> None:
        super().__init__(policy, shown, rpc)
        self._watched = watched
        self._policy = policy
        self._shown = shown
        self._rpc = rpc

    def __call__(self, stream: str, app: str) -> None:
        policy = self._watched.current()
        if policy is not self._policy:
            self._rights = _rights(policy, self._shown, self._rpc)
            self._policy = policy
        super().__call__(stream, app)


def _rights(policy: Policy, shown: Shown, rpc: str) -> Rights:
    try:
        rights = policy.rights(shown)
    except CallerUnknown as error:
        if shown.identities:
            error.metadata = {"identities": b", ".join(shown.identities).decode("utf-8", "replace")[:_NAMES_MAX]}
        raise
    rights.require_rpc(rpc)
    return rights


class _ByToken:
    """The permits of one method, by what its callers have shown, as long as the file of callers stays the same."""

    def __init__(self, watched: Watched[Policy], made: Callable[[Policy, Shown], _Permit]) -> None:
        self._watched = watched
        self._made = made
        self._permits: tuple[Policy, dict[str, _Permit]] = (watched.current(), {})

    def permit(self, shown: str) -> _Permit:
        """Of what stands in ``authorization``. Raises :class:`CallerUnknown` or :class:`CallerNotAllowed`."""
        policy, permits = self._permits
        if policy is not (now := self._watched.current()) or len(permits) >= _SHOWN_MAX:
            policy, permits = self._permits = (now, {})
        permit = permits.get(shown)
        if permit is None:
            permit = permits[shown] = self._made(policy, Shown(digest(_token(shown).encode())))
        return permit


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
