"""Until when something is worth trying."""

from __future__ import annotations

import math
from collections.abc import Callable

Until = Callable[[], float]
"""The latest deadline of those who wait, in seconds of the gateway's clock; asked anew, as they may become others."""


def forever() -> float:
    """There is no hurry."""
    return math.inf
