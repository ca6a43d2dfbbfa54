"""A gateway as a process: from its configuration to its exit code, with an emulator of DIS beside it where wanted."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec
import structlog

from gateway import wiring
from gateway.app import FINISH_SECONDS, Gateway
from gateway.config import Config, CredentialsConfig, LoadedConfig, UpstreamConfig, require_serving
from gateway.errors import CredentialsUnavailable, ListenError
from gateway.reasons import ADVICE
from gateway.rpc.departure import Farewell
from gateway.signals import stop_signal
from gateway.telemetry import logs
from gateway.wiring import DISTRIBUTION

if TYPE_CHECKING:
    from gateway.emulator import Emulator

_HANGS_SECONDS = 0.5
_LISTEN_ADVICE = "see server.listen and server.admin_listen: take another address, or end what listens there"

DEV_EMULATOR_PORT = 9552
DEV_PROJECT = "0123456789abcdef0123456789abcdef"
DEV_REGION = "dev"

log = structlog.get_logger("gateway.app")


def serve(loaded: LoadedConfig, *, dev: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises :class:`gateway.errors.ConfigurationError`."""
    logs.configure(loaded.config.log.level, loaded.config.log.format)
    with ExitStack() as stack, stop_signal(_stopped_at_once) as stopping:
        try:
            config = stack.enter_context(_emulated(loaded.config)) if dev else loaded.config
            require_serving(config)
            gateway = Gateway(config, _origins(loaded, dev=dev), stopping.set)
            gateway.start(stopping.wait)
        except ListenError as error:
            log.error("start_failed", problem=str(error), do=_LISTEN_ADVICE)
            return 1
        except CredentialsUnavailable as error:
            if stopping.is_set():
                log.info("stopped", during="start")
                return 0
            log.error(
                "start_failed",
                problem=error.message,
                seconds=config.server.startup_seconds,
                do=ADVICE[error.reason].do,
            )
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
        return _end(gateway, config)


def _origins(loaded: LoadedConfig, *, dev: bool) -> dict[str, str]:
    """Where each value came from; with ``--dev`` those of the emulator, whatever else was set."""
    brought = ("upstream.", "credentials.") if dev else ()
    return {
        dotted: "flag --dev" if brought and dotted.startswith(brought) else origin
        for dotted, origin in loaded.origins.items()
    }


def _end(gateway: Gateway, config: Config) -> int:
    """Serve until clients have left, finish what was taken, and stop; gives the exit code."""
    grace = config.server.grace_seconds
    gateway.leave()
    log.info("draining", grace_seconds=grace, connections=gateway.connections)
    why = gateway.drain()
    if why is Farewell.GRACE_OVER and (connections := gateway.connections):
        log.warning(
            "clients_stay",
            connections=connections,
            do="let consumers close their channel when they end; what they send from now on is refused",
        )
    log.info("stopping", because=why.value, writes_waiting=gateway.service.depth())
    watchdog = threading.Timer(FINISH_SECONDS + _HANGS_SECONDS, _hangs)
    watchdog.daemon = True
    watchdog.start()
    ended = gateway.stop()
    watchdog.cancel()
    if not ended:
        _hangs()
    log.info("stopped")
    return 0


def _stopped_at_once() -> None:
    log.warning("stopped_at_once", because="asked a second time", advice="writes under way may be stored or not")


def _hangs() -> None:
    log.error(
        "stopped_at_once",
        because=f"not all was over {FINISH_SECONDS:g} s after the last call was taken",
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
