"""What alerts and dashboard ask for is what a gateway shows, and each alert has a test and is explained."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config
from gateway.emulator import Emulator
from tests.deploy.manifests import DEPLOY, ROOT, documents
from tests.support import APP, STREAM, Running, config_for, key

RULES = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
SCRAPED = {"namespace", "pod"}
"""Labels that Prometheus adds when it scrapes a pod."""
SELECTOR = re.compile(r"([a-z_]+)\{([^}]*)\}")
METRIC = re.compile(r"\b(?:disgw|process)_[a-z_]+\b")
GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")


def alerts() -> list[dict[str, Any]]:
    (content,) = documents(RULES)
    return [rule for group in content["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return content


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> dict[str, str]:
    """Everything that is asked, by where."""
    found = {rule["alert"]: rule["expr"] for rule in alerts()}
    for panel in panels():
        found.update({f"panel {panel['title']} {one['refId']}": one["expr"] for one in panel["targets"]})
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            found[f"variable {variable['name']}"] = variable["query"]["query"].replace("label_values", "")
    return found


@pytest.fixture
def shown(emulator: Emulator, start: Callable[[Config], Running]) -> Mapping[str, set[str]]:
    """The names that ``/metrics`` has after some calls, each with its labels."""
    running = start(config_for(emulator))
    running.client.commit(41)
    running.client.get()
    running.client.failure(running.client.commit, 40)
    running.client.stub.ListCheckpoints(pb.ListCheckpointsRequest(stream_name=STREAM, app_name=APP), timeout=20)
    running.client.stub.BatchGetCheckpoints(pb.BatchGetCheckpointsRequest(keys=[key()]), timeout=20)
    text = urllib3.request("GET", f"http://{running.gateway.admin_address}/metrics").data.decode()
    names: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        names[family.name] = set()
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    return names


def test_every_metric_and_label_that_is_asked_for_is_shown(shown: Mapping[str, set[str]]) -> None:
    for place, query in queries().items():
        named = METRIC.findall(query)
        assert named, place
        assert set(named) <= set(shown), place
        labels = SCRAPED.union(*(shown[name] for name in named))
        for grouping in GROUPING.findall(query):
            assert {label.strip() for label in grouping.split(",")} <= labels, f"{place}: {grouping}"
        for name, matchers in SELECTOR.findall(query):
            asked = set(re.findall(r"([a-z_]+)(?:=~|!~|!=|=)", matchers))
            assert asked <= shown[name] | SCRAPED, f"{place}: {name}"


def test_codes_and_results_that_are_asked_for_can_be() -> None:
    codes = {code.name for code in grpc.StatusCode}
    for place, query in queries().items():
        for asked in re.findall(r'code=~"([^"]*)"', query):
            assert set(asked.split("|")) <= codes, place


def test_what_alerts_say_names_labels_that_they_have() -> None:
    for rule in alerts():
        grouped = {label.strip() for one in GROUPING.findall(rule["expr"]) for label in one.split(",")}
        said = set(re.findall(r"\$labels\.([a-z_]+)", json.dumps(rule["annotations"])))
        assert said <= grouped, rule["alert"]


def test_every_alert_is_explained_and_tested() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    (tests,) = documents(DEPLOY / "prometheus" / "alerts_test.yaml")
    fired = {
        re.search(r'alertname="(\w+)"', one["expr"]).group(1)  # type: ignore[union-attr]
        for test in tests["tests"]
        for one in test["promql_expr_test"]
        if one["exp_samples"]
    }
    assert fired == set(names)
    for rule in alerts():
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert f"`{rule['alert']}`" in page


def test_the_dashboard_holds_together() -> None:
    everything = dashboard()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for one, other in itertools.combinations(everything, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    for panel in panels():
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert {one["datasource"]["uid"] for one in panel["targets"]} == {"${datasource}"}
        for one in panel["targets"]:
            assert 'namespace=~"$namespace",pod=~"$pod"' in one["expr"], panel["title"]


@pytest.fixture
def promtool() -> str:
    found = os.environ.get("PROMTOOL", "")
    if not found:
        pytest.skip("`make deploy-check` runs this, with promtool")
    return found


def test_prometheus_understands_every_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    rules = []
    for panel in panels():
        for one in panel["targets"]:
            query = one["expr"].replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$pod", ".*")
            rules.append({"record": f"panel_{panel['id']}:{one['refId'].lower()}", "expr": query})
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Whether two panels cover each other."""
    apart = (
        one["x"] + one["w"] <= other["x"]
        or other["x"] + other["w"] <= one["x"]
        or one["y"] + one["h"] <= other["y"]
        or other["y"] + other["h"] <= one["y"]
    )
    return not apart
