"""What the Kubernetes manifests name exists in the product, and they hold together."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import click
import kubernetes_validate
import pytest
import urllib3

from gateway.cli.root import root
from gateway.config import TARGET_VARIABLE, Config, keys, load, require_serving
from gateway.dis.credentials import ACCESS_KEY_FILE, SECRET_KEY_FILE, SECURITY_TOKEN_FILE, read_credentials
from gateway.emulator import Emulator
from tests.deploy.manifests import (
    CREDENTIALS_VOLUME,
    DEPLOY,
    KUBERNETES,
    OVERLAYS,
    ROOT,
    SOCKET_VOLUME,
    Workload,
    documents,
    mounts,
    rendered,
)
from tests.support import Running, config_for

VERSIONS = {
    "native-sidecar": ["1.29", "1.33", "1.37"],
    "classic-sidecar": ["1.27", "1.37"],
    "job": ["1.29", "1.33", "1.37"],
}
NATIVE = ["native-sidecar", "job"]
PAGES = [ROOT / "docs" / "kubernetes.md", ROOT / "docs" / "image.md"]


@pytest.fixture(params=OVERLAYS)
def workload(request: pytest.FixtureRequest) -> Workload:
    return Workload(rendered(request.param))


@pytest.fixture
def admin(emulator: Emulator, start: Callable[[Config], Running]) -> str:
    return f"http://{start(config_for(emulator)).gateway.admin_address}"


def config_of(workload: Workload) -> Config:
    return load({}, workload.environ).config


@pytest.mark.parametrize(("overlay", "version"), [(name, one) for name in OVERLAYS for one in VERSIONS[name]])
def test_every_object_is_as_the_published_schemas_say(overlay: str, version: str) -> None:
    for one in rendered(overlay):
        kubernetes_validate.validate(one, version, strict=True)


def test_a_wrong_field_would_be_noticed() -> None:
    workload = Workload(rendered("native-sidecar"))
    workload.gateway["restartPolicies"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(workload.object, "1.33", strict=True)


def test_serve_takes_the_environment(workload: Workload) -> None:
    require_serving(config_of(workload))


def test_the_arguments_are_a_command(workload: Workload) -> None:
    command_line(workload.gateway["args"])


def test_probes_ask_what_the_gateway_answers(workload: Workload, admin: str) -> None:
    ports = {one["name"]: one["containerPort"] for one in workload.gateway["ports"]}
    assert ports == {"dis-admin": int(config_of(workload).server.admin_listen.rpartition(":")[2])}
    for kind, path in (("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")):
        probe = workload.gateway[kind]["httpGet"]
        assert probe == {"path": path, "port": "dis-admin"}
        assert urllib3.request("GET", f"{admin}{path}").status == 200


def test_the_kubelet_reaches_the_admin_port_and_nobody_reaches_grpc(workload: Workload) -> None:
    server = config_of(workload).server
    assert server.admin_listen.startswith("0.0.0.0:")  # probes come to the pod's address, not to loopback
    assert server.listen.startswith("unix:")
    assert not server.insecure


def test_the_socket_is_shared(workload: Workload) -> None:
    directory = mounts(workload.gateway)[SOCKET_VOLUME]
    assert config_of(workload).server.listen == f"unix://{directory}/gateway.sock"
    assert mounts(workload.consumer)[SOCKET_VOLUME] == directory
    assert workload.volume(SOCKET_VOLUME)["emptyDir"]["medium"] == "Memory"
    read_only = {one["name"]: one.get("readOnly", False) for one in workload.consumer["volumeMounts"]}
    assert read_only[SOCKET_VOLUME]
    target = {one["name"]: one["value"] for one in workload.consumer["env"]}[TARGET_VARIABLE]
    assert target == workload.environ[TARGET_VARIABLE] == config_of(workload).server.listen


def test_the_gateway_alone_has_the_credentials(workload: Workload, tmp_path: Any) -> None:
    assert config_of(workload).credentials.directory == workload.credentials_path
    assert CREDENTIALS_VOLUME not in mounts(workload.consumer)
    pair, temporary = (one["secret"] for one in workload.volume(CREDENTIALS_VOLUME)["projected"]["sources"])
    assert [one["path"] for one in pair["items"]] == [ACCESS_KEY_FILE, SECRET_KEY_FILE]
    assert [one["path"] for one in temporary["items"]] == [SECURITY_TOKEN_FILE]
    assert temporary["optional"]
    for item in pair["items"]:
        (tmp_path / item["path"]).write_text("x")
    read_credentials(tmp_path)


def test_pods_keep_to_the_restricted_standard(workload: Workload) -> None:
    assert workload.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert workload.pod["automountServiceAccountToken"] is False
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    assert {next(name for name in volume if name != "name") for volume in workload.pod["volumes"]} <= allowed
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(workload.pod)
    for container in workload.all_containers:
        context = container["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"] > 0
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])


def test_the_user_is_that_of_the_image(workload: Workload) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    context = workload.gateway["securityContext"]
    assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile
    assert context["runAsGroup"] == workload.fs_group


def test_the_gateway_has_time_to_start_and_to_stop(workload: Workload) -> None:
    server = config_of(workload).server
    assert workload.pod["terminationGracePeriodSeconds"] >= server.grace_seconds + 5
    startup = workload.gateway["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > server.startup_seconds


@pytest.mark.parametrize("overlay", NATIVE)
def test_a_native_sidecar_starts_before_the_consumer_and_ends_after_it(overlay: str) -> None:
    workload = Workload(rendered(overlay))
    assert workload.init_containers == [workload.gateway]
    assert workload.gateway["restartPolicy"] == "Always"


def test_a_classic_sidecar_is_the_same_container_and_the_first() -> None:
    native, classic = (Workload(rendered(name)) for name in ("native-sidecar", "classic-sidecar"))
    assert classic.init_containers == []
    assert classic.containers[0] == classic.gateway
    assert {**classic.gateway, "restartPolicy": "Always"} == native.gateway


def test_the_network_policy_is_for_these_pods_and_ports(workload: Workload) -> None:
    (policy,) = (one["spec"] for one in workload.objects if one["kind"] == "NetworkPolicy")
    labels = workload.template["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    ((ingress,),) = (policy["ingress"],)
    assert [one["port"] for one in ingress["ports"]] == [workload.gateway["ports"][0]["containerPort"]]
    assert sorted({port["port"] for rule in policy["egress"] for port in rule["ports"]}) == [53, 443]


def test_prometheus_is_sent_to_the_same_port(workload: Workload) -> None:
    (monitor,) = documents(KUBERNETES / "components" / "pod-monitor" / "pod-monitor.yaml")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= workload.template["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == workload.gateway["ports"][0]["name"]
    assert endpoint["path"] == "/metrics"


def test_placeholders_are_seen_to_be_such(workload: Workload) -> None:
    for container in workload.all_containers:
        assert re.fullmatch(r"registry\.example/[a-z-]+:placeholder", container["image"])


def test_every_variable_and_command_in_files_and_pages_exists() -> None:
    files = [file for file in DEPLOY.rglob("*") if file.is_file()] + PAGES
    texts = [file.read_text(encoding="utf-8") for file in files]
    known = {key.variable for key in keys()} | {TARGET_VARIABLE, "DISGW_CONFIG"}
    assert {name for text in texts for name in re.findall(r"\bDISGW_[A-Z_]+\b", text)} <= known
    for text in texts:
        for line in re.findall(r"(?:^    |`|-- )dis-gateway ([a-z][^`\n]*)", text, re.MULTILINE):
            command_line(shlex.split(line))


def command_line(words: list[str]) -> None:
    """Fails unless there is such a command with such options."""
    command = root.get_command(click.Context(root), words[0])
    assert command is not None, words
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word.partition("=")[0] for word in words[1:] if word.startswith("--")} <= options, words
