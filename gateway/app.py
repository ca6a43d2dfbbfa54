"""A whole gateway in one process: how its parts are put together, started and stopped."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec
import structlog

from gateway import wiring
from gateway.checkpoints.service import CheckpointService
from gateway.config import (
    Config,
    CredentialsConfig,
    LoadedConfig,
    LogLevel,
    TelemetryConfig,
    UpstreamConfig,
    keys,
    require_serving,
    tables,
)
from gateway.dis.breaker import Breaker, State
from gateway.dis.client import DisClient
from gateway.dis.transport import RequestsTransport
from gateway.errors import ConfigurationError, CredentialsUnavailable, ListenError
from gateway.rpc.departure import Departure, Farewell
from gateway.rpc.listeners import Bound
from gateway.rpc.server import GatewayServer
from gateway.signals import stop_signal
from gateway.telemetry import logs
from gateway.telemetry.admin import AdminServer
from gateway.telemetry.attempts import Attempts
from gateway.telemetry.calls import Calls
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.pages import Sources
from gateway.telemetry.readiness import Readiness, Stage
from gateway.wiring import DISTRIBUTION

if TYPE_CHECKING:
    from gateway.emulator import Emulator
    from gateway.telemetry.otlp import Otlp

FINISH_SECONDS = 4.0
"""So long calls have to finish when no more are taken. With the default grace of 25 s this is below a pod's 30 s."""
_HANGS_SECONDS = 0.5
_LAST_SECONDS = 0.2
"""What is told to a collector at the end has what is left of that time, or so long."""
_LOOK_SECONDS = 0.05
_RETRY_SECONDS = 1.0

DEV_EMULATOR_PORT = 9552
DEV_PROJECT = "0123456789abcdef0123456789abcdef"
DEV_REGION = "dev"

log = structlog.get_logger("gateway.app")


def _not_now(seconds: float) -> bool:
    """Does not wait: what is not there at start is an error."""
    return True


class Gateway:
    """A whole gateway in this process: ``start``, then ``stop``. Use it as a context manager in tests."""

    def __init__(self, config: Config, origins: Mapping[str, str] | None = None) -> None:
        """``origins`` tell where each value of the configuration came from, for those who look at it."""
        self._transports = [RequestsTransport(wiring.transport_settings(config.upstream))]
        self._resilience = wiring.resilience(config)
        self._config = config
        self.metrics = Metrics(version(DISTRIBUTION))
        self._otlp = _otlp(config.telemetry, self.metrics)
        tracing = self._otlp.tracing if self._otlp else None
        self._credentials = wiring.credentials_provider(config.credentials, config.upstream, self._transports)
        client = DisClient(
            wiring.endpoint(config.upstream),
            self._credentials,
            self._transports[0],
            wiring.utc,
            self._resilience,
            observer=Attempts(self.metrics, tracing),
        )
        self.service = CheckpointService(
            client,
            wiring.core_settings(config),
            config.cache.max_entries,
            time.monotonic,
            config.upstream.pool_size,
            self.metrics.count,
            self.metrics.listed,
            self.metrics.served,
            self.metrics.wrote,
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
        self.metrics.watch_if_known(
            "disgw_credentials_expiry_timestamp_seconds",
            "When the credentials in use expire; not there if they do not",
            lambda: self._credentials.expires.timestamp() if self._credentials.expires else None,
        )
        self.readiness = Readiness(
            lambda: self._resilience.breaker.shut_out,
            self._resilience.breaker.states,
            follows_upstream=config.server.readiness_follows_upstream,
        )
        self.metrics.watch("disgw_ready", "1 while calls are wanted", lambda: float(self.readiness.ready))
        self.metrics.watch(
            "disgw_draining", "1 after it was asked to stop", lambda: float(self.readiness.stage is Stage.DRAINING)
        )
        calls = Calls(self.metrics, tracing, log_good=config.log.level is LogLevel.DEBUG)
        self._server = GatewayServer(
            self.service,
            wiring.server_settings(config),
            ready=lambda: self.readiness.ready,
            calls_of=calls,
        )
        self.metrics.watch("disgw_streams_open", "Open streams", self._server.open_streams)
        known_origins = origins or {key.dotted: "program" for key in keys()}
        self._began = time.monotonic()
        sources = Sources(
            self.readiness,
            self.metrics,
            self._facts,
            lambda: tables(LoadedConfig(config, known_origins)),
            self.service.cached_keys,
            self.service.lanes,
        )
        listen = config.server.admin_listen
        self._admin = AdminServer(listen, sources) if listen else None

    @property
    def bound(self) -> tuple[Bound, ...]:
        """The gRPC addresses that are listened on."""
        return self._server.bound

    @property
    def connections(self) -> int:
        """How many connections clients have."""
        return self._server.connections()

    @property
    def admin_address(self) -> str:
        """``host:port`` of the admin HTTP server; empty where it is off."""
        return self._admin.address if self._admin else ""

    def start(self, wait: Callable[[float], bool] = _not_now) -> None:
        """Listen and serve: first for probes, and for calls when there are credentials.

        ``wait`` passes some seconds, and says whether to give up; it is called where credentials are late. Raises
        :class:`ListenError`, or :class:`gateway.errors.CredentialsUnavailable`.
        """
        if self._admin:
            self._admin.start()
        try:
            self._await_credentials(wait)
            self._server.start()
        except (ListenError, CredentialsUnavailable):
            if self._admin:
                self._admin.stop()
            raise
        self.readiness.started()
        self._server.announce()

    def _await_credentials(self, wait: Callable[[float], bool]) -> None:
        until = time.monotonic() + self._config.server.startup_seconds
        while True:
            try:
                self._credentials.snapshot()
                return
            except CredentialsUnavailable as error:
                seconds = max(_RETRY_SECONDS, error.retry_after or 0.0)
                if time.monotonic() + seconds > until or wait(seconds):
                    raise

    def drain(self) -> Farewell:
        """Serve on, though not ready, until clients have left or the grace period is over; gives which of them."""
        self.readiness.draining()
        self._server.leave()
        server = self._config.server
        departure = Departure(server.grace_seconds, server.quiet_seconds, time.monotonic)
        while (why := departure.over(self._server.connections())) is None:
            time.sleep(_LOOK_SECONDS)
        return why

    def _facts(self) -> dict[str, str]:
        upstream = self._config.upstream
        return {
            "version": version(DISTRIBUTION),
            "up for": str(timedelta(seconds=int(time.monotonic() - self._began))),
            "listens on": ", ".join(bound.address for bound in self.bound),
            "connections": str(self.connections),
            "DIS": upstream.endpoint,
            "project": upstream.project_id,
            "region": upstream.region or "none",
        }

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

    def stop(self, seconds: float = FINISH_SECONDS) -> None:
        """Stop taking calls, finish those under way within about ``seconds``, close what is open."""
        began = time.monotonic()
        self.readiness.draining()
        self._server.stop(seconds)
        if self._admin:
            self._admin.stop()
        self.service.close()
        for transport in self._transports:
            transport.close()
        if self._otlp:
            self._otlp.close(max(_LAST_SECONDS, seconds - (time.monotonic() - began)))

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(5.0)


def serve(loaded: LoadedConfig, *, dev: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises :class:`gateway.errors.ConfigurationError`."""
    logs.configure(loaded.config.log.level, loaded.config.log.format)
    with ExitStack() as stack, stop_signal(_stopped_at_once) as stopping:
        try:
            config = stack.enter_context(_emulated(loaded.config)) if dev else loaded.config
            require_serving(config)
            gateway = Gateway(config, _origins(loaded, dev=dev))
            gateway.start(stopping.wait)
        except ListenError as error:
            log.error("start_failed", problem=str(error))
            return 1
        except CredentialsUnavailable as error:
            if stopping.is_set():
                log.info("stopped", during="start")
                return 0
            log.error("start_failed", problem=error.message, seconds=config.server.startup_seconds)
            return 4
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
        _end(gateway, config)
    return 0


def _origins(loaded: LoadedConfig, *, dev: bool) -> dict[str, str]:
    """Where each value came from; with ``--dev`` those of the emulator, whatever else was set."""
    brought = ("upstream.", "credentials.") if dev else ()
    return {
        dotted: "flag --dev" if brought and dotted.startswith(brought) else origin
        for dotted, origin in loaded.origins.items()
    }


def _end(gateway: Gateway, config: Config) -> None:
    """Serve until clients have left, finish what was taken, and stop; if that hangs, the process ends all the same."""
    grace = config.server.grace_seconds
    log.info("draining", grace_seconds=grace, connections=gateway.connections)
    why = gateway.drain()
    watchdog = threading.Timer(FINISH_SECONDS + _HANGS_SECONDS, _hangs)
    watchdog.daemon = True
    watchdog.start()
    log.info("stopping", because=why.value, writes_waiting=gateway.service.depth())
    gateway.stop()
    watchdog.cancel()
    log.info("stopped")


def _stopped_at_once() -> None:
    log.warning("stopped_at_once", because="asked a second time", advice="writes under way may be stored or not")


def _hangs() -> None:
    log.error(
        "stopped_at_once",
        because=f"DIS has not answered within {FINISH_SECONDS + _HANGS_SECONDS:g} s",
        advice="callers were told that the outcome of their writes is unknown; they commit again",
    )
    os._exit(1)


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


def _otlp(config: TelemetryConfig, metrics: Metrics) -> Otlp | None:
    if not config.otlp_endpoint:
        return None
    try:
        from gateway.telemetry.otlp import Otlp  # costly to import, and most gateways have no collector
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "telemetry.otlp_endpoint", f"needs `pip install '{DISTRIBUTION}[otel]'`: there is no {error.name}"
        ) from error
    return Otlp(
        config.otlp_endpoint,
        version(DISTRIBUTION),
        metrics.registry,
        traces=config.otlp_traces,
        metrics=config.otlp_metrics,
        ratio=config.sample_ratio,
    )


def _is_open(breaker: Breaker, circuit: str) -> float:
    return float(breaker.states()[circuit] is not State.CLOSED)
