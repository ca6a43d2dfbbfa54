"""How often the published SDKs send a call that fails: what ``bench/sim/sdks.py`` says of them, and docs/resilience.md.

The SDKs are the installed ones, over real HTTP; only their sleep is not waited for.
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable
from typing import Any, cast

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkdis.v2 import CommitCheckpointReq, CommitCheckpointRequest, DisClient, ShowCheckpointRequest

from bench.sim.clock import Clock
from bench.sim.dis import Dis, Outcome
from bench.sim.sdks import DisSdkPython, HuaweicloudSdkDis
from tests.rawserver import RawServer
from tests.support import ACCESS_KEY, PROJECT, REGION, SECRET_KEY

KEY = {"stream_name": "s", "app_name": "a", "partition_id": "0", "checkpoint_type": "LAST_READ"}
STATUS = {Outcome.THROTTLED: b"400 Bad Request", Outcome.REJECTED: b"441 ", Outcome.BROKEN: b"500 Error"}
Course = tuple[int, list[float]]
"""How often a call was sent, and the sleeps between."""


class Scripted:
    """A DIS of the simulation that does the same each time, and a clock that does not wait."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.asked = 0
        self.slept: list[float] = []

    def ask(self, *, timeout: float, trusted: bool) -> Outcome:
        self.asked += 1
        return self.outcome

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def modelled(model: type[DisSdkPython | HuaweicloudSdkDis], outcome: Outcome, method: str) -> Course:
    scripted = Scripted(outcome)
    sdk = model(cast(Clock, scripted), cast(Dis, scripted), lambda: True)
    call = sdk.commit if method == "POST" else sdk.read
    assert not call("0", 1, 0.0)
    return scripted.asked, scripted.slept


def answering(outcome: Outcome) -> RawServer:
    """A server whose every call ends so; it never answers where the call is to time out."""

    def handle(connection: socket.socket) -> None:
        if outcome is Outcome.TIMED_OUT:
            return
        connection.sendall(b"HTTP/1.1 " + STATUS[outcome] + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)

    return RawServer(handle)


def course(outcome: Outcome, slept: list[float], call: Callable[[str], object]) -> Course:
    """What a call of an SDK comes to."""
    server = answering(outcome)
    try:
        with pytest.raises(Exception):  # noqa: B017, PT011 - each SDK has its own, and some have none
            call(f"http://127.0.0.1:{server.port}")
        return len(server.requests), slept
    finally:
        server.stop()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    times: list[float] = []
    monkeypatch.setattr("time.sleep", times.append)
    return times


@pytest.fixture(scope="module")
def older() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        from dis_sdk_python.com.huaweicloud.dis.sdk.python.client import disclient
        from dis_sdk_python.com.huaweicloud.dis.sdk.python.models import disauth
    from urllib.parse import quote

    disauth.quote = quote  # which it never imports on Python 3.10 and later
    return disclient.disclient


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("outcome", [Outcome.THROTTLED, Outcome.REJECTED, Outcome.BROKEN, Outcome.TIMED_OUT])
def test_the_older_sdk_does_as_the_simulation_says(
    older: Any, slept: list[float], monkeypatch: pytest.MonkeyPatch, outcome: Outcome, method: str
) -> None:
    assert older.TIME_OUT == DisSdkPython.READ_TIMEOUT
    if outcome is Outcome.TIMED_OUT:
        monkeypatch.setattr(older, "TIME_OUT", 0.05)

    def call(endpoint: str) -> None:
        sdk = older(endpoint, ACCESS_KEY, SECRET_KEY, PROJECT, REGION)
        sdk.commitCheckpoint("s", "a", "0", "1") if method == "POST" else sdk.getCheckpoint("s", "a", "0")

    expected = modelled(DisSdkPython, outcome, method)
    assert course(outcome, slept, call) == expected
    assert expected[0] == (11 if outcome is Outcome.BROKEN or (outcome, method) == (Outcome.TIMED_OUT, "GET") else 1)


def test_the_older_sdk_does_not_try_a_refused_connection_again(older: Any, slept: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    sdk = older(f"http://127.0.0.1:{port}", ACCESS_KEY, SECRET_KEY, PROJECT, REGION)
    with pytest.raises(Exception, match="refused"):
        sdk.getCheckpoint("s", "a", "0")
    assert slept == []
    assert modelled(DisSdkPython, Outcome.REFUSED, "GET") == (1, [])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("outcome", [Outcome.THROTTLED, Outcome.REJECTED, Outcome.BROKEN, Outcome.TIMED_OUT])
def test_the_newer_sdk_as_it_comes_sends_a_call_once(slept: list[float], outcome: Outcome, method: str) -> None:
    assert HttpConfig().timeout[1] == HuaweicloudSdkDis.READ_TIMEOUT
    config = HttpConfig(timeout=(60, 0.05)) if outcome is Outcome.TIMED_OUT else HttpConfig()

    def call(endpoint: str) -> None:
        credentials = BasicCredentials(ACCESS_KEY, SECRET_KEY, PROJECT)
        builder = DisClient.new_builder().with_credentials(credentials).with_http_config(config)
        sdk = builder.with_region(Region(REGION, endpoint)).build()
        if method == "POST":
            sdk.commit_checkpoint(CommitCheckpointRequest(body=CommitCheckpointReq(**KEY, sequence_number="1")))
        else:
            sdk.show_checkpoint(ShowCheckpointRequest(**KEY))

    expected = modelled(HuaweicloudSdkDis, outcome, method)
    assert course(outcome, slept, call) == expected == (1, [])
