"""Unix sockets: put into place with their mode, never over one that somebody listens on, and taken away at the end.

gRPC would unlink whatever lies at the path, open the socket to whom the umask allows, and at the end unlink whatever
lies there by then. So it binds in a directory that nobody else may enter; what stands at the path is a link of ours.
"""

from __future__ import annotations

import fcntl
import grp
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ListenError

LOCK_SECONDS = 5.0
"""Longest wait for other gateways that start in the same directory."""
_POLL_SECONDS = 0.01
_PRIVATE = ".%s.new"
_SOCKET = "s"


@dataclass(frozen=True, slots=True)
class SocketAccess:
    """Who may connect. ``group`` is a name or a number; empty: that of the process."""

    mode: int = 0o660
    group: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A socket that was put into place, and the file that it was then. ``bound_as``: where it was bound."""

    path: Path
    bound_as: Path
    device: int
    inode: int

    def remove(self) -> None:
        """Take it away, unless another file is there by now, or others are at it: the next start replaces it."""
        with suppress(OSError, ListenError), _locked(self.path.parent, 0.0):
            about = self.path.lstat()
            if (about.st_dev, about.st_ino) == (self.device, self.inode):
                self.path.unlink()


def place(path: Path, access: SocketAccess, listen: Callable[[Path], None]) -> Placed:
    """Let ``listen`` bind a socket, and put it at ``path``.

    Of two gateways that start at once the second finds that the first one listens. Raises :class:`ListenError`, or
    :class:`OSError`.
    """
    with _locked(path.parent):
        _refuse_living(path)
        private = path.parent / (_PRIVATE % path.name)
        bound = private / _SOCKET
        _clear(private)
        private.mkdir(mode=0o700)
        try:
            listen(bound)
            if access.group:
                os.chown(bound, -1, _group(access.group))
            bound.chmod(access.mode)
            about = bound.lstat()
            bound.rename(path)
        finally:
            _clear(private)
    return Placed(path, bound, about.st_dev, about.st_ino)


def _refuse_living(path: Path) -> None:
    """Only a socket that nobody answers on may be replaced."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on unix:{path}: the file exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
        except OSError as error:
            raise ListenError(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    raise ListenError(f"cannot listen on unix:{path}: another process is listening there")


def _clear(private: Path) -> None:
    """Remove what this gateway, or one that was killed in the middle, has left."""
    try:
        about = private.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
        raise ListenError(f"{private} is in the way, and is not of this user: remove it")
    (private / _SOCKET).unlink(missing_ok=True)
    private.rmdir()


def _group(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ListenError(f"there is no group {name} (server.socket_group)") from None


@contextmanager
def _locked(directory: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """One gateway at a time. The lock is on the directory itself, so that nothing is left of it."""
    if not directory.is_dir():
        raise ListenError(f"there is no directory {directory}")
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(1 + round(seconds / _POLL_SECONDS)):
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
            else:
                break
        else:
            raise ListenError(f"another process holds a lock on {directory}")
        yield
    finally:
        os.close(opened)
