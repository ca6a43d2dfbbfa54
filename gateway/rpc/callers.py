"""Who may call, and do what: rights as plain data, and the decision as functions of them. Nothing here knows gRPC."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.errors import CallerNotAllowed, CallerUnknown

READS = frozenset({"GetCheckpoint", "BatchGetCheckpoints", "ListCheckpoints", "WatchCheckpoints"})
WRITES = READS | {"CommitCheckpoint", "BatchCommitCheckpoints", "StreamCommits", "DeleteCheckpoint"}
ADMIN = WRITES | {"DeleteAppCheckpoints"}
ACCESS: Mapping[str, frozenset[str]] = {"read": READS, "write": WRITES, "admin": ADMIN}
"""The methods of each level; a level holds those below it."""


@dataclass(frozen=True, slots=True)
class Names:
    """Some names: exact ones, and all that begin with one of the prefixes."""

    exact: frozenset[str]
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, patterns: Sequence[str]) -> Names:
        """From names, of which some end in ``*``."""
        return cls(
            frozenset(one for one in patterns if not one.endswith("*")),
            tuple(one[:-1] for one in patterns if one.endswith("*")),
        )

    def __contains__(self, name: str) -> bool:
        return name in self.exact or name.startswith(self.prefixes)


@dataclass(frozen=True, slots=True)
class Rights:
    """What one caller may do."""

    name: str
    rpcs: frozenset[str]
    streams: Names
    apps: Names

    def require_rpc(self, rpc: str) -> None:
        """Raises :class:`CallerNotAllowed` where the caller may not use this method."""
        if rpc not in self.rpcs:
            raise CallerNotAllowed(self.name, "rpc", rpc)

    def require(self, stream: str, app: str) -> None:
        """Raises :class:`CallerNotAllowed` where the caller may not use this stream or app."""
        if stream not in self.streams:
            raise CallerNotAllowed(self.name, "stream", stream)
        if app not in self.apps:
            raise CallerNotAllowed(self.name, "app", app)


@dataclass(frozen=True, slots=True, repr=False)
class Shown:
    """What a call shows of who calls.

    ``token`` is the digest of a bearer token, empty where there is none. ``identities`` are those of a verified client
    certificate, the most telling first. ``unix`` tells that it came by a unix socket.
    """

    token: bytes = b""
    identities: tuple[bytes, ...] = ()
    unix: bool = False


def digest(token: bytes) -> bytes:
    """What is kept of a token. Tokens are looked up by it, so that the time of a look-up says nothing of a token."""
    return hashlib.sha256(token).digest()


@dataclass(frozen=True, slots=True, repr=False)
class Policy:
    """Every caller, by what it is known by. ``unix``: who comes by a unix socket and shows nothing."""

    tokens: Mapping[bytes, Rights] = field(default_factory=dict)
    identities: Mapping[bytes, Rights] = field(default_factory=dict)
    unix: Rights | None = None

    def rights(self, shown: Shown) -> Rights:
        """Those of who calls. Raises :class:`CallerUnknown`.

        A token decides alone: one that is not known is refused, whatever the certificate says.
        """
        if shown.token:
            if (found := self.tokens.get(shown.token)) is not None:
                return found
            raise CallerUnknown("the token is not one of a caller that this gateway knows")
        for identity in shown.identities:
            if (found := self.identities.get(identity)) is not None:
                return found
        if shown.unix and self.unix is not None:
            return self.unix
        if shown.identities:
            raise CallerUnknown("the certificate is not one of a caller that this gateway knows, and there is no token")
        raise CallerUnknown("the call has no token (metadata `authorization: Bearer ...`) and no client certificate")
