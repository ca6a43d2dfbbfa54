"""How the kernel is to treat threads that this process wakes itself."""

from __future__ import annotations

import os

import structlog

log = structlog.get_logger("gateway.rpc")


def let_others_go_on() -> None:
    """Have the kernel put this thread behind the one that wakes it, and not before it, where it knows how.

    Threads of a pool are woken by others of this process, which have the interpreter: put before them, one only waits
    for it, at the price of two switches. Threads that the network wakes must not be so patient: where other processes
    want the processor, it would cost a call milliseconds. See ``SCHED_BATCH`` in sched(7).
    """
    batch = getattr(os, "SCHED_BATCH", None)
    if batch is None:
        return
    try:
        if os.sched_getscheduler(0) == os.SCHED_OTHER:  # and nobody wants it otherwise
            os.sched_setscheduler(0, batch, os.sched_param(0))
    except OSError as error:
        log.debug("scheduling_refused", problem=str(error))
