"""Stubs for languages that have no client here can be made from the proto."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import google.rpc.status_pb2
import pytest

ROOT = Path(__file__).parents[2]
INCLUDE = Path(google.rpc.status_pb2.__file__).parents[2]


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        assert os.environ.get("REQUIRE_ALL") != "1", f"{name} is missing: it comes with Debian's protobuf-compiler-grpc"
        pytest.skip(f"there is no {name} here")
    return found


def generated(folder: Path, *options: str) -> set[str]:
    command = [tool("protoc"), "-I", ROOT / "protos", "-I", INCLUDE, *options, "disgateway/v1/checkpoint.proto"]
    subprocess.run(command, check=True, capture_output=True, timeout=50)
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_stubs_for_php_can_be_made(tmp_path: Path) -> None:
    plugin = f"--plugin=protoc-gen-grpc={tool('grpc_php_plugin')}"
    files = generated(tmp_path, f"--php_out={tmp_path}", f"--grpc_out={tmp_path}", plugin)
    assert {"Disgateway/V1/CheckpointServiceClient.php", "Disgateway/V1/CheckpointKey.php"} <= files


def test_messages_for_c_sharp_can_be_made(tmp_path: Path) -> None:
    assert generated(tmp_path, f"--csharp_out={tmp_path}") == {"Checkpoint.cs"}
    assert "namespace DisGateway.V1 {" in (tmp_path / "Checkpoint.cs").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(("project", "stubs"), [(".", "gateway/_gen"), ("clients/python", "clients/python")])
def test_the_stubs_for_python_work_with_the_oldest_libraries_that_their_project_takes(project: str, stubs: str) -> None:
    settings = tomllib.loads((ROOT / project / "pyproject.toml").read_text())["project"]
    oldest = dict(re.findall(r"(grpcio|protobuf)>=([\d.]+)", " ".join(settings["dependencies"])))
    folder = ROOT / stubs / "disgateway" / "v1"
    messages, services = (folder / f"checkpoint_{kind}.py" for kind in ("pb2", "pb2_grpc"))
    made_by = re.search(r"ValidateProtobufRuntimeVersion\(\D+(\d+),\s+(\d+),\s+(\d+),", messages.read_text())
    assert made_by
    assert oldest["protobuf"] == ".".join(made_by.groups())
    assert f"GRPC_GENERATED_VERSION = '{oldest['grpcio']}'" in services.read_text()
