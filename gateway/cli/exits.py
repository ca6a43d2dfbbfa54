"""What the exit codes mean."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    """wrong usage or configuration"""
    NOT_FOUND = 3
    UNAVAILABLE = 4
