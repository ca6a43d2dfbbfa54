"""Being asked to stop: SIGTERM from a platform, SIGINT from a person.

A thread waits for the signals. A handler would run inside whatever the main thread does, and could wait for a lock that
the main thread holds. Asked a second time, the process ends at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ASKING = frozenset({signal.SIGTERM, signal.SIGINT})
AT_ONCE = 1
"""The exit code of a process that was asked twice."""
AGAIN_SECONDS = 1.0
"""Within so long a second signal is the same request: some senders signal a process, and then its group."""
_LAST_WORDS_SECONDS = 0.2


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
        asked = time.monotonic()
        stopping.set()
        while time.monotonic() - asked < AGAIN_SECONDS:
            signal.sigwait(ASKING)
        last = threading.Thread(target=on_second, daemon=True)
        last.start()
        last.join(_LAST_WORDS_SECONDS)  # a log that is stuck does not keep it
        os._exit(AT_ONCE)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that goes is no reason to lose calls
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    threading.Thread(target=wait, name="signals", daemon=True).start()
    try:
        yield stopping
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
