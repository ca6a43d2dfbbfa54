"""The verbs towards a gateway with TLS and callers, the token verb, and that no secret is an argument."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gateway.cli.root import COMMANDS, root
from gateway.config import FLAGS, CallersConfig, Config, ServerConfig, keys
from gateway.emulator import Emulator
from gateway.rpc.callers import digest
from tests.certificates import Authority, replace
from tests.support import APP, STREAM, Running, config_for

TOKEN = "token-that-nothing-may-show"
KEY = ("--stream", STREAM, "--app", APP, "--partition", "0")


class Place:
    def __init__(self, gateway: Running, directory: Path, authority: Authority) -> None:
        host, _, self.port = gateway.gateway.bound[0].address.rpartition(":")
        self.target = f"{host}:{self.port}"
        self.socket = gateway.gateway.bound[1].address
        self.ca = str(replace(directory / "ca.crt", authority.cert))
        cert, key = authority.issue("client").write(directory / "client")
        self.own = ("--cert-file", str(cert), "--key-file", str(key))
        self.token_file = str(replace(directory / "token", f"{TOKEN}\n"))

    def run(self, *args: str, **env: str) -> Result:
        given = {"DISGW_TARGET": self.target, **env}
        return CliRunner().invoke(root, [*args], env=given, prog_name="dis-gateway")


@pytest.fixture
def place(emulator: Emulator, start: Callable[[Config], Running], tmp_path: Path) -> Place:
    authority = Authority()
    cert, key = authority.server().write(tmp_path)
    callers = f"""
        [[caller]]
        name = "a"
        token_sha256 = ["{digest(TOKEN.encode()).hex()}"]
        streams = ["*"]
        apps = ["*"]
        access = "read"
    """
    server = ServerConfig(
        listen=f"127.0.0.1:0,unix://{tmp_path}/s",
        admin_listen="",
        tls_cert_file=str(cert),
        tls_key_file=str(key),
        tls_client_ca_file=str(replace(tmp_path / "clients.crt", authority.cert)),
    )
    file = str(replace(tmp_path / "callers.toml", callers))
    return Place(start(config_for(emulator, server=server, callers=CallersConfig(file=file))), tmp_path, authority)


def test_a_verb_comes_in_by_certificate_and_token(place: Place) -> None:
    tls = ("--ca-file", place.ca, *place.own)
    assert place.run("get", *KEY, *tls, "--token-file", place.token_file).exit_code == 3  # there is no checkpoint
    assert place.run("get", *KEY, *tls, DISGW_CALLER_TOKEN=TOKEN).exit_code == 3
    assert place.run("get", *KEY, *tls, DISGW_CALLER_TOKEN_FILE=place.token_file).exit_code == 3
    assert place.run("health", *tls).stdout == "SERVING\n"
    refused = place.run("commit", *KEY, "--sequence-number", "1", *tls, DISGW_CALLER_TOKEN=TOKEN)
    assert refused.exit_code == 1
    assert "CALLER_NOT_ALLOWED, caller a, rpc CommitCheckpoint" in refused.stderr
    unknown = place.run("get", *KEY, *tls)
    assert (unknown.exit_code, "CALLER_UNKNOWN" in unknown.stderr) == (1, True)
    assert TOKEN not in refused.output + unknown.output


def test_without_what_the_gateway_asks_for_there_is_no_connection(place: Place) -> None:
    for args in (("--tls",), ("--ca-file", place.ca), ()):
        assert place.run("health", "--timeout", "2", *args).exit_code == 4


def test_the_name_of_the_certificate_can_be_told(place: Place) -> None:
    tls = ("--ca-file", place.ca, *place.own)
    assert place.run("health", *tls, "--server-name", "localhost").exit_code == 0
    assert place.run("health", *tls, "--server-name", "other.example.org", "--timeout", "2").exit_code == 4


def test_a_unix_socket_is_without_tls(place: Place) -> None:
    assert place.run("commit", *KEY, "--sequence-number", "1", "--target", place.socket).exit_code == 0
    assert place.run("health", "--target", place.socket, DISGW_CALLER_TOKEN=TOKEN).exit_code == 0


def test_what_does_not_go_together_is_wrong_usage(place: Place, tmp_path: Path) -> None:
    network = place.run("health", "--target", "gateway.example.org:50551", DISGW_CALLER_TOKEN=TOKEN)
    assert (network.exit_code, "use --tls" in network.stderr) == (2, True)
    assert place.run("health", *place.own[:2]).exit_code == 2
    assert place.run("health", "--ca-file", str(tmp_path / "none")).exit_code == 2
    odd = place.run("health", "--token-file", str(replace(tmp_path / "odd", "token-é-that-nothing-may-show")))
    assert odd.exit_code == 2
    assert "nothing-may-show" not in network.output + odd.output


def test_a_new_token_is_printed_alone_with_the_line_for_the_file_beside_it() -> None:
    made = CliRunner().invoke(root, ["token"])
    token = made.stdout.strip()
    assert re.fullmatch(r"dgw_[\w-]{43}", token)
    assert made.stderr == f'token_sha256 = ["{digest(token.encode()).hex()}"]\n'
    assert CliRunner().invoke(root, ["token"]).stdout != made.stdout
    again = CliRunner().invoke(root, ["token", "--stdin"], input=made.stdout)
    assert again.stdout == made.stderr
    as_json = CliRunner().invoke(root, ["token", "--stdin", "--output", "json"], input=made.stdout).stdout
    assert as_json == f'{{"token":"{token}","token_sha256":"{digest(token.encode()).hex()}"}}\n'
    assert CliRunner().invoke(root, ["token", "--stdin"], input="\n").exit_code == 2


SECRET_WORDS = {"token", "password", "secret", "key", "credential", "credentials", "passphrase"}
NO_SECRETS = {
    "--token-file": "a path",
    "--key-file": "a path",
    "--credentials-directory": "a path",
}


def test_no_option_takes_a_secret() -> None:
    context = click.Context(root)
    found = set()
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            for option in parameter.opts:
                if SECRET_WORDS & set(option.strip("-").split("-")):
                    found.add(option)
    assert found == set(NO_SECRETS)
    assert not [key.dotted for key in keys() if key.secret and key.dotted in FLAGS]


def test_config_check_reads_the_files_that_serve_would(tmp_path: Path) -> None:
    env = {
        "DISGW_UPSTREAM__ENDPOINT": "https://dis.example.com",
        "DISGW_UPSTREAM__PROJECT_ID": "0" * 32,
        "DISGW_CREDENTIALS__TOKEN": "t",
    }
    assert CliRunner().invoke(root, ["config", "--check"], env=env).exit_code == 0
    wrong = {**env, "DISGW_CALLERS__FILE": str(replace(tmp_path / "callers.toml", "[[caller]]\n"))}
    refused = CliRunner().invoke(root, ["config", "--check"], env=wrong)
    assert (refused.exit_code, "callers.file" in refused.stderr) == (2, True)
    tls = {"DISGW_SERVER__TLS_CERT_FILE": str(tmp_path / "none"), "DISGW_SERVER__TLS_KEY_FILE": str(tmp_path / "none")}
    refused = CliRunner().invoke(root, ["config", "--check"], env={**env, **tls})
    assert (refused.exit_code, "server.tls_cert_file" in refused.stderr) == (2, True)
