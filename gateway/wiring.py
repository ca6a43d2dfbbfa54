"""What the parts need, made of the configuration: the only place that knows both."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from gateway.checkpoints.core import CoreSettings
from gateway.config import (
    CallersConfig,
    Config,
    CredentialsConfig,
    ServerConfig,
    SocketPolicy,
    UpstreamConfig,
    is_loopback,
)
from gateway.dis.breaker import Breaker, BreakerSettings
from gateway.dis.credentials import (
    AuthToken,
    CredentialsProvider,
    KeyPair,
    StaticCredentials,
    WatchedCredentials,
    read_credentials,
)
from gateway.dis.pace import Pace
from gateway.dis.renewal import RenewedCredentials
from gateway.dis.resilience import Resilience, RetrySettings
from gateway.dis.signer import DisEndpoint
from gateway.dis.signing import SigningScope
from gateway.dis.sources import MetadataSource, TokenSource
from gateway.dis.transport import RequestsTransport, TransportSettings
from gateway.rpc import callers_file, tls
from gateway.rpc.admission import CallersSettings
from gateway.rpc.limits import ConnectionLimits
from gateway.rpc.server import ServerSettings
from gateway.rpc.sockets import SocketAccess
from gateway.rpc.tls import TlsSettings

DISTRIBUTION = "dis-checkpoint-gateway"


def endpoint(upstream: UpstreamConfig) -> DisEndpoint:
    """Where DIS is, and how requests to it are signed."""
    return DisEndpoint(
        url=upstream.endpoint,
        project_id=upstream.project_id,
        scope=SigningScope(upstream.region, upstream.service),
        dialect=upstream.signing,
        user_agent=f"{DISTRIBUTION}/{version(DISTRIBUTION)}",
    )


def credentials_provider(
    credentials: CredentialsConfig, upstream: UpstreamConfig, opened: list[RequestsTransport]
) -> CredentialsProvider:
    """Where credentials come from. What it opens for that it adds to ``opened``."""
    if path := credentials.directory or credentials.file:
        return WatchedCredentials(Path(path), time.monotonic, directory=bool(credentials.directory))
    if credentials.metadata:
        opened.append(RequestsTransport(TransportSettings(connect_timeout=2.0, read_timeout=5.0, pool_size=1)))
        return RenewedCredentials(MetadataSource(opened[-1], credentials.metadata_endpoint), utc)
    if credentials.iam_endpoint:
        opened.append(RequestsTransport(transport_settings(upstream)))
        source = TokenSource(
            opened[-1],
            credentials.iam_endpoint,
            domain=credentials.iam_domain,
            user=credentials.iam_user,
            password=credentials.iam_password,
            project_id=upstream.project_id,
        )
        return RenewedCredentials(source, utc)
    if credentials.token:
        return StaticCredentials(AuthToken(credentials.token))
    return StaticCredentials(KeyPair(credentials.access_key, credentials.secret_key, credentials.security_token))


def utc() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


def transport_settings(upstream: UpstreamConfig) -> TransportSettings:
    """How HTTP is spoken with DIS."""
    return TransportSettings(
        connect_timeout=upstream.connect_timeout_seconds,
        read_timeout=upstream.read_timeout_seconds,
        pool_size=upstream.pool_size,
        max_answer=upstream.max_response_bytes,
        ca_file=upstream.ca_file,
        verify=not upstream.insecure_skip_verify,
        proxy=upstream.proxy,
    )


def resilience(
    config: Config,
    clock: Callable[[], float] = time.monotonic,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Resilience:
    """What becomes of calls when DIS fails."""
    breaker, retry = config.breaker, config.retry
    settings = BreakerSettings(
        failures=breaker.failures,
        failure_share=breaker.failure_share,
        open_seconds=breaker.open_seconds,
        rejected_seconds=breaker.rejected_seconds,
        blacklisted_seconds=breaker.blacklisted_seconds,
    )
    return Resilience(
        Breaker(settings, clock),
        Pace(clock, config.upstream.max_calls_per_second or math.inf),
        RetrySettings(retry.attempts, retry.base_seconds, retry.max_seconds, retry.budget_share),
        clock,
        uniform,
    )


def core_settings(config: Config) -> CoreSettings:
    """How the cache and the lanes behave."""
    return CoreSettings(
        ttl=config.cache.ttl_seconds,
        absent_ttl=config.cache.absent_ttl_seconds,
        stale_ttl=config.cache.stale_seconds,
        regress=config.commits.regress,
        max_queue=config.commits.max_queue,
        max_waiting=config.commits.max_waiting,
    )


def server_settings(config: Config) -> ServerSettings:
    """How gRPC is served."""
    server = config.server
    return ServerSettings(
        listen=[address.strip() for address in server.listen.split(",")],
        workers=server.workers,
        max_concurrent_calls=server.max_concurrent_calls,
        max_message=server.max_message_bytes,
        max_streams=server.max_streams,
        admin_service=server.admin_service,
        app_name_max=config.limits.app_name_max,
        reflection=server.reflection,
        sockets=SocketAccess(int(server.socket_mode, 8), server.socket_group),
        tls=_tls(server),
        callers=_callers(config.callers),
        connection=ConnectionLimits(server.max_connection_age_seconds, server.min_ping_seconds),
    )


def open_to_anybody(config: Config) -> list[str]:
    """The addresses that other machines reach, and on which nobody is asked who calls."""
    server = config.server
    if config.callers.file or server.tls_client_ca_file:
        return []
    addresses = [address.strip() for address in server.listen.split(",")]
    tcp = [address for address in addresses if not address.startswith("unix:")]
    return [address for address in tcp if not is_loopback(address.rpartition(":")[0].strip("[]"))]


def check_files(config: Config) -> None:
    """Read the files of credentials, certificates and callers as serving would. Raises ``ConfigurationError``."""
    credentials = config.credentials
    if path := credentials.directory or credentials.file:
        read_credentials(Path(path), directory=bool(credentials.directory))
    if settings := _tls(config.server):
        tls.check(settings)
    if callers := _callers(config.callers):
        callers_file.read_policy(callers.file, checks_unix=callers.check_unix)


def _tls(server: ServerConfig) -> TlsSettings | None:
    if not server.tls_cert_file:
        return None
    client_ca = Path(server.tls_client_ca_file) if server.tls_client_ca_file else None
    return TlsSettings(Path(server.tls_cert_file), Path(server.tls_key_file), client_ca)


def _callers(callers: CallersConfig) -> CallersSettings | None:
    return CallersSettings(Path(callers.file), callers.unix_socket is SocketPolicy.CHECK) if callers.file else None
