"""A whole gateway in one process: how its parts are put together, started and stopped."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec
import structlog

from gateway import wiring
from gateway.checkpoints.service import CheckpointService
from gateway.config import Config, CredentialsConfig, LoadedConfig, UpstreamConfig, require_serving
from gateway.dis.breaker import Breaker, State
from gateway.dis.client import DisClient
from gateway.dis.transport import RequestsTransport
from gateway.errors import ListenError
from gateway.rpc.listeners import Bound
from gateway.rpc.server import GatewayServer
from gateway.signals import stop_signal
from gateway.telemetry import logs
from gateway.telemetry.admin import AdminServer, Readiness
from gateway.telemetry.metrics import Metrics
from gateway.wiring import DISTRIBUTION

if TYPE_CHECKING:
    from gateway.emulator import Emulator

DEV_EMULATOR_PORT = 9552
DEV_PROJECT = "0123456789abcdef0123456789abcdef"
DEV_REGION = "dev"

log = structlog.get_logger("gateway.app")


class Gateway:
    """A whole gateway in this process: ``start``, then ``stop``. Use it as a context manager in tests."""

    def __init__(self, config: Config) -> None:
        self._transports = [RequestsTransport(wiring.transport_settings(config.upstream))]
        self._resilience = wiring.resilience(config)
        client = DisClient(
            wiring.endpoint(config.upstream),
            wiring.credentials_provider(config.credentials, config.upstream, self._transports),
            self._transports[0],
            wiring.utc,
            self._resilience,
        )
        self.metrics = Metrics(version(DISTRIBUTION))
        self.service = CheckpointService(
            client,
            wiring.core_settings(config),
            config.cache.max_entries,
            time.monotonic,
            config.upstream.pool_size,
            self.metrics.count,
            self.metrics.listed,
        )
        self.metrics.watch("disgw_writes_waiting", "Writes that wait in lanes", self.service.depth)
        self.metrics.watch("disgw_keys_active", "Keys with something under way", self.service.active)
        self._watch_resilience()
        self.metrics.watch(
            "disgw_clock_offset_seconds",
            "How far the clock of DIS is ahead, where that was learned",
            lambda: client.clock_offset.total_seconds(),
        )
        self.metrics.watch("disgw_cache_entries", "Keys that something is known of", self.service.cached)
        self._server = GatewayServer(self.service, wiring.server_settings(config))
        self._readiness = Readiness()
        self._readiness.shut_out = lambda: self._resilience.breaker.shut_out
        self._readiness.circuits = self._resilience.breaker.states
        self._admin = _admin(config, self._readiness, self.metrics)

    @property
    def bound(self) -> tuple[Bound, ...]:
        """The gRPC addresses that are listened on."""
        return self._server.bound

    @property
    def admin_address(self) -> str:
        """``host:port`` of the admin HTTP server; empty where it is off."""
        return self._admin.address if self._admin else ""

    def start(self) -> None:
        """Listen and serve. Raises :class:`ListenError`."""
        if self._admin:
            self._admin.start()
        try:
            self._server.start()
        except ListenError:
            if self._admin:
                self._admin.stop()
            raise
        self._readiness.set(ready=True)

    def _watch_resilience(self) -> None:
        resilience = self._resilience
        for circuit in resilience.breaker.states():
            self.metrics.watch(
                "disgw_breaker_open",
                "1 while such calls are not sent to DIS",
                partial(_is_open, resilience.breaker, circuit),
                circuit=circuit,
            )
        resilience.on_retry = self.metrics.counter("disgw_upstream_retries", "Attempts of a call beyond its first")
        self.metrics.watch(
            "disgw_upstream_pace_calls_per_second",
            "Most calls that are sent to DIS each second, as it throttles or a limit is configured",
            lambda: resilience.pace.limit,
        )

    def stop(self, grace: float | None = None) -> None:
        """Stop taking calls, finish those under way (at most ``grace`` seconds), close what is open."""
        self._readiness.set(ready=False)
        self._server.stop(grace)
        if self._admin:
            self._admin.stop()
        self.service.close()
        for transport in self._transports:
            transport.close()

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(grace=5.0)


def serve(loaded: LoadedConfig, *, dev: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises :class:`gateway.errors.ConfigurationError`."""
    logs.configure(loaded.config.log.level, loaded.config.log.format)
    with ExitStack() as stack, stop_signal() as stopping:
        try:
            config = stack.enter_context(_emulated(loaded.config)) if dev else loaded.config
            require_serving(config)
            gateway = Gateway(config)
            gateway.start()
        except ListenError as error:
            log.error("start_failed", problem=str(error))
            return 1
        log.info(
            "serving",
            version=version(DISTRIBUTION),
            listen=[bound.address for bound in gateway.bound],
            admin=gateway.admin_address,
            upstream=config.upstream.endpoint,
        )
        if anybody := wiring.open_to_anybody(config):
            log.warning("anybody_may_call", listen=anybody, advice="set callers.file or server.tls_client_ca_file")
        stopping.wait()
        log.info("stopping", grace_seconds=config.server.grace_seconds)
        gateway.stop()
        log.info("stopped")
    return 0


@contextmanager
def _emulated(config: Config) -> Iterator[Config]:
    """The same configuration with an emulator of DIS as upstream, with a key pair of its own."""
    keys = CredentialsConfig(access_key=f"DEV{secrets.token_hex(8).upper()}", secret_key=secrets.token_urlsafe(30))
    if config.upstream.endpoint:
        log.warning("upstream_ignored", endpoint=config.upstream.endpoint, reason="--dev brings an emulator of its own")
    emulator = _started_emulator(keys)
    upstream = UpstreamConfig(
        endpoint=emulator.endpoint,
        project_id=DEV_PROJECT,
        region=DEV_REGION,
        signing=config.upstream.signing,
        pool_size=config.upstream.pool_size,
    )
    log.info("emulator_started", endpoint=emulator.endpoint, project_id=DEV_PROJECT)
    try:
        yield msgspec.structs.replace(config, upstream=upstream, credentials=keys)
    finally:
        emulator.stop()


def _started_emulator(keys: CredentialsConfig) -> Emulator:
    """On its usual port, where its control API is easy to find; on any other where that one is taken."""
    from gateway.emulator import Emulator  # costly to import, and not needed in a pod

    for port in (DEV_EMULATOR_PORT, 0):
        emulator = Emulator(access_key=keys.access_key, secret_key=keys.secret_key, port=port, auto_create=True)
        try:
            emulator.start()
        except OSError as error:
            emulator.stop()
            failure = ListenError(f"the emulator cannot listen on port {port}: {error.strerror or error}")
            continue
        return emulator
    raise failure


def _admin(config: Config, readiness: Readiness, metrics: Metrics) -> AdminServer | None:
    listen = config.server.admin_listen
    return AdminServer(listen, readiness, metrics.text) if listen else None


def _is_open(breaker: Breaker, circuit: str) -> float:
    return float(breaker.states()[circuit] is not State.CLOSED)
