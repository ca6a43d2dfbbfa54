"""When a gateway that was asked to stop may stop: when its clients have left, or when it has waited long enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import structlog

from gateway.rpc.listeners import Bound

log = structlog.get_logger("gateway.rpc")


class Farewell(StrEnum):
    """Why it stops taking calls."""

    CLIENTS_LEFT = "clients_left"
    GRACE_OVER = "grace_over"


class Departure:
    """Begins when it is made. ``clock``, ``grace`` and ``quiet`` are in seconds.

    Clients that connect anew for each call are away between two of them, and so is one whose connection broke: they
    have left only when nobody was connected for ``quiet``.
    """

    def __init__(self, grace: float, quiet: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._quiet = quiet
        self._nobody_since = clock()
        self._until = self._nobody_since + grace

    def over(self, connections: int) -> Farewell | None:
        """Look again, with the number of ``connections`` that are open now; None: serve on."""
        now = self._clock()
        if connections:
            self._nobody_since = now
        elif now - self._nobody_since >= self._quiet:
            return Farewell.CLIENTS_LEFT
        return Farewell.GRACE_OVER if now >= self._until else None


def connections(bound: Sequence[Bound]) -> int:
    """How many connections clients have to these addresses, as the operating system sees it.

    gRPC does not say. A probe that opens a connection for each look is seen for that moment alone.
    """
    import psutil  # needed once, at the end

    ports = {one.port for one in bound if one.port}
    paths = {one.bound_as for one in bound if one.bound_as}
    try:
        found = psutil.Process().net_connections("all")
    except (psutil.Error, OSError) as error:
        log.warning("clients_not_counted", problem=str(error))  # so that it waits for the whole grace period
        return 1
    tcp = sum(1 for one in found if one.status == psutil.CONN_ESTABLISHED and one.laddr and one.laddr[1] in ports)
    unix = sum(1 for one in found if isinstance(one.laddr, str) and one.laddr in paths)
    return tcp + max(0, unix - len(paths))  # each path is once that of its listener
