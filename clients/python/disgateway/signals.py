"""SIGTERM and SIGINT as an event."""

from __future__ import annotations

import signal
import threading


def stop_upon_signal() -> threading.Event:
    """Set by the first SIGTERM or SIGINT. To be called from the main thread, before there are others.

    A thread waits for them, as a handler that sets an event may interrupt the wait for that very event, and hang.
    """
    wanted = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)  # later threads inherit it
    stop = threading.Event()

    def wait() -> None:
        signal.sigwait(wanted)
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop
