"""Faults on demand: what shall go wrong, for which requests, how many times."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from gateway.dis.error_table import ERRORS_BY_CODE
from gateway.emulator.answers import Shape


class Kind(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    """the request waits ``seconds`` before it is looked at"""
    HOLD = "hold"
    """the request waits, before it is looked at, until it is released"""
    HOLD_ANSWER = "hold_answer"
    """the request is applied, its answer waits until it is released"""
    ERROR = "error"
    """the request is answered with the error ``code`` and not applied"""
    BODY = "body"
    """the request is answered with ``status`` and ``body`` and not applied"""
    CUT_BEFORE = "cut_before"
    """the connection is cut and the request not applied"""
    CUT_AFTER = "cut_after"
    """the request is applied, then the connection is cut before the answer"""
    TRUNCATE = "truncate"
    """the request is applied, then the connection is cut in the middle of the answer"""
    CONTENT_TYPE = "content_type"
    """the request is applied and answered as ``content_type``"""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault. It hits the next ``times`` requests (0: all until it is cleared) that it fits.

    ``method`` and ``path_contains`` narrow the requests down. ``seconds`` is for ``latency``; ``code``, ``message``,
    ``shape``, ``status`` and ``retry_after`` (a whole ``Retry-After`` value) for ``error``; ``status``, ``body`` and
    ``content_type`` for ``body``.
    """

    kind: Kind
    times: int = 1
    method: str = ""
    path_contains: str = ""
    seconds: float = 0.0
    code: str = ""
    message: str | None = None
    shape: Shape | None = None
    status: int | None = None
    retry_after: str = ""
    body: str = ""
    content_type: str = "application/json"

    def __post_init__(self) -> None:
        if self.times < 0:
            raise ValueError("times must be at least 0")
        if self.seconds < 0:
            raise ValueError("seconds must be at least 0")
        if self.kind is Kind.LATENCY and not self.seconds:
            raise ValueError("latency needs seconds")
        if self.kind is Kind.ERROR and self.code not in ERRORS_BY_CODE and self.status is None:
            raise ValueError(f"code {self.code!r} is none of DIS: name another, or the status to answer it with")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status must be an HTTP status from 200 to 599")

    def fits(self, method: str, path: str) -> bool:
        """Whether this fault is meant for such a request."""
        return (not self.method or self.method.upper() == method) and self.path_contains in path


FOREVER = -1
DELAYS = frozenset({Kind.LATENCY, Kind.HOLD, Kind.HOLD_ANSWER})


@dataclass(slots=True)
class _Pending:
    fault: Fault
    left: int


class Faults:
    """The faults that are still to come. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []

    def add(self, fault: Fault) -> None:
        """Let it hit the next requests that it fits."""
        with self._lock:
            self._pending.append(_Pending(fault, fault.times or FOREVER))

    def take(self, method: str, path: str) -> list[Fault]:
        """What goes wrong with this request: any delays, and at most one fault of another kind, the oldest first."""
        taken = []
        with self._lock:
            for pending in self._pending:
                if not pending.fault.fits(method, path):
                    continue
                taken.append(pending.fault)
                if pending.left != FOREVER:
                    pending.left -= 1
                if pending.fault.kind not in DELAYS:
                    break
            self._pending = [pending for pending in self._pending if pending.left != 0]
        return taken

    def pending(self) -> list[Fault]:
        """The faults that have not been used up, with the times that are left."""
        with self._lock:
            return [msgspec.structs.replace(one.fault, times=max(one.left, 0)) for one in self._pending]

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._pending.clear()
