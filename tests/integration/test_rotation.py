"""Everything that expires is replaced under load, in the order that an operator would: no call fails."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import CacheConfig, CallersConfig, Config, CredentialsConfig, RetryConfig, ServerConfig
from gateway.emulator import Emulator
from gateway.rpc.callers import digest
from tests.certificates import Authority, replace
from tests.support import ACCESS_KEY, APP, SECRET_KEY, STREAM, Call, Client, Running, config_for, key, wait_until

Start = Callable[[Config], Running]

CALLERS = 3
"""One for each partition."""
CALLS = 20_000
"""Of each caller at most: they end when everything was replaced."""
NEW_CONNECTION_EVERY = 25


class Load:
    """Callers that commit, read it back and now and then connect anew; they keep what failed."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials, token: str) -> None:
        self.token = token
        self.over = threading.Event()
        self.done = [0] * CALLERS
        self.failures: list[str] = []
        self._address = address
        self._credentials = credentials

    def run(self, partition: int) -> None:
        client = self._client()
        for number in range(CALLS):
            if self.over.is_set():
                break
            if number % NEW_CONNECTION_EVERY == 0:
                client.channel.close()
                client = self._client()
            try:
                self._call(client, partition, number)
            except grpc.RpcError as error:
                self.failures.append(str(Call.of(error)))
            self.done[partition] += 1
        client.channel.close()

    def _call(self, client: Client, partition: int, number: int) -> None:
        of = {"metadata": [("authorization", f"Bearer {self.token}")], "timeout": 20, "wait_for_ready": True}
        place = key(str(partition))
        client.stub.CommitCheckpoint(pb.CommitCheckpointRequest(key=place, sequence_number=str(number)), **of)
        read = client.stub.GetCheckpoint(pb.GetCheckpointRequest(key=place, read_mode=pb.READ_MODE_FRESH), **of)
        assert read.checkpoint.sequence_number == str(number)

    def _client(self) -> Client:
        return Client(self._address, self._credentials)

    def goes_on(self) -> None:
        """Wait until each caller has connected anew and called since."""
        until = [done + 2 * NEW_CONNECTION_EVERY for done in self.done]
        wait_until(lambda: all(done >= least for done, least in zip(self.done, until, strict=True)))


def callers(*tokens: str) -> str:
    digests = ", ".join(f'"{digest(token.encode()).hex()}"' for token in tokens)
    return f'[[caller]]\nname = "a"\ntoken_sha256 = [{digests}]\nstreams = ["*"]\napps = ["*"]\naccess = "write"\n'


def keys(directory: Path, access: str, secret: str) -> None:
    replace(directory / "keys.json", f'{{"access_key": "{access}", "secret_key": "{secret}"}}')


def shown(address: str, authority: Authority) -> int:
    """The serial number of the certificate that a new connection is shown."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cadata=authority.cert.decode())
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        certificate = connection.getpeercert()
    assert certificate is not None
    return int(str(certificate["serialNumber"]), 16)


@pytest.mark.timeout(120)
def test_certificate_tokens_and_credentials_are_replaced_under_load_without_a_failed_call(
    emulator: Emulator, start: Start, tmp_path: Path
) -> None:
    authority = Authority()
    cert, private = authority.server().write(tmp_path)
    file = replace(tmp_path / "callers.toml", callers("old"))
    keys(tmp_path, ACCESS_KEY, SECRET_KEY)
    gateway = start(
        config_for(
            emulator,
            credentials=CredentialsConfig(file=str(tmp_path / "keys.json")),
            cache=CacheConfig(ttl_seconds=0.0),
            retry=RetryConfig(),
            server=ServerConfig(
                listen="127.0.0.1:0", admin_listen="", tls_cert_file=str(cert), tls_key_file=str(private)
            ),
            callers=CallersConfig(file=str(file)),
        )
    ).gateway
    address = gateway.bound[0].address
    load = Load(address, grpc.ssl_channel_credentials(authority.cert), "old")
    probe = Client(address, grpc.ssl_channel_credentials(authority.cert))
    with ThreadPoolExecutor(CALLERS) as pool:
        working = [pool.submit(load.run, partition) for partition in range(CALLERS)]
        try:
            load.goes_on()

            second = authority.server()
            second.write(tmp_path)
            wait_until(lambda: shown(address, authority) == second.serial)
            load.goes_on()

            replace(file, callers("old", "new"))
            wait_until(lambda: known(probe, "new"))
            load.token = "new"
            load.goes_on()
            replace(file, callers("new"))
            wait_until(lambda: not known(probe, "old"))
            load.goes_on()

            keys(tmp_path, "SECONDKEY", "second-secret")
            emulator.replace_keys("SECONDKEY", "second-secret")
            load.goes_on()
        finally:
            load.over.set()
        for work in working:
            work.result(60)
    probe.channel.close()
    assert load.failures == []
    stored = [emulator.checkpoint(STREAM, APP, partition) for partition in range(CALLERS)]
    assert stored == [(str(done - 1), "") for done in load.done]
    assert emulator.requests()[-1].authorization.count("SECONDKEY") == 1


def known(probe: Client, token: str) -> bool:
    try:
        probe.stub.GetCheckpoint(
            pb.GetCheckpointRequest(key=key()), metadata=[("authorization", f"Bearer {token}")], timeout=20
        )
    except grpc.RpcError as error:
        return Call.of(error).reason != "CALLER_UNKNOWN"
    return True
