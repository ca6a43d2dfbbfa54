"""Whether a gateway is alive, has started, takes calls, and how it stands with DIS: what its probes tell apart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from enum import StrEnum


class Stage(StrEnum):
    """How far it has got. It takes calls while it is ``ready``, and still while it is ``draining``."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Readiness:
    """Thread-safe. ``shut_out`` gives why DIS is not asked, empty where it is; ``circuits`` the state of each circuit
    of the breaker, and ``causes`` why it is so.

    A trouble of DIS is told, and makes it not ready only where ``follows_upstream``: all gateways have that trouble,
    and no consumer is helped if its pod is taken down for it.
    """

    def __init__(
        self,
        shut_out: Callable[[], str] = str,
        circuits: Callable[[], Mapping[str, str]] = dict,
        causes: Callable[[], Mapping[str, str]] = dict,
        *,
        follows_upstream: bool = False,
    ) -> None:
        self._lock = threading.Lock()
        self._stage = Stage.STARTING
        self._has_started = False
        self._shut_out = shut_out
        self._circuits = circuits
        self._causes = causes
        self._follows_upstream = follows_upstream

    @property
    def stage(self) -> Stage:
        """How far it has got."""
        with self._lock:
            return self._stage

    def started(self) -> None:
        """Calls are taken from now on."""
        with self._lock:
            if self._stage is Stage.STARTING:
                self._stage = Stage.READY
                self._has_started = True

    def draining(self) -> None:
        """It was asked to stop."""
        with self._lock:
            self._stage = Stage.DRAINING

    @property
    def has_started(self) -> bool:
        """Whether it has ever been ready."""
        with self._lock:
            return self._has_started

    @property
    def ready(self) -> bool:
        """Whether it wants to be sent calls."""
        return self.stage is Stage.READY and not (self._follows_upstream and self._shut_out())

    def circuits(self) -> Mapping[str, str]:
        """The state of each circuit of the breaker."""
        return self._circuits()

    def words(self) -> str:
        """In a word or two."""
        stage = self.stage
        if stage is not Stage.READY:
            return f"not ready: {stage}"
        cause = self._shut_out()
        if not cause:
            return "ready"
        return f"{'not ready' if self._follows_upstream else 'ready'}, but DIS is not asked: {cause}"

    def verbose(self) -> str:
        """A line for each thing."""
        lines = [self.words(), f"stage: {self.stage}"]
        causes = self._causes()
        for name, state in self._circuits().items():
            cause = causes.get(name, "")
            lines.append(f"breaker {name}: {state} ({cause})" if cause else f"breaker {name}: {state}")
        return "\n".join(lines)
