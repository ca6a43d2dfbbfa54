"""The admin pages, over real HTTP."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
import urllib3
import waitress.trigger

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config, ServerConfig
from gateway.emulator import Emulator
from gateway.errors import ListenError
from gateway.model import CheckpointKey, PartitionState, SequenceNumber
from gateway.telemetry import admin as admin_module
from gateway.telemetry.admin import AdminServer
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.pages import LIMIT_MAX, Sources
from gateway.telemetry.readiness import Readiness
from gateway.telemetry.status_page import status_page
from tests.support import ACCESS_KEY, SECRET_KEY, STREAM, Running, config_for, key, wait_until

Start = Callable[[Config], Running]


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def quits() -> list[str]:
    return []


@pytest.fixture
def admin(readiness: Readiness, quits: list[str]) -> Iterator[AdminServer]:
    def quit_() -> str:
        quits.append("quit")
        return "stopping"

    server = AdminServer("127.0.0.1:0", Sources(readiness, Metrics("1"), actions={"/quit": quit_}))
    server.start()
    yield server
    server.stop()


def ask(
    address: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False) as http:
        return http.request(method, f"http://{address}{path}", headers=headers)


def probe(admin: AdminServer, path: str, method: str = "GET") -> tuple[int, str]:
    answer = ask(admin.address, path, method)
    return answer.status, answer.data.decode()


def test_the_probes_tell_alive_from_started_from_ready(admin: AdminServer, readiness: Readiness) -> None:
    def statuses() -> list[int]:
        return [probe(admin, path)[0] for path in ("/healthz", "/startupz", "/readyz?verbose")]

    assert statuses() == [200, 503, 503]
    readiness.started()
    assert statuses() == [200, 200, 200]
    readiness.draining()
    assert statuses() == [200, 200, 503]


def test_an_answer_that_ends_while_it_stops_wakes_nobody_else(
    readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = AdminServer("127.0.0.1:0", Sources(readiness, Metrics("1")))
    server.start()
    pulled: list[bool] = []

    def late(trigger: Any) -> None:
        os.write(trigger.trigger, b"x")
        wait_until(lambda: not trigger.thunks)  # the loop has ended by then; whoever was on its way comes too late
        os.write(trigger.trigger, b"x")
        pulled.append(True)

    monkeypatch.setattr(waitress.trigger.trigger, "_physical_pull", late)
    server.stop()
    assert pulled
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask(server.address, "/healthz")


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_page_that_hangs_does_not_hold_up_a_stop(readiness: Readiness, caplog: pytest.LogCaptureFixture) -> None:
    begun, go = threading.Event(), threading.Event()

    def hang() -> str:
        begun.set()
        go.wait(30)
        return "done"

    server = AdminServer("127.0.0.1:0", Sources(readiness, Metrics("1"), actions={"/hang": hang}))
    server.start()
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(ask, server.address, "/hang", "POST")
        assert begun.wait(30)
        server.stop()
        with pytest.raises(urllib3.exceptions.HTTPError):
            ask(server.address, "/healthz")
        with pytest.raises(urllib3.exceptions.HTTPError):
            hanging.result(30)
    go.set()
    wait_until(lambda: not any(thread.name.startswith("waitress") for thread in threading.enumerate()))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    del server
    gc.collect()  # what wakes the loop was left open for the page that hung


def test_a_probe_says_what_it_found(admin: AdminServer) -> None:
    assert probe(admin, "/readyz") == (503, "not ready: starting\n")
    assert probe(admin, "/healthz", "HEAD") == (200, "")
    status, text = probe(admin, "/metricsz")
    assert status == 404
    assert "/healthz" in text
    assert probe(admin, "/")[0] == 200


def test_one_connection_serves_many_requests(admin: AdminServer) -> None:
    with urllib3.HTTPConnectionPool(*admin.address.split(":"), maxsize=1) as pool:
        for method in ("HEAD", "GET", "HEAD", "GET"):
            answer = pool.request(method, "/healthz", retries=False)
            assert (answer.status, answer.headers["Content-Length"]) == (200, "6")
        assert pool.num_connections == 1


def test_an_address_in_use_is_said(admin: AdminServer, readiness: Readiness) -> None:
    with pytest.raises(ListenError, match="already in use"):
        AdminServer(admin.address, Sources(readiness, Metrics("1"))).start()


def test_ipv6_is_listened_on(readiness: Readiness) -> None:
    server = AdminServer("[::1]:0", Sources(readiness, Metrics("1")))
    try:
        server.start()
    except ListenError:
        pytest.skip("this machine has no IPv6 loopback")
    assert probe(server, "/healthz")[0] == 200
    server.stop()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_only_reading_is_allowed(admin: AdminServer, method: str) -> None:
    answer = ask(admin.address, "/metrics", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9551", "[::1]:9551", "LOCALHOST:80"])
def test_names_of_this_machine_are_answered(admin: AdminServer, host: str) -> None:
    assert ask(admin.address, "/healthz", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["attacker.example", "localhost.attacker.example", "10.0.0.5", "127.0.0.1.x:1", "[", ""]
)
def test_a_name_that_a_web_site_had_point_here_is_refused(admin: AdminServer, host: str) -> None:
    for path in ("/", "/config", "/healthz"):
        answer = ask(admin.address, path, headers={"Host": host})
        assert answer.status == 421
        assert "gateway</h1>" not in answer.data.decode()


def test_on_an_address_for_others_any_name_is_answered(readiness: Readiness) -> None:
    server = AdminServer("0.0.0.0:0", Sources(readiness, Metrics("1")))
    server.start()
    port = server.address.rpartition(":")[2]
    assert ask(f"127.0.0.1:{port}", "/healthz", headers={"Host": "gateway.namespace.svc:9551"}).status == 200
    server.stop()


def test_an_action_takes_a_post_from_a_program_and_none_from_a_web_site(admin: AdminServer, quits: list[str]) -> None:
    assert ask(admin.address, "/quit").status == 405
    for name, value in (("Origin", "http://127.0.0.1:1"), ("Sec-Fetch-Site", "cross-site")):
        assert ask(admin.address, "/quit", "POST", {name: value}).status == 403
    assert quits == []
    assert ask(admin.address, "/quit", "POST").data == b"stopping\n"
    assert quits == ["quit"]


def test_every_answer_says_what_a_browser_may_do_with_it(admin: AdminServer) -> None:
    for path in ("/", "/metrics", "/nothing"):
        headers = ask(admin.address, path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "dis-gateway"


def test_metrics_come_in_the_format_that_is_asked_for(admin: AdminServer) -> None:
    plain = ask(admin.address, "/metrics")
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"\ndisgw_build_info{" in plain.data
    accept = "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"
    openmetrics = ask(admin.address, "/metrics", headers={"Accept": accept})
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.data.endswith(b"# EOF\n")
    nonsense = {"Accept": "application/openmetrics-text; version=x.y"}
    assert ask(admin.address, "/metrics", headers=nonsense).status == 200


def test_a_page_that_fails_is_an_answer_and_the_server_goes_on(readiness: Readiness) -> None:
    def broken() -> Mapping[str, Any]:
        raise RuntimeError("a defect")

    server = AdminServer("127.0.0.1:0", Sources(readiness, Metrics("1"), config=broken))
    server.start()
    assert probe(server, "/config") == (500, "this page failed; the log has more\n")
    assert probe(server, "/healthz")[0] == 200
    server.stop()


def connected(admin: AdminServer, text: bytes) -> socket.socket:
    host, port = admin.address.split(":")
    client = socket.create_connection((host, int(port)), timeout=20)
    client.sendall(text)
    return client


def test_slow_clients_hold_up_nobody_and_make_room(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "_LIFE_WHILE_FULL", 0.0)
    monkeypatch.setattr(admin_module, "_IDLE_SECONDS", 1e9)
    slow = [connected(admin, b"GET /metrics HTTP/1.1\r\nHost: lo") for _ in range(admin_module.CONNECTIONS_MAX + 20)]
    assert probe(admin, "/healthz") == (200, "alive\n")
    for client in slow:
        client.close()


def test_a_connection_does_not_last_for_ever(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "LIFE_SECONDS", 0.0)
    monkeypatch.setattr(admin_module, "_IDLE_SECONDS", 1e9)
    client = connected(admin, b"GET /healthz HTTP/1.1\r\nHo")
    assert client.recv(1) == b""
    client.close()


def test_large_requests_are_refused(admin: AdminServer) -> None:
    client = connected(admin, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
    assert client.recv(12) == b"HTTP/1.0 431"
    client.close()


# with a whole gateway


def json(running: Running, path: str) -> Any:
    answer = ask(running.gateway.admin_address, path)
    assert answer.headers["Content-Type"] == "application/json"
    return msgspec.json.decode(answer.data)


def test_the_configuration_in_force_is_shown_without_secrets(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    shown = json(running, "/config")
    assert shown["upstream"]["endpoint"] == {"value": emulator.endpoint, "origin": "program"}
    assert shown["cache"]["ttl_seconds"]["value"] == 3600.0
    assert shown["credentials"]["secret_key"]["value"] == "(hidden)"
    text = ask(running.gateway.admin_address, "/config").data.decode()
    assert SECRET_KEY not in text
    assert ACCESS_KEY not in text


def test_the_cache_is_shown_with_the_last_heard_of_first_and_no_more_than_asked_for(
    emulator: Emulator, start: Start
) -> None:
    running = start(config_for(emulator))
    running.client.commit(7, "0", metadata="not-for-others")
    running.client.commit(8, "1")
    running.client.get("2")
    running.client.commit(9, "0", metadata="not-for-others")
    keys = json(running, "/debug/cache")["keys"]
    assert [(one["key"][-1], one["sequence_number"], one["servable"]) for one in keys] == [
        ("0", "9", True),
        ("2", None, True),
        ("1", "8", True),
    ]
    assert all(one["age_seconds"] >= 0 for one in keys)
    assert [one["key"][-1] for one in json(running, "/debug/cache?limit=1")["keys"]] == ["0"]
    assert b"not-for-others" not in ask(running.gateway.admin_address, "/debug/cache").data


@pytest.mark.parametrize(("asked", "given"), [("7", 7), ("0", 1), ("1000000", LIMIT_MAX), ("x", 100), ("-1", 100)])
def test_a_look_into_the_cache_is_bounded(readiness: Readiness, asked: str, given: int) -> None:
    limits: list[int] = []

    def cached(limit: int) -> list[Any]:
        limits.append(limit)
        return []

    server = AdminServer("127.0.0.1:0", Sources(readiness, Metrics("1"), cached=cached, lanes=cached))
    server.start()
    for page in ("cache", "lanes"):
        assert probe(server, f"/debug/{page}?limit={asked}")[0] == 200
    server.stop()
    assert limits == [given, given]


def test_the_lanes_show_what_is_under_way_and_what_waits(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    emulator.inject("hold", method="POST", times=0)
    stub = running.client.stub
    calls = []

    def commit(number: int, partition: str) -> None:
        request = pb.CommitCheckpointRequest(key=key(partition), sequence_number=str(number))
        calls.append(stub.CommitCheckpoint.future(request, timeout=20))

    commit(1, "0")
    commit(1, "1")
    emulator.wait_for_held(2)
    commit(2, "1")
    commit(3, "1")
    calls.append(stub.GetCheckpoint.future(pb.GetCheckpointRequest(key=key("2")), timeout=20))
    wait_until(lambda: running.gateway.service.depth() == 2)
    first, second = json(running, "/debug/lanes")["lanes"][:2]
    assert first["seconds"] >= 0
    assert {**first, "seconds": 0} == {
        "key": "stream-1/app-1/shardId-0000000001",
        "doing": "write",
        "seconds": 0,
        "carried": 1,
        "waiting": 2,
        "reads": 0,
        "readers": 0,
    }
    assert (second["key"][-1], second["waiting"]) == ("0", 0)
    assert len(json(running, "/debug/lanes?limit=1")["lanes"]) == 1
    emulator.clear_faults()
    emulator.release()
    for call in calls:
        call.result()
    wait_until(lambda: json(running, "/debug/lanes")["lanes"] == [])


class Page(HTMLParser):
    """The text of a page, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_the_status_page_shows_how_things_stand_and_loads_nothing(emulator: Emulator, start: Start) -> None:
    running = start(config_for(emulator))
    emulator.set_offsets(STREAM, "0", earliest=0, latest=1007)
    running.client.commit(7)
    running.client.get()
    running.client.failure(running.client.commit, 3)
    running.client.stub.ListCheckpoints(pb.ListCheckpointsRequest(stream_name=STREAM, app_name="app-1"), timeout=20)
    answer = ask(running.gateway.admin_address, "/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Page(answer.data.decode())
    for word in ("ready", "CommitCheckpoint", "shardId-0000000000", "1,000", emulator.endpoint, "breaker: all"):
        assert word in page.words
    assert not page.tags & {"script", "img", "iframe", "link"}
    assert all(ask(running.gateway.admin_address, link).status == 200 for link in page.links)
    assert "/debug/lanes" in page.links
    assert SECRET_KEY not in answer.data.decode()


def test_what_callers_name_cannot_become_part_of_the_page() -> None:
    metrics = Metrics("1")
    metrics.rpcs.of("<script>").add("OK")
    metrics.listed([PartitionState(CheckpointKey("s", "a", "0"), SequenceNumber(1), 0, 10, "ACTIVE")])
    text = status_page(Readiness(lambda: "<b>"), metrics, {"<i>": "<u>"}, ["/metrics"], 0.0)
    assert not Page(text).tags & {"script", "b", "i", "u"}


def test_an_empty_admin_address_turns_it_off(emulator: Emulator, start: Start) -> None:
    server = ServerConfig(listen="127.0.0.1:0", admin_listen="")
    assert start(config_for(emulator, server=server)).gateway.admin_address == ""
