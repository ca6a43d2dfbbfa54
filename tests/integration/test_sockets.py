"""Unix sockets: who may connect, what happens to a file that is there, and what is left at the end."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import Config, ServerConfig
from gateway.emulator import Emulator
from gateway.errors import ListenError
from gateway.rpc import sockets
from gateway.rpc.sockets import SocketAccess, place
from tests.support import Client, Running, config_for

Start = Callable[[Config], Running]


def serving(path: Path, **fields: str) -> ServerConfig:
    return ServerConfig(listen=f"unix://{path}", admin_listen="", **fields)


def left_in(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


@pytest.fixture
def stale(tmp_path: Path) -> Path:
    """A socket file that nobody listens on any more."""
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
        gone.listen()
    return path


@pytest.mark.parametrize(("mode", "bits"), [("0660", 0o660), ("600", 0o600), ("0666", 0o666)])
def test_a_socket_has_the_mode_and_group_that_were_asked_for(
    emulator: Emulator, start: Start, tmp_path: Path, mode: str, bits: int
) -> None:
    path = tmp_path / "gateway.sock"
    group = os.getgroups()[-1] if os.getgroups() else os.getgid()
    running = start(config_for(emulator, server=serving(path, socket_mode=mode, socket_group=str(group))))
    about = path.stat()
    assert (stat.S_IMODE(about.st_mode), about.st_gid) == (bits, group)
    assert running.client.commit(1).effective.sequence_number == "1"
    assert left_in(tmp_path) == ["gateway.sock"]
    running.gateway.stop()
    assert left_in(tmp_path) == []


def test_a_group_that_is_not_there_is_said(emulator: Emulator, start: Start, tmp_path: Path) -> None:
    with pytest.raises(ListenError, match=r"no group no-such-group \(server.socket_group\)"):
        start(config_for(emulator, server=serving(tmp_path / "s", socket_group="no-such-group")))
    assert left_in(tmp_path) == []


def test_until_it_has_its_mode_a_socket_is_where_nobody_else_can_go(tmp_path: Path) -> None:
    modes: list[int] = []

    def listen(path: Path) -> None:
        before = os.umask(0)
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(path))
        os.umask(before)
        modes.append(stat.S_IMODE(path.parent.stat().st_mode))
        assert not (tmp_path / "s").exists()

    place(tmp_path / "s", SocketAccess(0o600), listen)
    assert modes == [0o700]
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_of_gateways_that_start_at_once_one_serves_and_keeps_the_socket(emulator: Emulator, stale: Path) -> None:
    gateways = [Gateway(config_for(emulator, server=serving(stale))) for _ in range(4)]
    together = threading.Barrier(len(gateways))

    def begin(gateway: Gateway) -> str:
        together.wait()
        try:
            gateway.start()
        except ListenError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(gateways)) as pool:
        problems = list(pool.map(begin, gateways))
    started = [gateway for gateway, problem in zip(gateways, problems, strict=True) if not problem]
    assert len(started) == 1
    assert set(problems) - {""} == {f"cannot listen on unix:{stale}: another process is listening there"}
    client = Client(f"unix://{stale}")
    assert client.commit(1).effective.sequence_number == "1"
    client.channel.close()
    started[0].stop()
    assert left_in(stale.parent) == []


def test_a_gateway_that_ends_leaves_the_socket_of_the_next_one_alone(
    emulator: Emulator, start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.sock"
    first = start(config_for(emulator, server=serving(path)))
    path.unlink()  # somebody has cleared the directory
    second = start(config_for(emulator, server=serving(path)))
    first.gateway.stop()
    assert path.exists()
    assert second.client.commit(1).effective.sequence_number == "1"


def test_what_a_killed_gateway_has_left_is_cleared(emulator: Emulator, start: Start, stale: Path) -> None:
    private = stale.parent / ".gateway.sock.new"
    private.mkdir()
    with socket.socket(socket.AF_UNIX) as half_way:
        half_way.bind(str(private / "s"))
    running = start(config_for(emulator, server=serving(stale)))
    running.client.commit(1)
    assert left_in(stale.parent) == ["gateway.sock"]


def test_what_is_not_ours_is_left_alone(emulator: Emulator, start: Start, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "s").write_text("mine")
    (tmp_path / ".gateway.sock.new").symlink_to(elsewhere)
    with pytest.raises(ListenError, match="is in the way"):
        start(config_for(emulator, server=serving(tmp_path / "gateway.sock")))
    assert (elsewhere / "s").read_text() == "mine"


def test_a_failed_start_takes_its_sockets_away(emulator: Emulator, start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    server = ServerConfig(listen=f"unix:{tmp_path}/first,unix:{tmp_path}/file", admin_listen="")
    with pytest.raises(ListenError, match="not a socket"):
        start(config_for(emulator, server=server))
    assert left_in(tmp_path) == ["file"]


@pytest.mark.parametrize(("path", "words"), [("none/s", "there is no directory"), ("d" * 80 + "/s", "no directory")])
def test_a_place_that_cannot_be_used_is_said(
    emulator: Emulator, start: Start, tmp_path: Path, path: str, words: str
) -> None:
    with pytest.raises(ListenError, match=words):
        start(config_for(emulator, server=serving(tmp_path / path)))


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[None]:
    opened = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)
    yield
    os.close(opened)


@pytest.mark.usefixtures("locked")
def test_a_lock_of_another_process_is_waited_for_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LOCK_SECONDS", 0.02)
    with pytest.raises(ListenError, match="holds a lock"):
        place(tmp_path / "s", SocketAccess(), lambda path: None)
