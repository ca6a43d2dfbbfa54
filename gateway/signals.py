"""Being asked to stop: SIGTERM from a platform, SIGINT from a person.

A thread waits for the signals. A handler would run inside whatever the main thread does, and could wait for a lock that
the main thread holds. Asked a second time, the process ends at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ASKING = frozenset({signal.SIGTERM, signal.SIGINT})
AT_ONCE = 1
"""The exit code of a process that was asked twice."""


def hold() -> None:
    """Keep what asks to stop for :func:`stop_signal`, from now on and in threads to come.

    Before that, a process that is the first of its container would never see a signal that came while it started.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)


@contextmanager
def stop_signal(on_second: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """An event that is set when the process is asked to stop. Use it once, from the main thread, before others start.

    ``on_second`` is called before the second signal ends the process with exit code :data:`AT_ONCE`.
    """
    stopping = threading.Event()

    def wait() -> None:
        signal.sigwait(ASKING)
        stopping.set()
        signal.sigwait(ASKING)
        try:
            on_second()
        finally:
            os._exit(AT_ONCE)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    threading.Thread(target=wait, name="signals", daemon=True).start()
    try:
        yield stopping
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
