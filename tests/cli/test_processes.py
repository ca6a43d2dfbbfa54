"""The command as a process: how it starts, what it logs, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.emulator import Emulator
from tests.certificates import Authority
from tests.support import ACCESS_KEY, APP, PROJECT, REGION, SECRET_KEY, STREAM, Client

KEY = ("--stream", STREAM, "--app", APP, "--partition", "0")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DISGW_", "GRPC_"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *args], env=environment(**env), capture_output=True, text=True, timeout=50
    )


class Process:
    """A command that goes on running; what it prints is read as it comes."""

    def __init__(self, *args: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", *args],
            env=environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def wait_for(self, words: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"{words!r} did not come: {self.lines}")

    def ended(self, number: signal.Signals) -> bool:
        """Whether it has; asks it to, else."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.poll() is not None

    def finish(self) -> int:
        assert self.process.stdout is not None
        self.lines += self.process.stdout.readlines()
        return self.process.wait(30)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.finish()


@pytest.fixture
def begin() -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def start(*args: str, **env: str) -> Process:
        running.append(Process(*args, **env))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def serving(emulator: Emulator, **more: str) -> dict[str, str]:
    return {
        "DISGW_UPSTREAM__ENDPOINT": emulator.endpoint,
        "DISGW_UPSTREAM__PROJECT_ID": PROJECT,
        "DISGW_UPSTREAM__REGION": REGION,
        "DISGW_CREDENTIALS__ACCESS_KEY": ACCESS_KEY,
        "DISGW_CREDENTIALS__SECRET_KEY": SECRET_KEY,
        "DISGW_SERVER__LISTEN": "127.0.0.1:0",
        "DISGW_SERVER__ADMIN_LISTEN": "127.0.0.1:0",
        **more,
    }


def address_in(line: str) -> str:
    return str(json.loads(line)["listen"][0])


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell what a thread did")
@pytest.mark.parametrize("chosen", [{}, {"GRPC_EXPERIMENTS": "event_engine_listener"}], ids=["by default", "otherwise"])
def test_calls_are_not_handed_over_by_threads_of_their_own_unless_that_is_wanted(
    begin: Callable[..., Process], emulator: Emulator, chosen: dict[str, str]
) -> None:
    gateway = begin("serve", **serving(emulator, **chosen))
    client = Client(address_in(gateway.wait_for('"serving"')))
    client.commit(1)
    before, calls = woken(gateway.process.pid, "event_engine"), 1000
    for _ in range(calls):
        client.get()
    assert (woken(gateway.process.pid, "event_engine") - before > calls) is bool(chosen)


def woken(process: int, threads: str) -> int:
    """How often the threads of a name, of all that a process has, have gone to sleep."""
    count = 0
    for folder in Path(f"/proc/{process}/task").iterdir():
        try:
            name, status = (folder / "comm").read_text().strip(), (folder / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        if name == threads:
            found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)
            assert found is not None
            count += int(found[1])
    return count


def test_serve_dev_needs_nothing_else_and_other_processes_commit_and_read(
    begin: Callable[..., Process], tmp_path: Path
) -> None:
    target = f"unix://{tmp_path}/gateway.sock"
    gateway = begin("serve", "--dev", "--listen", target, "--admin-listen", "")
    gateway.wait_for("serving")
    done = run("commit", *KEY, "--sequence-number", "41", "--target", target)
    assert (done.returncode, done.stdout) == (0, f"committed {STREAM}/{APP}/shardId-0000000000 41\n")
    found = run("get", *KEY, "--target", target)
    assert (found.returncode, found.stdout) == (0, f"{STREAM}/{APP}/shardId-0000000000 41\n")
    assert run("delete", *KEY, "--target", target).returncode == 0
    assert run("get", *KEY, "--target", target).returncode == 3
    assert run("health", "--target", target).returncode == 0
    assert gateway.stop() == 0
    for line in gateway.lines:
        assert json.loads(line)["event"]  # every line of the log is JSON
    assert run("health", "--target", target).returncode == 4


def test_sigterm_finishes_a_commit_that_was_taken(emulator: Emulator, begin: Callable[..., Process]) -> None:
    gateway = begin("serve", **serving(emulator))
    client = Client(address_in(gateway.wait_for("serving")))
    emulator.inject("hold", method="POST")
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(client.commit, 41)
        emulator.wait_for_held(1)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.wait_for("draining")
        emulator.release()
        assert pending.result(30).result == pb.COMMIT_RESULT_COMMITTED
    client.channel.close()
    assert gateway.finish() == 0
    assert emulator.checkpoint(STREAM, APP, 0) == ("41", "")


def test_interrupted_by_a_person_it_ends_well_too(emulator: Emulator, begin: Callable[..., Process]) -> None:
    gateway = begin("serve", "--log-format", "text", **serving(emulator))
    gateway.wait_for("serving")
    gateway.process.send_signal(signal.SIGINT)
    assert gateway.finish() == 0
    assert not any("Traceback" in line for line in gateway.lines)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "upstream.endpoint: is missing: set DISGW_UPSTREAM__ENDPOINT"),
        ({"DISGW_CACHE__TTL": "2"}, "did you mean DISGW_CACHE__TTL_SECONDS?"),
        ({"DISGW_CACHE__TTL_SECONDS": "soon"}, "cache.ttl_seconds: must be a number"),
        (
            {"DISGW_UPSTREAM__ENDPOINT": "https://dis.example.com", "DISGW_UPSTREAM__PROJECT_ID": PROJECT},
            "credentials.access_key: is missing",
        ),
        ({"DISGW_CREDENTIALS__SECRET_KEY": "hidden-text\n"}, "credentials.secret_key: begins or ends with white space"),
        ({"DISGW_CONFIG": "/no/such/file.toml"}, "/no/such/file.toml cannot be read"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line_and_exit_code_2(env: dict[str, str], words: str) -> None:
    refused = run("serve", **env)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert words in refused.stderr
    assert "hidden-text" not in refused.stderr


def test_a_mounted_secret_that_lacks_a_file_is_exit_code_2(emulator: Emulator, tmp_path: Path) -> None:
    env = serving(emulator, DISGW_CREDENTIALS__DIRECTORY=str(tmp_path))
    del env["DISGW_CREDENTIALS__ACCESS_KEY"], env["DISGW_CREDENTIALS__SECRET_KEY"]
    refused = run("serve", **env)
    assert refused.returncode == 2
    assert f"credentials.directory: {tmp_path}/access_key cannot be read" in refused.stderr


def test_callers_or_certificates_that_cannot_be_used_are_exit_code_2(emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "callers.toml"
    file.write_text("[[caller]]\nname = 'billing'\nacess = 'read'\nstreams = ['*']\napps = ['*']\n")
    refused = run("serve", **serving(emulator, DISGW_CALLERS__FILE=str(file)))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"callers.file: {file}: Object contains unknown field `acess`" in refused.stderr
    none = str(tmp_path / "none.pem")
    tls = {"DISGW_SERVER__TLS_CERT_FILE": none, "DISGW_SERVER__TLS_KEY_FILE": none}
    refused = run("serve", **serving(emulator, **tls))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"server.tls_cert_file: {none} cannot be read" in refused.stderr


def test_a_handshake_that_fails_leaves_the_log_in_json(
    emulator: Emulator, begin: Callable[..., Process], tmp_path: Path
) -> None:
    cert, key = Authority().server().write(tmp_path)
    tls = {"DISGW_SERVER__TLS_CERT_FILE": str(cert), "DISGW_SERVER__TLS_KEY_FILE": str(key)}
    gateway = begin("serve", **serving(emulator, **tls))
    host, _, port = address_in(gateway.wait_for("serving")).rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as broken:
        broken.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while broken.recv(100):
            pass
    assert gateway.stop() == 0
    for line in gateway.lines:
        assert json.loads(line)["event"]


@pytest.mark.parametrize("variable", ["DISGW_SERVER__LISTEN", "DISGW_SERVER__ADMIN_LISTEN"])
def test_a_port_in_use_is_said_and_exit_code_1(emulator: Emulator, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        failed = run("serve", **serving(emulator, **{variable: address}))
    assert failed.returncode == 1
    problem = json.loads(failed.stderr.splitlines()[-1])["problem"]
    assert problem == f"cannot listen on {address}: address already in use"


def test_the_emulator_says_how_to_use_it_and_a_gateway_does(begin: Callable[..., Process], tmp_path: Path) -> None:
    emulator = begin("emulator", "--port", "0", "--auto-create", "--db", str(tmp_path / "dis.db"))
    emulator.wait_for("SECRET_KEY")
    exported = dict(re.findall(r"^export (\w+)=(\S+)$", "".join(emulator.lines), re.M))
    env = {**exported, "DISGW_UPSTREAM__PROJECT_ID": PROJECT, "DISGW_UPSTREAM__REGION": REGION}
    gateway = begin("serve", "--listen", "127.0.0.1:0", "--admin-listen", "", **env)
    client = Client(address_in(gateway.wait_for("serving")))
    client.commit(41)
    client.channel.close()
    assert (gateway.stop(), emulator.stop()) == (0, 0)
    assert exported["DISGW_CREDENTIALS__SECRET_KEY"] not in "".join(gateway.lines)


def test_the_emulator_takes_the_keys_that_are_set_and_does_not_print_them(begin: Callable[..., Process]) -> None:
    keys = {"DISGW_CREDENTIALS__ACCESS_KEY": ACCESS_KEY, "DISGW_CREDENTIALS__SECRET_KEY": SECRET_KEY}
    emulator = begin("emulator", "--port", "0", **keys)
    emulator.wait_for("ENDPOINT")
    assert emulator.stop() == 0
    assert SECRET_KEY not in "".join(emulator.lines)


def test_the_emulator_says_why_it_cannot_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        failed = run("emulator", "--port", str(taken.getsockname()[1]))
    assert failed.returncode == 1
    assert "address already in use" in failed.stderr.lower()
    failed = run("emulator", "--port", "0", "--db", str(tmp_path / "no" / "dis.db"))
    assert failed.returncode == 1
    assert "cannot be used" in failed.stderr
    assert run("emulator", DISGW_CREDENTIALS__ACCESS_KEY="only").returncode == 2


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_secret_reaches_a_log_or_an_error(
    emulator: Emulator, begin: Callable[..., Process], style: str, tmp_path: Path
) -> None:
    secrets = ("the-wrong-secret-key", "the-security-token", "the-password-of-the-proxy")
    wrong = serving(
        emulator,
        DISGW_CREDENTIALS__SECRET_KEY=secrets[0],
        DISGW_CREDENTIALS__SECURITY_TOKEN=secrets[1],
        DISGW_LOG__LEVEL="debug",
        DISGW_LOG__FORMAT=style,
        DISGW_SERVER__LISTEN=f"unix://{tmp_path}/gateway.sock",
    )
    gateway = begin("serve", **wrong)
    gateway.wait_for("serving")
    client = Client(f"unix://{tmp_path}/gateway.sock")
    emulator.inject("body", status=400, body=json.dumps({"errorCode": "DIS.4200", "message": f"you sent {secrets[1]}"}))
    said = [client.failure(client.commit, 41), client.failure(client.get), client.failure(client.delete)]
    client.channel.close()
    assert gateway.stop() == 0
    shown: Any = "".join(gateway.lines) + "".join(str(one.status) for one in said)
    proxied = {**wrong, "DISGW_UPSTREAM__PROXY": f"http://user:{secrets[2]}@127.0.0.1:1"}
    gateway = begin("serve", **proxied)
    gateway.wait_for("serving")
    client = Client(f"unix://{tmp_path}/gateway.sock")
    shown += str(client.failure(client.get).status)
    client.channel.close()
    gateway.stop()
    shown += "".join(gateway.lines) + run("config", **proxied).stdout
    for secret in secrets:
        assert secret not in shown
