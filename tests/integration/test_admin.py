"""The probes, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import urllib3

from gateway.errors import ListenError
from gateway.telemetry.admin import AdminServer
from gateway.telemetry.readiness import Readiness


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def admin(readiness: Readiness) -> Iterator[AdminServer]:
    server = AdminServer("127.0.0.1:0", readiness)
    server.start()
    yield server
    server.stop()


def probe(admin: AdminServer, path: str, method: str = "GET") -> tuple[int, str]:
    with urllib3.PoolManager(retries=False) as http:
        answer = http.request(method, f"http://{admin.address}{path}")
        return answer.status, answer.data.decode()


def test_the_probes_tell_alive_from_started_from_ready(admin: AdminServer, readiness: Readiness) -> None:
    def statuses() -> list[int]:
        return [probe(admin, path)[0] for path in ("/healthz", "/startupz", "/readyz?verbose")]

    assert statuses() == [200, 503, 503]
    readiness.started()
    assert statuses() == [200, 200, 200]
    readiness.draining()
    assert statuses() == [200, 200, 503]


def test_a_probe_says_what_it_found(admin: AdminServer) -> None:
    assert probe(admin, "/readyz") == (503, "not ready: starting\n")
    assert probe(admin, "/healthz", "HEAD") == (200, "")
    status, text = probe(admin, "/metricsz")
    assert status == 404
    assert "/healthz" in text
    assert probe(admin, "/")[0] == 200


def test_an_address_in_use_is_said(admin: AdminServer, readiness: Readiness) -> None:
    with pytest.raises(ListenError, match="already in use"):
        AdminServer(admin.address, readiness).start()


def test_ipv6_is_listened_on(readiness: Readiness) -> None:
    server = AdminServer("[::1]:0", readiness)
    try:
        server.start()
    except ListenError:
        pytest.skip("this machine has no IPv6 loopback")
    assert probe(server, "/healthz")[0] == 200
    server.stop()
