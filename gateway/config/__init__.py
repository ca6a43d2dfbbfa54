"""The configuration: one model, read once at start."""

from gateway.config.check import is_loopback, require_serving
from gateway.config.load import (
    CONFIG_VARIABLE,
    FLAGS,
    TARGET_VARIABLE,
    Described,
    LoadedConfig,
    describe,
    expected,
    flag_of,
    load,
)
from gateway.config.model import (
    CacheConfig,
    CommitsConfig,
    Config,
    CredentialsConfig,
    Key,
    LimitsConfig,
    LogConfig,
    LogFormat,
    LogLevel,
    ServerConfig,
    UpstreamConfig,
    keys,
)

__all__ = [
    "CONFIG_VARIABLE",
    "FLAGS",
    "TARGET_VARIABLE",
    "CacheConfig",
    "CommitsConfig",
    "Config",
    "CredentialsConfig",
    "Described",
    "Key",
    "LimitsConfig",
    "LoadedConfig",
    "LogConfig",
    "LogFormat",
    "LogLevel",
    "ServerConfig",
    "UpstreamConfig",
    "describe",
    "expected",
    "flag_of",
    "is_loopback",
    "keys",
    "load",
    "require_serving",
]
