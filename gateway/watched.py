"""Files that may be replaced while the gateway runs: what is right is taken over, else what was there stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from gateway.errors import ConfigurationError

CHECK_SECONDS = 1.0
"""How long what was read is used before the files are looked at again."""
_TRIES = 10

ContentT = TypeVar("ContentT")
_Marks = tuple[object, ...]

log = structlog.get_logger("gateway.watched")


class Watched(Generic[ContentT]):
    """What ``read`` makes of some files, read anew when one of them has changed. Thread-safe.

    ``what`` names it in the log. ``read`` raises :class:`ConfigurationError` for what cannot be used: at the start that
    goes on to the caller, later it is one warning for each content that is wrong, and the old content stays.
    """

    def __init__(
        self, what: str, paths: Sequence[Path], read: Callable[[], ContentT], clock: Callable[[], float]
    ) -> None:
        self._what = what
        self._paths = paths
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._seen, self._content = self._consistent()
        self._due = clock() + CHECK_SECONDS

    def current(self) -> ContentT:
        """The content as of at most a second ago."""
        if self._clock() >= self._due and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._due = self._clock() + CHECK_SECONDS
                self._lock.release()
        return self._content

    def latest(self) -> ContentT:
        """The content as of now."""
        with self._lock:
            self._look()
            self._due = self._clock() + CHECK_SECONDS
        return self._content

    def _look(self) -> None:
        if self._marks() == self._seen:
            return
        try:
            self._seen, self._content = self._consistent()
        except _Refused as refused:
            self._seen = refused.seen
            log.warning(f"{self._what}_not_reloaded", problem=str(refused.error), kept="what was read before")
        else:
            log.info(f"{self._what}_reloaded", files=[str(path) for path in self._paths])

    def _consistent(self) -> tuple[_Marks, ContentT]:
        """What the files hold, read while none of them changed."""
        for _ in range(_TRIES):
            seen = self._marks()
            try:
                content = self._read()
            except ConfigurationError as error:
                if self._marks() == seen:
                    raise _Refused(error, seen) from None
            except (OSError, RecursionError) as error:
                problem = f"{self._paths[0]} cannot be read: {type(error).__name__}"
                raise _Refused(ConfigurationError(self._what, problem), seen) from None
            else:
                if self._marks() == seen:
                    return seen, content
        raise _Refused(ConfigurationError(self._what, f"{self._paths[0]} changes while it is read"), ())

    def _marks(self) -> _Marks:
        """Changes when a file does, also by a link that leads to another."""
        marks: list[object] = []
        for path in self._paths:
            try:
                about = path.stat()
            except OSError:
                marks.append(None)
            else:
                marks.append((about.st_dev, about.st_ino, about.st_mtime_ns, about.st_ctime_ns, about.st_size))
        return tuple(marks)


class _Refused(ConfigurationError):
    """What the files hold cannot be used; ``seen`` tells that content from a later one."""

    def __init__(self, error: ConfigurationError, seen: _Marks) -> None:
        super().__init__(error.key, error.problem)
        self.error = error
        self.seen = seen
