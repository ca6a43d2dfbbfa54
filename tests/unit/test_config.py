"""The configuration: its sources and their order, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import certifi
import pytest

from gateway.config import Config, describe, keys, load, require_serving
from gateway.errors import ConfigurationError
from gateway.wiring import open_to_anybody

SECRETS = {
    "DISGW_CREDENTIALS__ACCESS_KEY": "AKEXAMPLE",
    "DISGW_CREDENTIALS__SECRET_KEY": "sk-that-nothing-may-show",
}
IAM = {
    "DISGW_CREDENTIALS__IAM_ENDPOINT": "https://iam.example.com",
    "DISGW_CREDENTIALS__IAM_DOMAIN": "domain",
    "DISGW_CREDENTIALS__IAM_USER": "user",
    "DISGW_CREDENTIALS__IAM_PASSWORD": "password-that-nothing-may-show",
}
TLS = {"DISGW_SERVER__TLS_CERT_FILE": "/tls/tls.crt", "DISGW_SERVER__TLS_KEY_FILE": "/tls/tls.key"}
SERVING = {
    **SECRETS,
    "DISGW_UPSTREAM__ENDPOINT": "https://dis.example.com",
    "DISGW_UPSTREAM__PROJECT_ID": "0" * 32,
    "DISGW_UPSTREAM__REGION": "eu-de",
}


def refused(environ: dict[str, str] | None = None, **sources: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(environ=environ, **sources)
    return caught.value


def toml(directory: Path, text: str) -> Path:
    file = directory / "gateway.toml"
    file.write_text(text)
    return file


def test_without_any_source_everything_has_its_default() -> None:
    loaded = load()
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}


def test_flags_go_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = toml(tmp_path, '[cache]\nttl_seconds = 1\nmax_entries = 11\n[upstream]\nregion = "from-file"\n')
    environ = {"DISGW_CACHE__TTL_SECONDS": "2.5", "DISGW_UPSTREAM__REGION": "from-environment"}
    loaded = load({"upstream.region": "from-flag", "log.level": None}, environ, file)
    assert (loaded.config.upstream.region, loaded.origins["upstream.region"]) == ("from-flag", "flag --region")
    assert loaded.config.cache.ttl_seconds == 2.5
    assert loaded.origins["cache.ttl_seconds"] == "environment DISGW_CACHE__TTL_SECONDS"
    assert loaded.config.cache.max_entries == 11
    assert loaded.origins["cache.max_entries"] == f"file {file}"
    assert loaded.origins["log.level"] == "default"


def test_every_key_can_be_set_from_the_environment_and_says_so() -> None:
    for key in keys():
        value = {str: "text", bool: "true", float: "0.5"}.get(key.type.__origin__, str(key.default))
        value = {
            "upstream.endpoint": "https://dis.example.com",
            "upstream.project_id": "a" * 32,
            "upstream.ca_file": certifi.where(),
            "credentials.metadata_endpoint": "http://127.0.0.1:1",
            "credentials.iam_endpoint": "https://iam.example.com",
            "upstream.proxy": "http://proxy.example.com:3128",
            "telemetry.otlp_endpoint": "http://127.0.0.1:4318",
            "server.listen": "127.0.0.1:1",
            "server.admin_listen": "127.0.0.1:2",
            "limits.app_name_max": "60",
            "server.socket_mode": "0600",
            "server.max_connection_age_seconds": "60.5",
            "callers.unix_socket": "check",
            "upstream.max_calls_per_second": "5.5",
            "breaker.rejected_seconds": "60.5",
            "breaker.blacklisted_seconds": "300.5",
        }.get(key.dotted, value)
        environ = {key.variable: value}
        if key.dotted in ("credentials.access_key", "credentials.secret_key", "credentials.security_token"):
            environ = {**SECRETS, key.variable: value}
        if key.name.startswith("iam_"):
            environ = {**IAM, key.variable: value}
        if key.name.startswith("tls_"):
            environ = {**TLS, key.variable: value}
        loaded = load(environ=environ)
        assert loaded.origins[key.dotted] == f"environment {key.variable}"
        assert str(getattr(getattr(loaded.config, key.section), key.name)).lower() == value


@pytest.mark.parametrize(
    ("environ", "key", "words"),
    [
        ({"DISGW_CACHE__TTL_SECONDS": "soon"}, "cache.ttl_seconds", "must be a number from 0 up to 86400, not 'soon'"),
        ({"DISGW_CACHE__TTL_SECONDS": "-1"}, "cache.ttl_seconds", "from 0"),
        ({"DISGW_CACHE__TTL_SECONDS": "nan"}, "cache.ttl_seconds", "a number"),
        ({"DISGW_CACHE__TTL_SECONDS": ""}, "cache.ttl_seconds", "a number"),
        ({"DISGW_CACHE__MAX_ENTRIES": "1.5"}, "cache.max_entries", "a whole number"),
        ({**IAM, "DISGW_CREDENTIALS__IAM_USER": ""}, "credentials.iam_user", "is missing"),
        ({"DISGW_CREDENTIALS__IAM_USER": "me"}, "credentials.iam_endpoint", "is missing"),
        ({**IAM, "DISGW_CREDENTIALS__IAM_ENDPOINT": "http://iam.example.com"}, "credentials.iam_endpoint", "https://"),
        ({**IAM, "DISGW_CREDENTIALS__IAM_ENDPOINT": "https://h/v3"}, "credentials.iam_endpoint", "adds the path"),
        ({"DISGW_CREDENTIALS__METADATA_ENDPOINT": "h"}, "credentials.metadata_endpoint", "URL"),
        ({**SECRETS, "DISGW_CREDENTIALS__METADATA": "true"}, "credentials.metadata", "keep one"),
        ({**IAM, "DISGW_CREDENTIALS__FILE": "/a/file"}, "credentials.iam_endpoint", "keep one"),
        ({"DISGW_UPSTREAM__INSECURE": "yes"}, "upstream.insecure", "true or false"),
        ({"DISGW_UPSTREAM__SIGNING": "v4"}, "upstream.signing", "one of scoped, access, derived"),
        ({"DISGW_UPSTREAM__PROJECT_ID": "xyz"}, "upstream.project_id", "32 hex digits"),
        ({"DISGW_UPSTREAM__REGION": "eu/de"}, "upstream.region", "letters"),
        ({"DISGW_UPSTREAM__SERVICE": ""}, "upstream.service", "empty"),
        ({"DISGW_UPSTREAM__ENDPOINT": "dis.example.com"}, "upstream.endpoint", "URL"),
        ({"DISGW_UPSTREAM__ENDPOINT": "ftp://dis.example.com"}, "upstream.endpoint", "URL"),
        ({"DISGW_UPSTREAM__ENDPOINT": "https://"}, "upstream.endpoint", "URL"),
        ({"DISGW_UPSTREAM__ENDPOINT": "https://h:99999"}, "upstream.endpoint", "URL"),
        ({"DISGW_UPSTREAM__ENDPOINT": "https://h h"}, "upstream.endpoint", "URL"),
        ({"DISGW_UPSTREAM__ENDPOINT": "https://h/v2"}, "upstream.endpoint", "adds the path"),
        ({"DISGW_UPSTREAM__ENDPOINT": "http://dis.example.com"}, "upstream.endpoint", "https://"),
        ({"DISGW_UPSTREAM__CA_FILE": "/no/such/file"}, "upstream.ca_file", "no file"),
        ({"DISGW_UPSTREAM__CA_FILE": __file__}, "upstream.ca_file", "no certificates"),
        (
            {"DISGW_TELEMETRY__OTLP_ENDPOINT": "http://user:pw@collector:4318"},
            "telemetry.otlp_endpoint",
            "must not hold",
        ),
        ({"DISGW_TELEMETRY__OTLP_ENDPOINT": "collector:4318"}, "telemetry.otlp_endpoint", "URL"),
        ({"DISGW_UPSTREAM__PROXY": "http://proxy:3128/?password=x"}, "upstream.proxy", "must end"),
        ({"DISGW_UPSTREAM__PROXY": "proxy:3128"}, "upstream.proxy", "URL"),
        ({"DISGW_SERVER__LISTEN": ""}, "server.listen", "host:port"),
        ({"DISGW_SERVER__LISTEN": "50551"}, "server.listen", "host:port"),
        ({"DISGW_SERVER__LISTEN": "127.0.0.1:70000"}, "server.listen", "65535"),
        ({"DISGW_SERVER__LISTEN": "::1:50551"}, "server.listen", "host:port"),
        ({"DISGW_SERVER__LISTEN": "127.0.0.1:1,127.0.0.1:1"}, "server.listen", "twice"),
        *(
            ({"DISGW_SERVER__LISTEN": f"127.0.0.1:1,{address}:50551"}, "server.listen", "server.insecure")
            for address in (
                "0.0.0.0",
                "[::]",
                "10.0.0.1",
                "gateway.example.com",
                "localhost.example.com",
                "localhost.",
                "127.1",
                "0x7f000001",
                "128.0.0.1",
                "[fe80::1]",
            )
        ),
        ({"DISGW_SERVER__LISTEN": "*:50551"}, "server.listen", "host:port"),
        ({"DISGW_SERVER__LISTEN": ":50551"}, "server.listen", "host:port"),
        ({"DISGW_SERVER__LISTEN": "ipv4:0.0.0.0:50551"}, "server.listen", "host:port"),
        ({"DISGW_SERVER__LISTEN": "dns:///0.0.0.0:50551"}, "server.listen", "host:port"),
        ({"DISGW_SERVER__LISTEN": "unix-abstract:50551"}, "server.listen", "server.insecure"),
        ({"DISGW_SERVER__LISTEN": "unix:///run/a%20b"}, "server.listen", "any of % ? #"),
        ({"DISGW_SERVER__SOCKET_MODE": "rw"}, "server.socket_mode", "octal"),
        ({"DISGW_SERVER__SOCKET_MODE": "0888"}, "server.socket_mode", "octal"),
        ({"DISGW_SERVER__SOCKET_MODE": "4755"}, "server.socket_mode", "octal"),
        ({"DISGW_SERVER__TLS_CERT_FILE": "/tls.crt"}, "server.tls_key_file", "is missing"),
        ({"DISGW_SERVER__TLS_KEY_FILE": "/tls.key"}, "server.tls_cert_file", "is missing"),
        ({"DISGW_SERVER__TLS_CLIENT_CA_FILE": "/ca.crt"}, "server.tls_cert_file", "is missing"),
        ({"DISGW_CALLERS__UNIX_SOCKET": "deny"}, "callers.unix_socket", "one of allow, check"),
        ({"DISGW_SERVER__LISTEN": "unix:///" + "d" * 107}, "server.listen", "100 bytes"),
        ({"DISGW_SERVER__LISTEN": "unix://"}, "server.listen", "name a file"),
        ({"DISGW_SERVER__ADMIN_LISTEN": "unix:///x"}, "server.admin_listen", "host:port"),
        ({"DISGW_LIMITS__APP_NAME_MAX": "201"}, "limits.app_name_max", "up to 200"),
        ({"DISGW_LOG__LEVEL": "loud"}, "log.level", "one of debug"),
        ({"DISGW_CREDENTIALS__ACCESS_KEY": "AK"}, "credentials.secret_key", "is missing"),
        ({"DISGW_CREDENTIALS__SECRET_KEY": "SK"}, "credentials.access_key", "is missing"),
        ({"DISGW_CREDENTIALS__SECURITY_TOKEN": "T"}, "credentials.access_key", "is missing"),
        ({**SECRETS, "DISGW_CREDENTIALS__TOKEN": "T"}, "credentials.token", "keep one"),
        ({**SECRETS, "DISGW_CREDENTIALS__DIRECTORY": "/run"}, "credentials.directory", "keep one"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_key(environ: dict[str, str], key: str, words: str) -> None:
    error = refused(environ)
    assert error.key == key
    assert words in error.problem


def test_the_source_of_a_wrong_value_is_named(tmp_path: Path) -> None:
    assert "environment DISGW_UPSTREAM__REGION" in str(refused({"DISGW_UPSTREAM__REGION": "eu/de"}))
    file = toml(tmp_path, "[cache]\nttl_seconds = '2'\n")
    assert str(file) in str(refused(file=file))


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[cache]\nttl = 2\n", "cache.ttl", "is not a key"),
        ("[cache]\nttl_second = 2\n", "cache.ttl_second", "did you mean cache.ttl_seconds?"),
        ("[cahce]\nttl_seconds = 2\n", "cahce", "did you mean cache?"),
        ("cache = 2\n", "cache", "table"),
        ("[cache]\nttl_seconds = 'x'\n", "cache.ttl_seconds", "a number"),
        ("[cache]\nttl_seconds = '2'\n", "cache.ttl_seconds", "a number"),  # a file has types
        ("[upstream]\ninsecure = 1\n", "upstream.insecure", "true or false"),
        ("[cache\n", "--config", "is not TOML"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path: Path, text: str, key: str, words: str) -> None:
    error = refused(file=toml(tmp_path, text))
    assert error.key == key
    assert words in error.problem


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in str(refused(file=tmp_path / "none.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in str(refused(file=tmp_path / "binary.toml"))


def test_an_unknown_variable_is_refused_with_the_nearest_one() -> None:
    assert "did you mean DISGW_CACHE__TTL_SECONDS?" in str(refused({"DISGW_CACHE__TTL_SECOND": "1"}))
    assert "did you mean DISGW_UPSTREAM__ENDPOINT?" in str(refused({"DISGW_UPSTREAM_ENDPOINT": "x"}))


@pytest.mark.parametrize(
    "variable",
    [
        "DISGW_SERVICE_HOST",
        "DISGW_SERVICE_PORT",
        "DISGW_SERVICE_PORT_GRPC",
        "DISGW_PORT",
        "DISGW_PORT_50551_TCP",
        "DISGW_PORT_50551_TCP_ADDR",
        "DISGW_ADMIN_SERVICE_HOST",
        "DISGW_CONFIG",
        "DISGW_TARGET",
        "PATH",
    ],
)
def test_variables_that_are_not_keys_but_known_are_let_pass(variable: str) -> None:
    assert load(environ={variable: "tcp://10.0.0.1:50551"}).config == Config()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9552", "http://[::1]:9552", "http://localhost", "https://h:1"])
def test_plain_http_is_taken_for_loopback_alone(endpoint: str) -> None:
    assert load(environ={"DISGW_UPSTREAM__ENDPOINT": endpoint}).config.upstream.endpoint == endpoint


def test_what_is_insecure_needs_a_word_that_says_so() -> None:
    environ = {"DISGW_UPSTREAM__ENDPOINT": "http://dis.example.com", "DISGW_UPSTREAM__INSECURE": "true"}
    assert load(environ=environ).config.upstream.insecure
    environ = {"DISGW_SERVER__LISTEN": "0.0.0.0:50551", "DISGW_SERVER__INSECURE": "true"}
    assert load(environ=environ).config.server.insecure
    assert load(environ={"DISGW_SERVER__LISTEN": "0.0.0.0:50551", **TLS}).config.server.tls_key_file == "/tls/tls.key"


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "[::1]:50551", "127.0.0.2:1", "localhost:1", "unix:///run/x", "unix:x,127.0.0.1:1"]
)
def test_loopback_and_unix_sockets_are_listened_on(listen: str) -> None:
    assert load(environ={"DISGW_SERVER__LISTEN": listen}).config.server.listen == listen


@pytest.mark.parametrize(
    ("more", "addresses"),
    [
        ({}, ["0.0.0.0:1", "[::]:2"]),
        ({"DISGW_CALLERS__FILE": "/callers.toml"}, []),
        ({"DISGW_SERVER__TLS_CLIENT_CA_FILE": "/ca.crt"}, []),
        ({"DISGW_SERVER__LISTEN": "[::1]:1,unix:///s"}, []),
    ],
)
def test_addresses_where_nobody_is_asked_who_calls_are_known(more: dict[str, str], addresses: list[str]) -> None:
    listen = {"DISGW_SERVER__LISTEN": "127.0.0.1:50551, 0.0.0.0:1, unix:///s, [::]:2"}
    assert open_to_anybody(load(environ={**TLS, **listen, **more}).config) == addresses


def test_an_empty_admin_address_turns_it_off() -> None:
    assert load(environ={"DISGW_SERVER__ADMIN_LISTEN": ""}).config.server.admin_listen == ""


@pytest.mark.parametrize(
    "secret", ["sk-that-nothing-may-show\n", " sk-that-nothing-may-show", "sk-that-nothing-may-show-é", "sk-that\x00no"]
)
@pytest.mark.parametrize("name", ["SECRET_KEY", "SECURITY_TOKEN", "TOKEN", "ACCESS_KEY"])
def test_a_secret_that_no_header_can_carry_is_refused_and_not_shown(name: str, secret: str) -> None:
    error = refused({f"DISGW_CREDENTIALS__{name}": secret})
    assert error.key == f"credentials.{name.lower()}"
    assert "sk-that" not in str(error)


def test_a_secret_of_a_wrong_type_is_not_shown(tmp_path: Path) -> None:
    error = refused(file=toml(tmp_path, "[credentials]\nsecret_key = 987654321\n"))
    assert error.key == "credentials.secret_key"
    assert "987654321" not in str(error)


def test_nothing_that_describes_a_configuration_shows_a_secret() -> None:
    environ = {**SERVING, "DISGW_UPSTREAM__PROXY": "http://user:proxy-password@proxy.example.com:3128"}
    environ["DISGW_CREDENTIALS__SECURITY_TOKEN"] = "security-token-text"
    loaded = load(environ=environ)
    shown = repr(loaded) + repr(loaded.config) + str(loaded.config.credentials) + repr(describe(loaded))
    for secret in (*SECRETS.values(), "proxy-password", "security-token-text"):
        assert secret not in shown
    assert "(hidden)" in shown
    assert "proxy.example.com:3128" in shown


@pytest.mark.parametrize(
    ("without", "key"),
    [
        ("DISGW_UPSTREAM__ENDPOINT", "upstream.endpoint"),
        ("DISGW_UPSTREAM__PROJECT_ID", "upstream.project_id"),
        ("DISGW_UPSTREAM__REGION", "upstream.region"),
    ],
)
def test_serving_needs_to_know_where_dis_is(without: str, key: str) -> None:
    require_serving(load(environ=SERVING).config)
    with pytest.raises(ConfigurationError) as caught:
        require_serving(load(environ={name: value for name, value in SERVING.items() if name != without}).config)
    assert caught.value.key == key
    assert f"set {without}" in str(caught.value)


def test_serving_needs_credentials() -> None:
    environ = {name: value for name, value in SERVING.items() if name not in SECRETS}
    with pytest.raises(ConfigurationError) as caught:
        require_serving(load(environ=environ).config)
    assert caught.value.key == "credentials.access_key"
    for name in ("TOKEN", "DIRECTORY"):
        require_serving(load(environ={**environ, f"DISGW_CREDENTIALS__{name}": "x"}).config)


@pytest.mark.parametrize("extra", [{"DISGW_UPSTREAM__SIGNING": "access"}, {"DISGW_CREDENTIALS__TOKEN": "t"}])
def test_a_region_is_needed_only_where_a_signature_holds_it(extra: dict[str, str]) -> None:
    environ = {name: value for name, value in SERVING.items() if name != "DISGW_UPSTREAM__REGION"}
    if "DISGW_CREDENTIALS__TOKEN" in extra:
        environ = {name: value for name, value in environ.items() if name not in SECRETS}
    require_serving(load(environ={**environ, **extra}).config)


def test_every_key_says_what_it_is_for_and_only_secrets_have_no_flag_on_principle() -> None:
    for key in keys():
        assert re.fullmatch(r"[A-Za-z`].{8,}", key.description), key.dotted
    assert [key.dotted for key in keys() if key.secret] == [
        "upstream.proxy",
        "credentials.access_key",
        "credentials.secret_key",
        "credentials.security_token",
        "credentials.token",
        "credentials.iam_password",
    ]
