"""What one client may take: the options of the transport, and the count of calls that are under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

METADATA_BYTES = 8 * 1024
"""Metadata of a call that is larger may be refused, and is from twice that on."""
PING_STRIKES = 2
"""Pings that come too early before the connection is closed (``ENHANCE_YOUR_CALM``)."""
KEEPALIVE_SECONDS = 60.0
"""After so long without a word the gateway asks whether the client is there: a dead one holds no stream for ever."""
KEEPALIVE_TIMEOUT_SECONDS = 20.0
REFUSALS = 1000
"""Refusals with details that may be under way; calls beyond are refused by gRPC itself, without details."""
LOOKAHEAD_BYTES = 256 * 1024
_PENDING = 20_000
"""Calls of all connections that have come and were not begun: each is begun, if only to be refused with details."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Of one connection. ``max_age`` in seconds, 0 sets none; ``min_ping``: least seconds between its pings."""

    max_age: float = 0.0
    min_ping: float = 10.0


def transport_options(limits: ConnectionLimits, max_message: int, max_calls: int) -> list[tuple[str, int]]:
    """For ``grpc.server``. ``max_message`` in bytes; ``max_calls`` is for each connection."""
    options = [
        # two gateways on one port would each get a part of the calls: an address in use must be an error
        ("grpc.so_reuseport", 0),
        # somewhat more than is taken, so that a message which is too large gets an answer with details
        ("grpc.max_receive_message_length", 2 * max_message),
        # what a stream may send before it is read: gRPC would take MiB of it, and a client be held back that much later
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * METADATA_BYTES),
        ("grpc.max_concurrent_streams", max_calls),
        # those that have come and were not begun: gRPC cancels some of them, without a word, where they are 1,000
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING),
        ("grpc.keepalive_time_ms", _ms(KEEPALIVE_SECONDS)),
        ("grpc.keepalive_timeout_ms", _ms(KEEPALIVE_TIMEOUT_SECONDS)),
        ("grpc.http2.ping_timeout_ms", _ms(KEEPALIVE_TIMEOUT_SECONDS)),  # this one closes a connection
        # clients of a sidecar rest for long, and may find out meanwhile whether it is there
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(limits.min_ping)),
        ("grpc.http2.max_ping_strikes", PING_STRIKES),
    ]
    if limits.max_age:
        options += [
            ("grpc.max_connection_age_ms", _ms(limits.max_age)),
            # a stream ends by itself at this age, so it has ended when the connection is closed
            ("grpc.max_connection_age_grace_ms", _ms(2 * limits.max_age)),
        ]
    return options


class CountingPool(ThreadPoolExecutor):
    """Threads that know how many calls they have, those that wait included."""

    def __init__(self, workers: int, most: int, name: str) -> None:
        super().__init__(workers, thread_name_prefix=name)
        self._most = most
        self._count = 0
        self._counting = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether no more shall be taken."""
        return self._count >= self._most

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As its base."""
        # after an error of the thread that could not be started the call is in the queue all the same
        self._add(1)
        return super().submit(self._counted, fn, *args, **kwargs)

    def _counted(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        finally:
            self._add(-1)

    def _add(self, change: int) -> None:
        with self._counting:
            self._count += change


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
