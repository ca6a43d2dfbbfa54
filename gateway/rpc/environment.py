"""What gRPC's core finds in its environment: it looks there once, when it is loaded, so this comes before that."""

from __future__ import annotations

import os

DEFAULTS = {
    # One line for each handshake that fails, on standard error: they are no JSON
    "GRPC_VERBOSITY": "NONE",
    # A server's sockets are looked after by the thread that takes its events, as they were for years, and not by the
    # threads of the event engine, which hand them over: these wake ten times for a call, and take a quarter of its CPU.
    # A release of gRPC that has no such choice any more takes no notice.
    "GRPC_EXPERIMENTS": "-event_engine_listener",
}


def prepare() -> None:
    """Set what is not set: to be called before ``grpc`` is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
