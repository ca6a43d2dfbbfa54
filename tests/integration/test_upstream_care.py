"""How the gateway treats DIS when something is wrong between them: credentials, clocks, failures in a row."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import msgspec
import pytest
import requests

from gateway import watched
from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import BreakerConfig, Config, CredentialsConfig, RetryConfig, ServerConfig
from gateway.dis.credentials import AuthToken, KeyPair, WatchedCredentials
from gateway.emulator import Emulator
from gateway.errors import ConfigurationError
from tests.support import (
    ACCESS_KEY,
    APP,
    PROJECT,
    REGION,
    SECRET_KEY,
    STREAM,
    Call,
    Running,
    config_for,
    key,
    upstream_of,
    wait_until,
)

Start = Callable[[Config], Running]


def reason_of(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return Call.of(error).reason
    return "OK"


def test_wrong_credentials_are_no_storm_of_calls(emulator: Emulator, start: Start) -> None:
    wrong = CredentialsConfig(access_key=ACCESS_KEY, secret_key="some-other-secret")
    client = start(config_for(emulator, credentials=wrong)).client
    with ThreadPoolExecutor(30) as pool:
        calls = [pool.submit(reason_of, lambda number=n: client.commit(number, str(number % 3))) for n in range(60)]
        reasons = [call.result(30) for call in calls]
    assert set(reasons) == {"UPSTREAM_CREDENTIALS_REJECTED", "UPSTREAM_CIRCUIT_OPEN"}
    assert emulator.request_count() == 1
    failure = client.failure(client.get)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_CIRCUIT_OPEN")
    assert failure.info.metadata["cause"] == "UPSTREAM_CREDENTIALS_REJECTED"
    assert failure.retry_after is not None
    assert 50 < failure.retry_after <= 60


@pytest.mark.parametrize("follows", [False, True])
def test_a_gateway_that_dis_takes_nothing_from_says_so_and_is_not_ready_where_configured(
    emulator: Emulator, start: Start, follows: bool
) -> None:
    wrong = CredentialsConfig(access_key=ACCESS_KEY, secret_key="some-other-secret")
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="127.0.0.1:0", readiness_follows_upstream=follows)
    running = start(config_for(emulator, credentials=wrong, server=server))
    url = f"http://{running.gateway.admin_address}/readyz"
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.text) == (200, "ready\n")
    assert running.client.health() == "SERVING"
    running.client.failure(running.client.get)
    answer = requests.get(url + "?verbose", timeout=10)
    assert answer.status_code == (503 if follows else 200)
    assert running.client.health() == ("NOT_SERVING" if follows else "SERVING")
    words = "not ready" if follows else "ready"
    first, *rest = answer.text.splitlines()
    assert first == f"{words}, but DIS is not asked: UPSTREAM_CREDENTIALS_REJECTED"
    assert rest[:2] == ["stage: ready", "breaker all: open (UPSTREAM_CREDENTIALS_REJECTED)"]
    assert b'disgw_breaker_open{circuit="all"} 1.0' in running.gateway.metrics.text()


RETRY = RetryConfig(attempts=4, base_seconds=0.001, max_seconds=0.01)


def test_a_throttled_commit_is_sent_again_and_acknowledged_once_dis_has_it(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator, retry=RETRY))
    emulator.inject("error", code="DIS.4303", times=2)
    running.client.commit(7)
    assert emulator.checkpoint(STREAM, APP, 0) == ("7", "")
    assert emulator.request_count() == 3
    assert b"disgw_upstream_retries_total 2.0" in running.gateway.metrics.text()


def test_a_commit_that_is_sent_again_does_not_overtake_a_newer_one(emulator: Emulator, start: Start) -> None:
    client = start(config_for(emulator, retry=RETRY)).client
    client.commit(1)
    emulator.inject("error", code="DIS.4303", times=2)
    with ThreadPoolExecutor(8) as pool:
        reasons = set(pool.map(lambda number: reason_of(lambda: client.commit(number)), range(2, 10)))
    assert reasons <= {"OK", "CHECKPOINT_REGRESSION"}  # as one may come when a higher one is stored
    assert emulator.checkpoint(STREAM, APP, 0) == ("9", "")


def test_an_unknown_outcome_is_told_at_once_and_never_sent_again(emulator: Emulator, start: Start) -> None:
    client = start(config_for(emulator, retry=RETRY)).client
    emulator.inject("cut_after", method="POST")
    assert client.failure(client.commit, 7).reason == "COMMIT_OUTCOME_UNKNOWN"
    assert emulator.request_count() == 1


def test_a_caller_without_time_for_another_attempt_is_told_what_dis_said(emulator: Emulator, start: Start) -> None:
    client = start(config_for(emulator, retry=RETRY)).client
    emulator.inject("error", code="APIGW.0308", retry_after="3600")
    failure = client.failure(client.commit, 7)
    assert (failure.reason, failure.retry_after) == ("UPSTREAM_THROTTLED", 3600)
    assert emulator.request_count() == 1


def test_a_blacklisted_address_keeps_quiet(emulator: Emulator, start: Start) -> None:
    client = start(config_for(emulator)).client
    client.commit(1)
    emulator.inject("error", code="DIS.4309")
    assert client.failure(client.commit, 2).reason == "UPSTREAM_BLACKLISTED"
    before = emulator.request_count()
    for _ in range(20):
        assert client.failure(client.commit, 2).reason == "UPSTREAM_CIRCUIT_OPEN"
    assert client.get().checkpoint.sequence_number == "1"  # what is known can still be read
    assert emulator.request_count() == before


def test_failures_in_a_row_give_dis_a_rest_and_nothing_that_was_refused_is_stored(
    emulator: Emulator, start: Start
) -> None:
    breaker = BreakerConfig(failures=2, open_seconds=3600.0)
    client = start(config_for(emulator, breaker=breaker)).client
    emulator.inject("error", code="DIS.5000", times=3)
    assert client.failure(client.commit, 1).reason == "COMMIT_OUTCOME_UNKNOWN"
    for _ in range(2):  # after that DIS is asked first, and fails again
        assert client.failure(client.commit, 1).reason == "UPSTREAM_UNAVAILABLE"
    assert client.failure(client.commit, 1).reason == "UPSTREAM_CIRCUIT_OPEN"
    assert emulator.request_count() == 3
    assert emulator.checkpoint(STREAM, APP, 0) is None


@pytest.mark.parametrize("minutes", [-40, 40])
def test_a_clock_that_is_wrong_is_learned_from_dis_once(start: Start, minutes: int) -> None:
    skewed = Emulator(
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        project=PROJECT,
        region=REGION,
        auto_create=True,
        clock=lambda: time.time() + minutes * 60,
    )
    with skewed as emulator:
        running = start(config_for(emulator))
        running.client.commit(1)
        assert emulator.request_count() == 2  # rejected, and once more with the time of DIS
        running.client.commit(2)
        running.client.delete()
        assert emulator.request_count() == 4
        offset = float(running.gateway.metrics.text().split(b"disgw_clock_offset_seconds ")[-1].split()[0])
        assert abs(offset - minutes * 60) < 30


def test_a_time_that_stays_rejected_is_an_error_and_no_storm(emulator: Emulator, start: Start) -> None:
    client = start(config_for(emulator)).client
    emulator.inject("error", code="DIS.4105", times=0)  # though the clocks agree
    assert client.failure(client.commit, 1).reason == "UPSTREAM_CLOCK_SKEW"
    assert client.failure(client.commit, 1).reason == "UPSTREAM_CIRCUIT_OPEN"
    assert emulator.request_count() == 1


def write_keys(directory: Path, secret_key: str) -> None:
    (directory / "access_key").write_text(ACCESS_KEY)
    (directory / "secret_key").write_text(secret_key)


def publish(mount: Path, version: str, secret_key: str) -> None:
    """As Kubernetes does: a new directory, and a link that is moved to it."""
    (mount / version).mkdir()
    write_keys(mount / version, secret_key)
    link = mount / "..data_tmp"
    link.symlink_to(version)
    os.replace(link, mount / "..data")
    for name in ("access_key", "secret_key"):
        if not (mount / name).is_symlink():
            (mount / name).symlink_to(f"..data/{name}")


def test_a_secret_that_the_platform_replaces_is_taken_over_without_a_restart(
    emulator: Emulator, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "CHECK_SECONDS", 0.0)
    publish(tmp_path, "..v1", "an-older-secret")
    client = start(config_for(emulator, credentials=CredentialsConfig(directory=str(tmp_path)))).client
    publish(tmp_path, "..v2", SECRET_KEY)
    client.commit(1)
    assert emulator.request_count() == 1


def test_a_rejected_access_key_looks_for_a_new_one_at_once_and_asks_once_more(
    emulator: Emulator, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "CHECK_SECONDS", 1e9)  # so that nothing but the rejection makes it look
    (tmp_path / "access_key").write_text("EXPIRED")
    (tmp_path / "secret_key").write_text("expired")
    client = start(config_for(emulator, credentials=CredentialsConfig(directory=str(tmp_path)))).client
    write_keys(tmp_path, SECRET_KEY)
    client.commit(1)
    assert emulator.request_count() == 2


def test_a_secret_that_cannot_be_read_any_more_leaves_the_old_one(tmp_path: Path) -> None:
    now = [0.0]
    write_keys(tmp_path, SECRET_KEY)
    provider = WatchedCredentials(tmp_path, lambda: now[0])
    (tmp_path / "secret_key").unlink()
    now[0] += 10
    assert provider.snapshot() == KeyPair(ACCESS_KEY, SECRET_KEY)
    assert provider.reload(provider.snapshot()) == KeyPair(ACCESS_KEY, SECRET_KEY)
    (tmp_path / "access_key").unlink()
    (tmp_path / "token").write_text("a-token\n")
    now[0] += 10
    assert provider.snapshot() == AuthToken("a-token")


def test_a_directory_is_looked_at_once_a_second_at_most(tmp_path: Path) -> None:
    now = [0.0]
    write_keys(tmp_path, "one")
    provider = WatchedCredentials(tmp_path, lambda: now[0])
    write_keys(tmp_path, "another")
    now[0] += 0.9
    assert provider.snapshot() == KeyPair(ACCESS_KEY, "one")
    now[0] += 0.1
    assert provider.snapshot() == KeyPair(ACCESS_KEY, "another")


def test_a_directory_without_credentials_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="access_key cannot be read"):
        WatchedCredentials(tmp_path, lambda: 0.0)


def test_a_commit_whose_time_ends_while_it_waits_for_a_connection_leaves_no_doubt(
    emulator: Emulator, start: Start
) -> None:
    upstream = msgspec.structs.replace(upstream_of(emulator), pool_size=1)
    running = start(config_for(emulator, upstream=upstream))
    client, service = running.client, running.gateway.service
    client.commit(1)
    client.commit(1, "1")
    before = emulator.request_count()
    emulator.inject("hold", method="POST", times=1)
    first = client.stub.CommitCheckpoint.future(pb.CommitCheckpointRequest(key=key(), sequence_number="2"), timeout=50)
    emulator.wait_for_held(1)
    request = pb.CommitCheckpointRequest(key=key("1"), sequence_number="2")
    late = client.stub.CommitCheckpoint.future(request, timeout=1)
    assert late.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: sum(lane.carried for lane in service.lanes(2)) == 1)
    emulator.release()
    first.result(20)
    client.commit(2, "1")  # without a look at what DIS has
    assert [one.method for one in emulator.requests()[before:]] == ["POST", "POST"]
    assert emulator.checkpoint(STREAM, APP, 1) == ("2", "")
