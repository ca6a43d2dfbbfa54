"""Logs: one JSON object a line on standard error, or text for people."""

from __future__ import annotations

import logging
import select
import sys
import time
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

from gateway.limit import LogLimit

_QUIET = logging.WARNING
"""What libraries have to say is shown from here on, whatever the level of the gateway's own log."""


_PART = 1024
"""Characters that a pipe has room for, if it has any: of UTF-8, ``PIPE_BUF`` bytes."""


class _Sink:
    """Where lines go. What cannot be written is lost: neither a full disk nor a pipe that nobody reads must hold up the
    call that it is about, and all others with it.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._poll: select.poll | None = None
        with suppress(OSError, ValueError, AttributeError):  # no file of the system, or no such system
            self._poll = select.poll()
            self._poll.register(file.fileno(), select.POLLOUT)

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            for start in range(0, len(text), _PART):
                if self._poll is not None and not self._poll.poll(0):
                    return
                self._file.write(text[start : start + _PART])
                self._file.flush()

    def flush(self) -> None:
        """Nothing is kept back."""


def configure(level: str, style: str) -> None:
    """Set up logging of the process. ``level`` is debug, info, warning or error; ``style`` is json or text."""
    renderer: structlog.typing.Processor
    if style == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        # plain tracebacks: the others show local variables, and so secrets
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([structlog.processors.format_exc_info] if style == "json" else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Sink(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, FromLibraries):
            root.removeHandler(handler)
    root.addHandler(FromLibraries())


class FromLibraries(logging.Handler):
    """What libraries log by the standard module, as lines of this log, and as few of each sort."""

    def __init__(self, limit: LogLimit | None = None) -> None:
        super().__init__(_QUIET)
        self._limit = limit or LogLimit(time.monotonic)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; the traceback of an error goes with it."""
        suppressed = self._limit.admit((record.name, str(record.msg)))
        if suppressed is None:
            return
        more: dict[str, Any] = {"suppressed": suppressed} if suppressed else {}
        if record.exc_info and record.levelno >= logging.ERROR:
            more["exc_info"] = record.exc_info
        log = structlog.get_logger(record.name)
        emit = log.error if record.levelno >= logging.ERROR else log.warning
        emit("library_says", library=record.name, problem=record.getMessage(), **more)
