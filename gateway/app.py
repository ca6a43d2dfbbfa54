"""A whole gateway in one process: how its parts are put together, started and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from gateway import wiring
from gateway.checkpoints.service import CheckpointService
from gateway.config import (
    Config,
    LoadedConfig,
    LogLevel,
    TelemetryConfig,
    keys,
    tables,
)
from gateway.dis.breaker import Breaker, State
from gateway.dis.client import DisClient
from gateway.dis.transport import RequestsTransport
from gateway.errors import ConfigurationError, CredentialsUnavailable, ListenError
from gateway.rpc.departure import Departure, Farewell
from gateway.rpc.listeners import Bound
from gateway.rpc.server import GatewayServer
from gateway.telemetry.admin import AdminServer
from gateway.telemetry.attempts import Attempts
from gateway.telemetry.calls import Calls
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.pages import Sources
from gateway.telemetry.readiness import Readiness, Stage
from gateway.wiring import DISTRIBUTION

if TYPE_CHECKING:
    from gateway.telemetry.otlp import Otlp

FINISH_SECONDS = 4.0
"""So long calls have to finish when no more are taken. With the default grace of 25 s this is below a pod's 30 s."""
_DELIVER_SECONDS = 0.3
"""So long a collector has to take what there is at the end: it holds nothing up."""
QUIT_PATH = "/quitquitquit"
_LOOK_SECONDS = 0.05
_RETRY_SECONDS = 1.0

log = structlog.get_logger("gateway.app")


def _not_now(seconds: float) -> bool:
    """Does not wait: what is not there at start is an error."""
    return True


class Gateway:
    """A whole gateway in this process: ``start``, then ``stop``. Use it as a context manager in tests."""

    def __init__(
        self,
        config: Config,
        origins: Mapping[str, str] | None = None,
        quit_: Callable[[], None] = lambda: None,
    ) -> None:
        """``origins`` tell where each value of the configuration came from, for those who look at it.

        ``quit_`` is what ``POST /quitquitquit`` does, where that is configured.
        """
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
            self.metrics.count_hit,
            self.metrics.count_hits,
            self.metrics.listed,
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
            self._resilience.breaker.causes,
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
            {QUIT_PATH: partial(_quits, quit_)} if config.server.quit_endpoint else {},
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

    def leave(self) -> None:
        """Say that it is not ready, and serve on."""
        self.readiness.draining()
        self._server.leave()

    def drain(self) -> Farewell:
        """Serve on, though not ready, until clients have left or the grace period is over; gives which of them."""
        self.leave()
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

    def stop(self, seconds: float = FINISH_SECONDS) -> bool:
        """Stop taking calls, finish those under way within about ``seconds``, close what is open.

        Tells whether every write has come to its end; callers of one that has not were told that its fate is unknown.
        """
        until = time.monotonic() + seconds
        self.readiness.draining()
        self._server.stop(seconds)
        if self._admin:
            self._admin.stop()
        ended = self.service.close(max(0.0, until - time.monotonic()))
        for transport in self._transports:
            transport.close()
        if self._otlp:
            self._otlp.close(_DELIVER_SECONDS)
        return ended

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(5.0)


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


def _quits(quit_: Callable[[], None]) -> str:
    log.info("asked_to_quit", by=QUIT_PATH)
    quit_()
    return "stopping"


def _is_open(breaker: Breaker, circuit: str) -> float:
    return float(breaker.states()[circuit] is State.OPEN)
