"""How the kernel is to treat the threads of this process, by who wakes them."""

from __future__ import annotations

import os

import structlog

log = structlog.get_logger("gateway.scheduling")

_KNOWN = hasattr(os, "SCHED_BATCH")


def let_others_go_on() -> None:
    """Have the kernel put this thread behind the one that wakes it, and not before it, where it knows how.

    Threads of a pool are woken by others of this process, which have the interpreter: put before them, one only waits
    for it, at the price of two switches. See ``SCHED_BATCH`` in sched(7).
    """
    if _KNOWN:
        _change(os.SCHED_OTHER, os.SCHED_BATCH)


def go_on_at_once() -> None:
    """The opposite, for threads that the network or a clock wakes: where other processes want the processor, patience
    would cost a call milliseconds. A thread begins like the one that started it.
    """
    if _KNOWN:
        _change(os.SCHED_BATCH, os.SCHED_OTHER)


def _change(before: int, after: int) -> None:
    try:
        if os.sched_getscheduler(0) == before:  # else somebody wants it otherwise
            os.sched_setscheduler(0, after, os.sched_param(0))
    except OSError as error:
        log.debug("scheduling_refused", problem=str(error))
