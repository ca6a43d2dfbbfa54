"""What a configuration must satisfy beyond the types of its values."""

from __future__ import annotations

import ipaddress
import re
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from gateway.config.model import Config, CredentialsConfig, ServerConfig, UpstreamConfig
from gateway.dis.credentials import secret_problem
from gateway.dis.signing import SigningDialect
from gateway.errors import ConfigurationError

_PROJECT_ID = re.compile(r"[0-9a-fA-F]{32}")
_SCOPE_PART = re.compile(r"[A-Za-z0-9_.-]+")
_HOST = re.compile(r"[A-Za-z0-9_.:-]+")
UNIX_PATH_MAX = 100
"""Bytes in the path of a unix socket: 107 on Linux, less those that the place has in which it is bound."""
_MODE = re.compile(r"0?[0-7]{3}")


def check(config: Config) -> None:
    """Refuse values that cannot be meant. What is missing is not looked at, see :func:`require_serving`.

    Raises :class:`ConfigurationError`.
    """
    _check_upstream(config.upstream)
    _check_credentials(config.credentials)
    _check_server(config.server)
    if endpoint := config.telemetry.otlp_endpoint:
        key = "telemetry.otlp_endpoint"
        parts = _split_url(key, endpoint, "http://127.0.0.1:4318")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ConfigurationError(
                key, "must not hold a user, a query or a fragment; headers come from OTEL_* variables"
            )


def require_serving(config: Config) -> None:
    """Refuse a configuration that lacks what serving needs. Raises :class:`ConfigurationError`."""
    if not config.upstream.endpoint:
        raise ConfigurationError(
            "upstream.endpoint", "is missing: set DISGW_UPSTREAM__ENDPOINT (or try `dis-gateway serve --dev`)"
        )
    if not config.upstream.project_id:
        raise ConfigurationError("upstream.project_id", "is missing: set DISGW_UPSTREAM__PROJECT_ID")
    credentials = config.credentials
    if not _sources(credentials):
        raise ConfigurationError(
            "credentials.access_key",
            "is missing: set DISGW_CREDENTIALS__ACCESS_KEY and DISGW_CREDENTIALS__SECRET_KEY, or one of "
            "DISGW_CREDENTIALS__TOKEN, __DIRECTORY, __FILE, __METADATA, __IAM_ENDPOINT",
        )
    signs = not (credentials.token or credentials.iam_endpoint)
    if signs and config.upstream.signing is not SigningDialect.ACCESS and not config.upstream.region:
        raise ConfigurationError(
            "upstream.region",
            f"is missing: set DISGW_UPSTREAM__REGION, which a signature of dialect {config.upstream.signing} holds",
        )


def _check_upstream(upstream: UpstreamConfig) -> None:
    if upstream.endpoint:
        _check_endpoint(upstream)
    if upstream.project_id and not _PROJECT_ID.fullmatch(upstream.project_id):
        raise ConfigurationError("upstream.project_id", "must be 32 hex digits")
    for name, value in (("region", upstream.region), ("service", upstream.service)):
        if value and not _SCOPE_PART.fullmatch(value):
            raise ConfigurationError(f"upstream.{name}", "may hold only letters, digits and - _ .")
    if not upstream.service:
        raise ConfigurationError("upstream.service", "must not be empty")
    if upstream.ca_file:
        _check_ca_file(upstream.ca_file)
    if upstream.proxy:
        parts = _split_url("upstream.proxy", upstream.proxy, "http://proxy.example.com:3128")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigurationError("upstream.proxy", "must end after the host and port")


def _check_ca_file(file: str) -> None:
    if not Path(file).is_file():
        raise ConfigurationError("upstream.ca_file", f"there is no file {file}")
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        raise ConfigurationError("upstream.ca_file", f"{file} holds no certificates: {error}") from None


def _check_endpoint(upstream: UpstreamConfig) -> None:
    key = "upstream.endpoint"
    parts = _split_url(key, upstream.endpoint, "https://dis.eu-de.otc.t-systems.com")
    if "@" in parts.netloc:
        raise ConfigurationError(key, "must not hold a user or password")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(key, "must end after the host and port: the gateway adds the path")
    if parts.scheme == "http" and not upstream.insecure and not is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            key, "must be https://, as http:// shows checkpoints and tokens to the network; or set upstream.insecure"
        )


def _split_url(key: str, url: str, example: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        port_is_right = False
        parts = urlsplit("")
    if (
        parts.scheme not in ("http", "https")
        or not port_is_right
        or not _HOST.fullmatch(parts.hostname or "")
        or parts.netloc.endswith(":")
    ):
        raise ConfigurationError(key, f"must be a URL such as {example}")
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host, without brackets, can only be this machine."""
    try:
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _check_credentials(credentials: CredentialsConfig) -> None:
    for name in ("access_key", "secret_key", "security_token", "token"):
        problem = secret_problem(getattr(credentials, name))
        if problem:
            raise ConfigurationError(f"credentials.{name}", problem)
    if bool(credentials.access_key) != bool(credentials.secret_key):
        missing = "secret_key" if credentials.access_key else "access_key"
        raise ConfigurationError(
            f"credentials.{missing}", f"is missing: set DISGW_CREDENTIALS__{missing.upper()}; a key pair has both"
        )
    if credentials.security_token and not credentials.access_key:
        raise ConfigurationError(
            "credentials.access_key", "is missing: a security token goes with the key pair that it was given for"
        )
    sources = _sources(credentials)
    if len(sources) > 1:
        raise ConfigurationError(
            f"credentials.{sources[1]}", f"cannot be used together with credentials.{sources[0]}: keep one of them"
        )
    _check_plain_or_tls("credentials.metadata_endpoint", credentials.metadata_endpoint)
    _check_iam(credentials)


def _sources(credentials: CredentialsConfig) -> list[str]:
    names = ("access_key", "token", "directory", "file", "metadata", "iam_endpoint")
    return [name for name in names if getattr(credentials, name)]


def _check_iam(credentials: CredentialsConfig) -> None:
    names = ("iam_domain", "iam_user", "iam_password")
    if not credentials.iam_endpoint:
        for name in names:
            if getattr(credentials, name):
                raise ConfigurationError("credentials.iam_endpoint", f"is missing: credentials.{name} goes with it")
        return
    parts = _check_plain_or_tls("credentials.iam_endpoint", credentials.iam_endpoint)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigurationError("credentials.iam_endpoint", "must begin with https://, as a password goes there")
    for name in names:
        if not getattr(credentials, name):
            raise ConfigurationError(f"credentials.{name}", "is missing: a token is got by domain, user and password")


def _check_plain_or_tls(key: str, url: str) -> SplitResult:
    parts = _split_url(key, url, "https://iam.example.com")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(key, "must have a host and port alone: the gateway adds the path")
    return parts


def _check_server(server: ServerConfig) -> None:
    addresses = [address.strip() for address in server.listen.split(",")]
    for address in addresses:
        host = _check_address("server.listen", address)
        if host and not (server.tls_cert_file or server.insecure or is_loopback(host)):
            raise ConfigurationError(
                "server.listen",
                f"{address} is not loopback, and whoever reaches it may move checkpoints: set server.tls_cert_file, "
                "tls_key_file and tls_client_ca_file; or set server.insecure",
            )
    if len(set(addresses)) != len(addresses):
        raise ConfigurationError("server.listen", "names an address twice")
    if not _MODE.fullmatch(server.socket_mode):
        raise ConfigurationError("server.socket_mode", 'must be three octal digits, such as "0660"')
    _check_tls(server)
    if server.admin_listen:
        if server.admin_listen.startswith("unix:"):
            raise ConfigurationError("server.admin_listen", "must be host:port")
        _check_address("server.admin_listen", server.admin_listen)


def _check_tls(server: ServerConfig) -> None:
    if bool(server.tls_cert_file) != bool(server.tls_key_file):
        missing = "tls_key_file" if server.tls_cert_file else "tls_cert_file"
        raise ConfigurationError(f"server.{missing}", "is missing: a certificate and its key go together")
    if server.tls_client_ca_file and not server.tls_cert_file:
        raise ConfigurationError("server.tls_cert_file", "is missing: server.tls_client_ca_file goes with it")


def _check_address(key: str, address: str) -> str:
    """The host of an address, without brackets; empty for a unix socket."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        path = path[2:] if path.startswith("//") else path
        if not path or path.endswith("/"):
            raise ConfigurationError(key, f"{address!r} must name a file, such as unix:///run/dis/gateway.sock")
        if set(path) & set("%?#"):
            raise ConfigurationError(key, f"{address!r} must not hold any of % ? #, which gRPC reads as parts of a URI")
        if len(path.encode()) > UNIX_PATH_MAX:
            raise ConfigurationError(key, f"the path of a unix socket has at most {UNIX_PATH_MAX} bytes")
        return ""
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    brackets_are_right = (":" in bare) == (bare != host)
    if not brackets_are_right or not _HOST.fullmatch(bare) or not port.isascii() or not port.isdecimal():
        raise ConfigurationError(key, f"{address!r} must be host:port, such as 127.0.0.1:50551, or unix:///path")
    if int(port) > 65535:
        raise ConfigurationError(key, f"port {port} is above 65535")
    return bare
