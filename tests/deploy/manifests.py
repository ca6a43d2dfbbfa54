"""The Kubernetes manifests as they are rendered, and what a pod of them looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
GATEWAY = "dis-gateway"
SOCKET_VOLUME, CREDENTIALS_VOLUME = "dis-gateway-socket", "dis-credentials"

Object = dict[str, Any]


def rendered(overlay: str) -> list[Object]:
    """Every object of an overlay."""
    return documents(KUBERNETES / "rendered" / f"{overlay}.yaml")


def documents(file: Path) -> list[Object]:
    """Every document of a YAML file."""
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


class Workload:
    """The Deployment or Job among objects, and its two containers."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects
        (self.object,) = (one for one in objects if one["kind"] in ("Deployment", "Job"))
        self.template: Object = self.object["spec"]["template"]
        self.pod: Object = self.template["spec"]
        self.init_containers: list[Object] = self.pod.get("initContainers", [])
        self.containers: list[Object] = self.pod["containers"]
        (self.gateway,) = (one for one in self.all_containers if one["name"] == GATEWAY)
        (self.consumer,) = (one for one in self.all_containers if one["name"] != GATEWAY)

    @property
    def all_containers(self) -> list[Object]:
        return [*self.init_containers, *self.containers]

    @property
    def environ(self) -> dict[str, str]:
        """What the gateway gets, of two values the later one."""
        maps = {one["metadata"]["name"]: one["data"] for one in self.objects if one["kind"] == "ConfigMap"}
        environ: dict[str, str] = {}
        for source in self.gateway["envFrom"]:
            environ.update(maps[source["configMapRef"]["name"]])
        return environ

    @property
    def fs_group(self) -> int:
        return int(self.pod["securityContext"]["fsGroup"])

    @property
    def gateway_mounts(self) -> dict[str, str]:
        return mounts(self.gateway)

    @property
    def credentials_path(self) -> str:
        return self.gateway_mounts[CREDENTIALS_VOLUME]

    def volume(self, name: str) -> Object:
        (found,) = (one for one in self.pod["volumes"] if one["name"] == name)
        return dict(found)


def mounts(container: Object) -> dict[str, str]:
    """Where a container sees which volume."""
    return {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
