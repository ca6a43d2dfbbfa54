"""What a platform sees of the process: signals, exit codes, the last calls of a consumer."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import requests

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.emulator import Emulator
from tests.cli.test_processes import Process, address_in, begin, run, serving
from tests.integration.test_transport import unused_port
from tests.support import APP, STREAM, Client, key, wait_until

__all__ = ["begin"]


def started(begin: Callable[..., Process], emulator: Emulator, **more: str) -> tuple[Process, Client]:
    gateway = begin("serve", **serving(emulator, **more))
    return gateway, Client(address_in(gateway.wait_for('"serving"')))


def test_the_last_commit_of_a_consumer_that_is_stopped_with_it_passes(
    emulator: Emulator, begin: Callable[..., Process]
) -> None:
    gateway, client = started(begin, emulator)
    client.commit(1)
    gateway.process.send_signal(signal.SIGTERM)
    gateway.wait_for('"draining"')
    assert client.health() == "NOT_SERVING"
    assert run("health", "--target", address_in(gateway.lines[0])).returncode == 4
    client.commit(2)
    client.channel.close()
    assert gateway.finish() == 0
    assert json.loads(gateway.lines[-2])["because"] == "clients_left"
    assert emulator.checkpoint(STREAM, APP, 0) == ("2", "")


def test_a_second_signal_ends_it_at_once_and_is_no_success(emulator: Emulator, begin: Callable[..., Process]) -> None:
    gateway, client = started(begin, emulator)
    client.commit(1)
    gateway.process.send_signal(signal.SIGTERM)
    gateway.process.send_signal(signal.SIGTERM)  # at the same time it is the same request
    gateway.wait_for('"draining"')
    client.commit(2)
    wait_until(lambda: gateway.ended(signal.SIGTERM))
    assert gateway.finish() == 1
    assert json.loads(gateway.lines[-1])["event"] == "stopped_at_once"
    client.channel.close()


def test_nothing_that_was_acknowledged_is_lost_when_it_is_killed(
    emulator: Emulator, begin: Callable[..., Process]
) -> None:
    gateway, client = started(begin, emulator)
    client.commit(41)
    gateway.process.kill()
    assert gateway.finish() == -signal.SIGKILL
    assert emulator.checkpoint(STREAM, APP, 0) == ("41", "")
    client.channel.close()


def test_a_client_goes_on_by_itself_after_a_restart(emulator: Emulator, begin: Callable[..., Process]) -> None:
    address = f"127.0.0.1:{unused_port()}"
    gateway, client = started(begin, emulator, DISGW_SERVER__LISTEN=address)
    client.commit(1)
    gateway.process.kill()
    gateway.finish()
    gateway = begin("serve", **serving(emulator, DISGW_SERVER__LISTEN=address))
    gateway.wait_for('"serving"')
    assert client.get().checkpoint.sequence_number == "1"
    client.commit(2)
    client.channel.close()
    assert gateway.stop() == 0


def test_without_credentials_in_time_it_says_why_and_ends_as_unavailable(emulator: Emulator) -> None:
    env = serving(emulator, DISGW_SERVER__STARTUP_SECONDS="0.5", DISGW_CREDENTIALS__METADATA="true")
    env["DISGW_CREDENTIALS__METADATA_ENDPOINT"] = f"http://127.0.0.1:{unused_port()}"
    del env["DISGW_CREDENTIALS__ACCESS_KEY"], env["DISGW_CREDENTIALS__SECRET_KEY"]
    failed = run("serve", **env)
    assert failed.returncode == 4
    last = json.loads(failed.stderr.splitlines()[-1])
    assert last["event"] == "start_failed"
    assert "the metadata service gave no credentials" in last["problem"]


def test_asked_to_stop_while_it_waits_for_credentials_it_stops(
    emulator: Emulator, begin: Callable[..., Process]
) -> None:
    env = serving(emulator, DISGW_CREDENTIALS__METADATA="true")
    env["DISGW_CREDENTIALS__METADATA_ENDPOINT"] = f"http://127.0.0.1:{unused_port()}"
    del env["DISGW_CREDENTIALS__ACCESS_KEY"], env["DISGW_CREDENTIALS__SECRET_KEY"]
    gateway = begin("serve", **env)
    gateway.wait_for("credentials_not_renewed")
    assert gateway.stop() == 0


def test_a_call_that_comes_while_it_drains_is_served_on_a_new_connection(
    emulator: Emulator, begin: Callable[..., Process]
) -> None:
    gateway, client = started(begin, emulator)
    client.commit(1)
    gateway.process.send_signal(signal.SIGTERM)
    gateway.wait_for('"draining"')
    address = address_in(gateway.lines[0])
    late = Client(address)
    late.channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
    client.channel.close()
    late.commit(2)
    late.channel.close()
    assert gateway.finish() == 0
    assert emulator.checkpoint(STREAM, APP, 0) == ("2", "")


def test_a_job_ends_its_sidecar_by_http_where_that_is_configured(
    emulator: Emulator, begin: Callable[..., Process]
) -> None:
    gateway, client = started(begin, emulator, DISGW_SERVER__QUIT_ENDPOINT="true")
    client.commit(41)
    admin = json.loads(gateway.lines[-1])["admin"]
    assert requests.get(f"http://{admin}/quitquitquit", timeout=10).status_code == 405
    assert requests.post(f"http://{admin}/quitquitquit", timeout=10).status_code == 200
    gateway.wait_for('"draining"')
    client.commit(42)
    client.channel.close()
    assert gateway.finish() == 0
    assert emulator.checkpoint(STREAM, APP, 0) == ("42", "")


@pytest.mark.parametrize("stays", [True, False])
def test_after_its_grace_period_it_tells_of_the_clients_that_are_still_there(
    emulator: Emulator, begin: Callable[..., Process], stays: bool
) -> None:
    grace = {"DISGW_SERVER__GRACE_SECONDS": "0.5", "DISGW_SERVER__QUIET_SECONDS": "50"}
    gateway, client = started(begin, emulator, **grace)
    client.commit(1)
    if not stays:
        client.channel.close()
    assert gateway.stop() == 0
    told = [json.loads(line) for line in gateway.lines if '"clients_stay"' in line]
    assert [one["connections"] for one in told] == ([1] if stays else [])
    client.channel.close()


def test_nobody_ends_it_by_http_otherwise(emulator: Emulator, begin: Callable[..., Process]) -> None:
    gateway, client = started(begin, emulator)
    admin = json.loads(gateway.lines[-1])["admin"]
    assert requests.post(f"http://{admin}/quitquitquit", timeout=10).status_code == 404
    client.channel.close()
    assert gateway.stop() == 0


def test_a_read_that_dis_does_not_answer_does_not_keep_it_from_a_clean_end(
    emulator: Emulator, begin: Callable[..., Process]
) -> None:
    gateway, client = started(begin, emulator, DISGW_UPSTREAM__READ_TIMEOUT_SECONDS="300")
    client.commit(1)
    emulator.inject("hold", method="GET", times=0)
    reading = client.stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key("1")), timeout=300)
    emulator.wait_for_held(1)
    reading.cancel()
    client.channel.close()
    assert gateway.stop() == 0
    emulator.release()


def test_a_lock_that_somebody_holds_does_not_keep_it_from_a_clean_end(
    emulator: Emulator, begin: Callable[..., Process], tmp_path: Path
) -> None:
    gateway = begin("serve", **serving(emulator, DISGW_SERVER__LISTEN=f"unix://{tmp_path}/gateway.sock"))
    gateway.wait_for('"serving"')
    directory = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_SH)
    assert gateway.stop() == 0
    os.close(directory)


def test_a_write_that_dis_does_not_answer_ends_it_as_failed_and_says_so(
    emulator: Emulator, begin: Callable[..., Process]
) -> None:
    gateway, client = started(begin, emulator, DISGW_SERVER__GRACE_SECONDS="0")
    client.commit(1)
    emulator.inject("hold", method="POST", times=0)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(client.failure, client.commit, 2)
        emulator.wait_for_held(1)
        gateway.process.send_signal(signal.SIGTERM)
        assert pending.result(30).reason == "COMMIT_OUTCOME_UNKNOWN"
    assert gateway.finish() == 1
    assert json.loads(gateway.lines[-1])["event"] == "stopped_at_once"
    client.channel.close()
    emulator.release()
