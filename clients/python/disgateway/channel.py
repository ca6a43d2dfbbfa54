"""A channel to the gateway."""

from __future__ import annotations

from importlib import resources

import grpc

SERVICE_CONFIG = resources.files(__package__).joinpath("service-config.json").read_text("utf-8")
"""A copy of ``clients/service-config.json``: the deadline of each call, to wait for a gateway that is not there yet,
and which calls gRPC repeats by itself."""

OPTIONS = (
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),  # a sidecar is back within seconds
    ("grpc.min_reconnect_backoff_ms", 5000),  # bounds an attempt to connect that hangs; it is 20 seconds otherwise
    ("grpc.max_receive_message_length", 16 << 20),  # a thousand checkpoints with long metadata are above 4 MiB
    ("grpc.enable_http_proxy", 0),  # http_proxy is not meant for a sidecar
)


def connect(target: str) -> grpc.Channel:
    """A channel to ``host:port`` or ``unix:///path``: one serves the whole program, and reconnects by itself."""
    return grpc.insecure_channel(target, options=OPTIONS)
