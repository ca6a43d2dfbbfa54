"""The verbs that call a gateway: what they print, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.root import COMMANDS, root
from gateway.config import Config
from gateway.emulator import Emulator
from tests.support import APP, STREAM, Running, config_for

LONG = "shardId-0000000000"
KEY = ("--stream", STREAM, "--app", APP, "--partition", "0")


@pytest.fixture
def run(emulator: Emulator, start: Callable[[Config], Running]) -> Callable[..., Result]:
    target = start(config_for(emulator)).gateway.bound[0].address

    def invoke(verb: str, *args: str) -> Result:
        return CliRunner().invoke(root, [verb, *args], env={"DISGW_TARGET": target}, prog_name="dis-gateway")

    return invoke


def as_json(text: str) -> Any:
    return json.loads(text)


def test_a_commit_is_read_back_by_the_other_spelling(emulator: Emulator, run: Callable[..., Result]) -> None:
    done = run("commit", *KEY, "--sequence-number", "41", "--metadata", "page 3")
    assert (done.exit_code, done.stdout) == (0, f'committed {STREAM}/{APP}/{LONG} 41 "page 3"\n')
    assert emulator.checkpoint(STREAM, APP, 0) == ("41", "page 3")
    found = run("get", "--stream", STREAM, "--app", APP, "--partition", LONG)
    assert (found.exit_code, found.stdout) == (0, f'{STREAM}/{APP}/{LONG} 41 "page 3"\n')
    assert found.stderr.startswith("from cache, ")
    assert run("get", *KEY, "--fresh").stderr == "from DIS\n"
    assert run("get", *KEY, "--max-age", "0").stderr == "from DIS\n"


def test_json_has_everything(run: Callable[..., Result]) -> None:
    checkpoint = {
        "stream_name": STREAM,
        "app_name": APP,
        "partition_id": LONG,
        "checkpoint_type": "LAST_READ",
        "sequence_number": "41",
        "metadata": "",
    }
    done = run("commit", *KEY, "--sequence-number", "41", "--output", "json")
    assert as_json(done.stdout) == {"result": "committed", "effective": checkpoint}
    found = as_json(run("get", *KEY, "--output", "json").stdout)
    assert found.pop("age_seconds") >= 0
    assert found == {"found": True, "checkpoint": checkpoint, "source": "cache"}
    assert as_json(run("delete", *KEY, "--output", "json").stdout) == {"deleted": True}


def test_no_checkpoint_is_exit_code_3(run: Callable[..., Result]) -> None:
    none = run("get", *KEY)
    assert (none.exit_code, none.stdout) == (3, "")
    assert none.stderr == f"no checkpoint for {STREAM}/{APP}/shardId-0000000000\n"
    none = run("get", *KEY, "--output", "json")
    assert none.exit_code == 3
    assert as_json(none.stdout)["found"] is False


def test_a_delete_deletes_one_partition(emulator: Emulator, run: Callable[..., Result]) -> None:
    emulator.set_checkpoint(STREAM, APP, 0, 1)
    emulator.set_checkpoint(STREAM, APP, 1, 2)
    done = run("delete", *KEY)
    assert (done.exit_code, done.stdout) == (0, f"deleted the checkpoint of {STREAM}/{APP}/shardId-0000000000\n")
    assert emulator.checkpoint(STREAM, APP, 0) is None
    assert emulator.checkpoint(STREAM, APP, 1) == ("2", "")


def test_a_rewind_must_be_asked_for(run: Callable[..., Result]) -> None:
    run("commit", *KEY, "--sequence-number", "41")
    refused = run("commit", *KEY, "--sequence-number", "40")
    assert refused.exit_code == 1
    assert "(CHECKPOINT_REGRESSION, effective_sequence_number 41)" in refused.stderr
    assert run("commit", *KEY, "--sequence-number", "40", "--allow-rewind").exit_code == 0


def test_membership_is_passed_on(emulator: Emulator, run: Callable[..., Result]) -> None:
    run("commit", *KEY, "--sequence-number", "1", "--client-id", "c", "--generation-id", "7")
    assert '"client_id":"c","generation_id":"7"' in emulator.requests()[-1].body


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"code": "DIS.4301"}, 3, "STREAM_NOT_FOUND, dis_error_code DIS.4301"),
        ({"code": "DIS.4303"}, 1, "retry in 1 s"),
        ({"code": "DIS.5000"}, 4, "COMMIT_OUTCOME_UNKNOWN"),
        ({"code": "DIS.4201"}, 2, "PARTITION_ID_INVALID"),
        ({"code": "DIS.4702"}, 1, "CONSUMER_FENCED"),
    ],
)
def test_a_failure_says_its_reason_and_has_its_exit_code(
    emulator: Emulator, run: Callable[..., Result], fault: dict[str, str], code: int, words: str
) -> None:
    emulator.inject("error", **fault)
    failed = run("commit", *KEY, "--sequence-number", "1")
    assert (failed.exit_code, failed.stdout) == (code, "")
    assert words in failed.stderr


def test_a_failure_as_json(run: Callable[..., Result]) -> None:
    failed = run("commit", *KEY, "--sequence-number", "1.5", "--output", "json")
    assert failed.exit_code == 2
    error = as_json(failed.stderr)["error"]
    assert (error["code"], error["reason"], error["field"]) == ("INVALID_ARGUMENT", "FIELD_INVALID", "sequence_number")


def test_health_says_serving_and_is_unavailable_where_nobody_answers(run: Callable[..., Result]) -> None:
    assert (run("health").exit_code, run("health").stdout) == (0, "SERVING\n")
    assert as_json(run("health", "--output", "json").stdout) == {"status": "SERVING"}
    assert run("health", "--service", "disgateway.v1.CheckpointService").exit_code == 0
    assert run("health", "--service", "nobody").exit_code == 3
    gone = run("health", "--target", "unix:///nowhere/gateway.sock")
    assert gone.exit_code == 4
    assert "no gateway answers at unix:///nowhere/gateway.sock" in gone.stderr


def test_a_deadline_that_passes_is_exit_code_4(emulator: Emulator, run: Callable[..., Result]) -> None:
    emulator.inject("hold", method="GET")
    late = run("get", *KEY, "--timeout", "0.05")
    emulator.release()
    assert late.exit_code == 4


@pytest.mark.parametrize(
    "args",
    [
        ("get", "--stream", "s", "--app", "a"),
        ("commit", *KEY),
        ("get", *KEY, "--output", "yaml"),
        ("get", *KEY, "--timeout", "0"),
        ("lets",),
    ],
)
def test_wrong_usage_is_exit_code_2(run: Callable[..., Result], args: tuple[str, ...]) -> None:
    assert run(*args).exit_code == 2


def test_the_help_names_every_command_and_every_command_has_help() -> None:
    shown = CliRunner().invoke(root, ["--help"])
    assert shown.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in shown.stdout
        own = CliRunner().invoke(root, [name, "--help"])
        assert own.exit_code == 0
        assert "Options:" in own.stdout


def test_version_names_what_runs() -> None:
    assert CliRunner().invoke(root, ["version"]).stdout.startswith("dis-gateway 0.")
    assert set(as_json(CliRunner().invoke(root, ["version", "--output", "json"]).stdout)) >= {"dis-gateway", "grpcio"}


def test_config_shows_values_and_origins_and_no_secret() -> None:
    env = {
        "DISGW_CREDENTIALS__ACCESS_KEY": "AK-hidden-text",
        "DISGW_CREDENTIALS__SECRET_KEY": "SK-hidden-text",
        "DISGW_CACHE__TTL_SECONDS": "3",
    }
    shown = CliRunner().invoke(root, ["config", "--region", "eu-de"], env=env)
    assert shown.exit_code == 0
    lines = dict(line.split(None, 1) for line in shown.stdout.splitlines())
    assert lines["cache.ttl_seconds"].split(None, 1) == ["3.0", "environment DISGW_CACHE__TTL_SECONDS"]
    assert lines["upstream.region"].split(None, 1) == ['"eu-de"', "flag --region"]
    assert "hidden-text" not in shown.output
    tables = as_json(CliRunner().invoke(root, ["config", "--output", "json"], env=env).stdout)
    assert tables["cache"]["ttl_seconds"]["value"] == 3.0
    assert tables["credentials"]["secret_key"]["value"] == "(hidden)"


def test_config_says_what_serve_would_refuse() -> None:
    shown = CliRunner().invoke(root, ["config"])
    assert shown.exit_code == 0
    assert "serve would refuse this: upstream.endpoint: is missing" in shown.stderr
    assert CliRunner().invoke(root, ["config", "--check"]).exit_code == 2
