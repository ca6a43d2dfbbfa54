"""The one model of the configuration: every key with its type, its default and what it is for.

``docs/configuration.md`` is made from it. Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from gateway.checkpoints.core import RegressPolicy
from gateway.dis.signing import SigningDialect
from gateway.model import APP_NAME_MAX, APP_NAME_MAX_EVER

HIDDEN = "(hidden)"
SECRETS = frozenset({"access_key", "secret_key", "security_token", "token", "iam_password"})
"""Keys of ``[credentials]`` whose values are never shown."""


class SocketPolicy(StrEnum):
    """What becomes of callers on a unix socket where there is a file of callers."""

    ALLOW = "allow"
    CHECK = "check"


class LogLevel(StrEnum):
    """The least severe events that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """One JSON object a line, or text for people."""

    JSON = "json"
    TEXT = "text"


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration. Its ``repr`` shows no secret."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={self.shown(name)!r}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({fields})"

    def shown(self, name: str) -> Any:
        """The value of a field as people may see it."""
        return getattr(self, name)


class UpstreamConfig(Section, frozen=True, kw_only=True):
    """DIS, and the way to it."""

    endpoint: Annotated[str, Meta(description="URL of DIS, such as `https://dis.eu-de.otc.t-systems.com`")] = ""
    project_id: Annotated[str, Meta(description="project of the streams: 32 hex digits")] = ""
    region: Annotated[str, Meta(description="region in the signature, such as `eu-de`; `access` needs none")] = ""
    service: Annotated[str, Meta(description="service name in the signature")] = "dis"
    signing: Annotated[SigningDialect, Meta(description="dialect of the signature")] = SigningDialect.SCOPED
    ca_file: Annotated[str, Meta(description="PEM file of the CAs to trust instead of the public ones")] = ""
    proxy: Annotated[
        str, Meta(description="URL of an HTTP proxy; variables such as `HTTPS_PROXY` are not looked at")
    ] = ""
    insecure: Annotated[bool, Meta(description="accept an `http://` endpoint that is not loopback")] = False
    insecure_skip_verify: Annotated[bool, Meta(description="do not verify the certificate of DIS")] = False
    connect_timeout_seconds: Annotated[float, Meta(gt=0, le=600, description="longest wait for a connection")] = 3.0
    read_timeout_seconds: Annotated[float, Meta(gt=0, le=600, description="longest wait for an answer")] = 10.0
    pool_size: Annotated[int, Meta(ge=1, le=10_000, description="most connections to DIS at once")] = 64
    max_calls_per_second: Annotated[
        float, Meta(ge=0, le=1_000_000, description="most calls to DIS each second; 0 sets no limit")
    ] = 0.0
    max_response_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="an answer of DIS that is larger is refused")
    ] = 1 << 20

    def shown(self, name: str) -> Any:
        """A proxy's URL without its user and password."""
        value = getattr(self, name)
        return without_userinfo(value) if name == "proxy" else value


class CredentialsConfig(Section, frozen=True, kw_only=True):
    """Who the gateway is towards DIS, from one source.

    A key pair or a token; a directory or a file that holds one of them; the metadata service of the cloud server; or a
    user of the identity service (IAM), whose token is renewed. What can change is taken over without a restart.
    """

    access_key: Annotated[str, Meta(description="access key (AK)")] = ""
    secret_key: Annotated[str, Meta(description="secret key (SK)")] = ""
    security_token: Annotated[str, Meta(description="goes with a temporary key pair")] = ""
    token: Annotated[str, Meta(description="token of the identity service, sent as `X-Auth-Token`")] = ""
    directory: Annotated[
        str,
        Meta(
            description="mounted secret with the files `access_key`, `secret_key` and, for a temporary pair, "
            "`security_token`; or `token`"
        ),
    ] = ""
    file: Annotated[str, Meta(description="JSON file with members of these names")] = ""
    metadata: Annotated[
        bool, Meta(description="take the temporary keys of the server's agency from its metadata service")
    ] = False
    metadata_endpoint: Annotated[str, Meta(description="URL of the metadata service")] = "http://169.254.169.254"
    iam_endpoint: Annotated[
        str, Meta(description="URL of the identity service, such as `https://iam.eu-de.otc.t-systems.com`")
    ] = ""
    iam_domain: Annotated[str, Meta(description="domain (account) of the user")] = ""
    iam_user: Annotated[str, Meta(description="name of the user")] = ""
    iam_password: Annotated[str, Meta(description="password of the user")] = ""

    def shown(self, name: str) -> Any:
        """What is no secret."""
        value = getattr(self, name)
        return HIDDEN if name in SECRETS and value else value


class BreakerConfig(Section, frozen=True, kw_only=True):
    """When DIS is not asked for a while: it blacklists addresses whose calls fail too often."""

    failures: Annotated[int, Meta(ge=1, le=1_000_000, description="failures in a row that open it")] = 10
    failure_share: Annotated[
        float, Meta(gt=0, le=1, description="share of the last 50 calls that opens it by having failed")
    ] = 0.5
    open_seconds: Annotated[float, Meta(ge=0.1, le=3600, description="how long failures open it")] = 5.0
    rejected_seconds: Annotated[
        float, Meta(ge=20, le=86_400, description="how long rejected credentials open it, until one probe")
    ] = 60.0
    blacklisted_seconds: Annotated[
        float, Meta(ge=60, le=86_400, description="how long it stays open after DIS has blacklisted this address")
    ] = 300.0


class RetryConfig(Section, frozen=True, kw_only=True):
    """When a call that failed is sent to DIS again: a read, or a write that was certainly not applied."""

    attempts: Annotated[int, Meta(ge=1, le=20, description="attempts of one call, the first included")] = 4
    base_seconds: Annotated[
        float, Meta(ge=0.001, le=60, description="longest wait before the second attempt; doubled for each after it")
    ] = 0.1
    max_seconds: Annotated[float, Meta(ge=0.001, le=600, description="longest wait before any attempt")] = 2.0
    budget_share: Annotated[float, Meta(ge=0, le=1, description="retries are at most this share of calls")] = 0.2


class CacheConfig(Section, frozen=True, kw_only=True):
    """The read cache. A commit writes through it."""

    ttl_seconds: Annotated[
        float, Meta(ge=0, le=86_400, description="how long a checkpoint is served without asking DIS; 0 turns it off")
    ] = 2.0
    max_entries: Annotated[int, Meta(ge=1, le=100_000_000, description="most checkpoints that are kept")] = 100_000
    absent_ttl_seconds: Annotated[
        float, Meta(ge=0, le=1, description="how long `no checkpoint` is served without asking DIS; 0 turns it off")
    ] = 0.0
    stale_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="how old a checkpoint may be that is served while DIS cannot be asked, to callers that allow "
            "it; 0 turns it off",
        ),
    ] = 0.0


class CommitsConfig(Section, frozen=True, kw_only=True):
    """The lanes of commits: one write of a key is under way at a time, the rest waits and folds into the next.

    After a write for several callers the next one waits for them to come back, three quarters of the time of that
    write and at most 15 ms: so a write carries all who commit one after the other, and not half of them. What cannot
    be folded, or has no time, does not wait so; and where they do not come back, the next writes of a busy lane wait
    for nobody.
    """

    regress: Annotated[
        RegressPolicy,
        Meta(description="what becomes of a commit below the number that DIS has, without `allow_rewind`"),
    ] = RegressPolicy.REJECT
    max_queue: Annotated[
        int, Meta(ge=1, le=1_000_000, description="commits of one key that may wait, beyond which they are refused")
    ] = 1000
    max_waiting: Annotated[
        int, Meta(ge=1, le=10_000_000, description="commits that may wait in all lanes together")
    ] = 20_000


class ServerConfig(Section, frozen=True, kw_only=True):
    """Where and how the gateway serves."""

    listen: Annotated[str, Meta(description="gRPC addresses, separated by commas: `host:port` or `unix:///path`")] = (
        "127.0.0.1:50551"
    )
    admin_listen: Annotated[
        str,
        Meta(description="address of probes (`/healthz`, `/readyz`, `/startupz`) and `/metrics`; empty turns them off"),
    ] = "127.0.0.1:9551"
    insecure: Annotated[
        bool, Meta(description="serve gRPC without TLS on an address that is not loopback: anyone there may commit")
    ] = False
    socket_mode: Annotated[str, Meta(description="mode of unix sockets, octal: who may write may connect")] = "0660"
    socket_group: Annotated[str, Meta(description="group of unix sockets, by name or number; else the process's")] = ""
    tls_cert_file: Annotated[
        str, Meta(description="PEM file of the certificate and its chain: TCP is then by TLS (1.2 and later) alone")
    ] = ""
    tls_key_file: Annotated[str, Meta(description="PEM file of the certificate's key, without a password")] = ""
    tls_client_ca_file: Annotated[
        str, Meta(description="PEM file of CAs: each client on TCP must show a certificate of one of them (mTLS)")
    ] = ""
    reflection: Annotated[
        bool, Meta(description="serve gRPC reflection, which tells everybody what methods there are")
    ] = True
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="unary calls that may wait for DIS at once; what is cached is answered all the same",
        ),
    ] = 512
    max_concurrent_calls: Annotated[
        int, Meta(ge=1, le=1_000_000, description="calls under way, beyond which new ones are refused")
    ] = 1000
    max_streams: Annotated[
        int, Meta(ge=1, le=10_000, description="open streams (`StreamCommits`, `WatchCheckpoints`)")
    ] = 64
    admin_service: Annotated[
        bool, Meta(description="serve `CheckpointAdminService`, which deletes all checkpoints of an app")
    ] = False
    max_message_bytes: Annotated[int, Meta(ge=1024, le=1 << 29, description="a request that is larger is refused")] = (
        8 << 20  # a batch of 1,000 commits, each with all the metadata that it may have, is half of it
    )
    max_connection_age_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=31_536_000,
            description="age at which clients are asked to connect anew, without a call failing; 0 sets none",
        ),
    ] = 0.0
    min_ping_seconds: Annotated[
        float, Meta(ge=0.1, le=86_400, description="a client whose keepalive pings come faster is disconnected")
    ] = 10.0
    startup_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="longest wait for the first credentials at start, before it gives up")
    ] = 30.0
    grace_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="longest time that calls are still taken after SIGTERM; keep it 5 below the pod's, as what was "
            "taken is finished after it",
        ),
    ] = 25.0
    quiet_seconds: Annotated[
        float,
        Meta(ge=0, le=3600, description="after SIGTERM, calls are taken until no client was connected for so long"),
    ] = 1.0
    quit_endpoint: Annotated[
        bool,
        Meta(
            description="stop as after SIGTERM on `POST /quitquitquit` from loopback, for jobs whose platform "
            "ends no sidecar"
        ),
    ] = False
    readiness_follows_upstream: Annotated[
        bool, Meta(description="say `not ready` while DIS takes no calls; one trouble of DIS then takes all pods down")
    ] = False


class CallersConfig(Section, frozen=True, kw_only=True):
    """Who may call, and do what: see [security.md](security.md)."""

    file: Annotated[
        str, Meta(description="TOML file of the callers and their rights; without it everybody may do everything")
    ] = ""
    unix_socket: Annotated[
        SocketPolicy,
        Meta(description="whether callers on unix sockets may do everything, or are checked as others are"),
    ] = SocketPolicy.ALLOW


class LimitsConfig(Section, frozen=True, kw_only=True):
    """Limits on what callers send, where those of DIS are not clear."""

    app_name_max: Annotated[int, Meta(ge=1, le=APP_NAME_MAX_EVER, description="longest app name, in characters")] = (
        APP_NAME_MAX
    )


class LogConfig(Section, frozen=True, kw_only=True):
    """The log on standard error."""

    level: Annotated[LogLevel, Meta(description="least severe events that are logged")] = LogLevel.INFO
    format: Annotated[LogFormat, Meta(description="JSON lines, or text for people")] = LogFormat.JSON


class TelemetryConfig(Section, frozen=True, kw_only=True):
    """Traces and metrics by OpenTelemetry's OTLP over HTTP; off without an endpoint.

    Needs the extra `otel`, which the image has. `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`,
    `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_EXPORTER_OTLP_CERTIFICATE` are looked at as well.
    """

    otlp_endpoint: Annotated[
        str,
        Meta(
            description="URL of a collector, such as `http://127.0.0.1:4318`; `/v1/traces` and `/v1/metrics` are added"
        ),
    ] = ""
    otlp_traces: Annotated[bool, Meta(description="send traces there")] = True
    otlp_metrics: Annotated[bool, Meta(description="send metrics there, those of `/metrics`")] = True
    sample_ratio: Annotated[
        float,
        Meta(ge=0, le=1, description="share of calls that are traced; a caller that is in a trace decides for its own"),
    ] = 0.1


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be configured."""

    upstream: UpstreamConfig = UpstreamConfig()
    credentials: CredentialsConfig = CredentialsConfig()
    breaker: BreakerConfig = BreakerConfig()
    retry: RetryConfig = RetryConfig()
    cache: CacheConfig = CacheConfig()
    commits: CommitsConfig = CommitsConfig()
    server: ServerConfig = ServerConfig()
    callers: CallersConfig = CallersConfig()
    limits: LimitsConfig = LimitsConfig()
    log: LogConfig = LogConfig()
    telemetry: TelemetryConfig = TelemetryConfig()


class Key(msgspec.Struct, frozen=True):
    """One key of the configuration. ``type`` carries the bounds and the description."""

    section: str
    name: str
    type: Any

    @property
    def dotted(self) -> str:
        """Such as ``upstream.endpoint``."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """Such as ``DISGW_UPSTREAM__ENDPOINT``."""
        return f"DISGW_{self.section}__{self.name}".upper()

    @property
    def default(self) -> Any:
        """What it is where nobody sets it."""
        return getattr(getattr(Config(), self.section), self.name)

    @property
    def description(self) -> str:
        """What it is for, in Markdown."""
        return str(self.type.__metadata__[0].description)

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown as it is."""
        return (self.section == "credentials" and self.name in SECRETS) or self.dotted == "upstream.proxy"


def keys() -> Iterator[Key]:
    """Every key, in the order of the model."""
    for section, kind in get_type_hints(Config).items():
        for name, annotated in get_type_hints(kind, include_extras=True).items():
            yield Key(section, name, annotated)


def without_userinfo(url: str) -> str:
    """A URL without the user and password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
