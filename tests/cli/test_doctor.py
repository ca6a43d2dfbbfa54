"""``doctor``: each thing that can stand between a gateway and DIS is found, and nothing else is blamed for it."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result

from gateway.cli.root import root
from gateway.emulator import Emulator
from tests.integration.test_transport import unused_port
from tests.rawserver import Handler, RawServer
from tests.support import ACCESS_KEY, APP, PROJECT, REGION, SECRET_KEY, STREAM

Examine = Callable[..., Result]


@pytest.fixture
def environ(emulator: Emulator) -> dict[str, str]:
    return {
        "DISGW_UPSTREAM__ENDPOINT": emulator.endpoint,
        "DISGW_UPSTREAM__PROJECT_ID": PROJECT,
        "DISGW_UPSTREAM__REGION": REGION,
        "DISGW_CREDENTIALS__ACCESS_KEY": ACCESS_KEY,
        "DISGW_CREDENTIALS__SECRET_KEY": SECRET_KEY,
    }


@pytest.fixture
def examine(environ: dict[str, str]) -> Iterator[Examine]:
    def run(*args: str, **changes: str) -> Result:
        env: dict[str, str | None] = {**environ, **{f"DISGW_{name}": value for name, value in changes.items()}}
        result = CliRunner().invoke(root, ["doctor", *args], env=env, prog_name="dis-gateway")
        assert SECRET_KEY not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def findings(result: Result) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in json.loads(result.stdout)}


def the_failure(result: Result) -> tuple[str, str]:
    """The one check that failed, and what it says; all that come after it were skipped."""
    lines = list(findings(result).values())
    failed = [number for number, finding in enumerate(lines) if finding["verdict"] == "failed"]
    assert len(failed) == 1
    assert all(finding["verdict"] == "skipped" for finding in lines[failed[0] + 1 :])
    assert lines[failed[0]]["advice"]
    return str(lines[failed[0]]["check"]), str(lines[failed[0]]["detail"])


def test_where_all_is_well_it_says_so_and_changes_nothing(emulator: Emulator, examine: Examine) -> None:
    emulator.set_checkpoint(STREAM, APP, 0, 5)
    result = examine("--stream", STREAM, "--app", APP, "--output", "json")
    assert result.exit_code == 0, result.output
    verdicts = {name: finding["verdict"] for name, finding in findings(result).items()}
    assert verdicts.pop("tls") == "skipped"
    assert set(verdicts.values()) == {"ok"}
    assert {request.method for request in emulator.requests()} == {"GET"}
    assert emulator.checkpoint(STREAM, APP, 0) == ("5", "")


def test_for_people_each_check_is_a_line(examine: Examine) -> None:
    result = examine()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok       configuration")
    assert any(line.startswith("skipped  permission     name a stream") for line in lines)
    assert any("round trips: median" in line for line in lines)


def test_a_signature_that_is_refused_costs_one_request(emulator: Emulator, examine: Examine) -> None:
    result = examine("--output", "json", CREDENTIALS__SECRET_KEY="another")
    assert result.exit_code == 1
    assert the_failure(result) == ("signature", findings(result)["signature"]["detail"])
    assert "DIS.4100" in findings(result)["signature"]["detail"]
    assert emulator.request_count() == 1


def test_a_wrong_region_is_a_wrong_signature(examine: Examine) -> None:
    check, detail = the_failure(examine("--output", "json", UPSTREAM__REGION="elsewhere"))
    assert check == "signature"
    assert "region" in detail


def test_a_permission_that_is_missing_is_told_apart(emulator: Emulator, examine: Examine) -> None:
    emulator.inject("error", code="DIS.4116", times=0)
    result = examine("--stream", STREAM, "--app", APP, "--output", "json")
    assert (result.exit_code, the_failure(result)[0]) == (1, "permission")


def test_a_stream_that_does_not_exist_is_no_wrong_signature(examine: Examine) -> None:
    result = examine("--stream", "nowhere", "--app", APP, "--output", "json")
    assert the_failure(result)[0] == "permission"
    assert findings(result)["signature"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("changes", "check", "code"),
    [
        ({"UPSTREAM__ENDPOINT": ""}, "configuration", 2),
        ({"UPSTREAM__ENDPOINT": "https://dis.invalid"}, "name", 4),
        (
            {"CREDENTIALS__ACCESS_KEY": "", "CREDENTIALS__SECRET_KEY": "", "CREDENTIALS__FILE": "/no/such"},
            "credentials",
            1,
        ),
    ],
)
def test_what_comes_before_dis(examine: Examine, changes: dict[str, str], check: str, code: int) -> None:
    result = examine("--output", "json", **changes)
    assert (the_failure(result)[0], result.exit_code) == (check, code)


def test_a_port_that_nobody_listens_on(examine: Examine) -> None:
    result = examine("--output", "json", UPSTREAM__ENDPOINT=f"http://127.0.0.1:{unused_port()}")
    assert (the_failure(result)[0], result.exit_code) == ("connection", 4)


def test_a_port_that_does_not_speak_tls(emulator: Emulator, examine: Examine) -> None:
    result = examine("--output", "json", UPSTREAM__ENDPOINT=emulator.endpoint.replace("http:", "https:"))
    assert (the_failure(result)[0], result.exit_code) == ("tls", 4)


def test_a_certificate_is_looked_at(
    examine: Examine, serve: Callable[[Handler, ssl.SSLContext], RawServer], tmp_path: Path
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    body = b'{"errorCode":"DIS.4301","message":"no stream"}'
    answer = b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    server = serve(lambda connection: connection.sendall(answer), context)
    endpoint = f"https://127.0.0.1:{server.port}"
    check, detail = the_failure(examine("--output", "json", UPSTREAM__ENDPOINT=endpoint))
    assert check == "tls"
    assert "not trusted" in detail
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    found = findings(
        examine("--output", "json", UPSTREAM__ENDPOINT=endpoint, UPSTREAM__CA_FILE=str(tmp_path / "ca.pem"))
    )
    assert found["tls"]["verdict"] == "ok"
    assert "TLSv1" in found["tls"]["detail"]


@pytest.mark.parametrize(("minutes", "verdict"), [(0, "ok"), (5, "warning"), (-5, "warning")])
def test_a_clock_that_is_off_is_told(environ: dict[str, str], examine: Examine, minutes: int, verdict: str) -> None:
    with Emulator(
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        auto_create=True,
        clock=lambda: time.time() + minutes * 60,
    ) as skewed:
        found = findings(examine("--output", "json", UPSTREAM__ENDPOINT=skewed.endpoint))
    assert found["clock"]["verdict"] == verdict
    assert found["signature"]["verdict"] == "ok"


def test_a_clock_that_is_far_off_is_a_warning_as_the_gateway_learns_the_time(
    environ: dict[str, str], examine: Examine
) -> None:
    with Emulator(
        access_key=ACCESS_KEY, secret_key=SECRET_KEY, auto_create=True, clock=lambda: time.time() + 3600
    ) as skewed:
        found = findings(examine("--output", "json", UPSTREAM__ENDPOINT=skewed.endpoint))
    assert found["clock"]["verdict"] == "warning"
    assert "s behind DIS; 15 minutes are allowed" in found["clock"]["detail"]
    assert found["signature"]["verdict"] == "ok"


@pytest.mark.parametrize("code", ["DIS.5000", "DIS.4303", "DIS.4309"])
def test_an_answer_that_says_nothing_of_the_signature_proves_none(
    emulator: Emulator, examine: Examine, code: str
) -> None:
    emulator.inject("error", code=code, times=0)
    result = examine("--output", "json")
    assert the_failure(result)[0] == "answer"
    assert result.exit_code == 4


def test_something_that_is_not_dis(examine: Examine, serve: Callable[[Handler], RawServer]) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"
    server = serve(lambda connection: connection.sendall(page))
    result = examine("--output", "json", UPSTREAM__ENDPOINT=f"http://127.0.0.1:{server.port}")
    assert the_failure(result)[0] == "signature"
    assert "not the DIS API" in the_failure(result)[1]


def test_a_name_that_no_stream_can_have_is_wrong_usage(examine: Examine) -> None:
    result = examine("--stream", "a b")
    assert result.exit_code == 2
    assert "--stream" in result.output
