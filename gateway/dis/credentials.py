"""Who the gateway is towards DIS: a frozen snapshot that signs one attempt, and where snapshots come from."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from gateway.errors import ConfigurationError

ACCESS_KEY_FILE = "access_key"
SECRET_KEY_FILE = "secret_key"
SECURITY_TOKEN_FILE = "security_token"
TOKEN_FILE = "token"
_FILES = (ACCESS_KEY_FILE, SECRET_KEY_FILE, SECURITY_TOKEN_FILE, TOKEN_FILE)
CHECK_SECONDS = 1.0
"""How long credentials from a directory are used before the directory is looked at again."""
_TRIES = 10

log = structlog.get_logger("gateway.dis")


@dataclass(frozen=True, slots=True, repr=False)
class KeyPair:
    """An access key and its secret; a temporary pair also has a security token."""

    access_key: str
    secret_key: str
    security_token: str = ""

    def __repr__(self) -> str:
        return "KeyPair(hidden)"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(text for text in (self.secret_key, self.security_token) if text)


@dataclass(frozen=True, slots=True, repr=False)
class AuthToken:
    """A token of the identity service, sent instead of a signature."""

    token: str

    def __repr__(self) -> str:
        return "AuthToken(hidden)"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self.token,)


Credentials = KeyPair | AuthToken


class CredentialsProvider(Protocol):
    """Gives the credentials that are valid now; each attempt takes one snapshot and signs from it alone."""

    def snapshot(self) -> Credentials:
        """The credentials of this moment."""
        ...

    def reload(self, rejected: Credentials) -> Credentials:
        """Look at once whether there are newer ones, as DIS has rejected these; gives what is valid then."""
        ...

    @property
    def expires(self) -> datetime | None:
        """When those in use expire; None where they do not, or nobody said so."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class StaticCredentials:
    """Credentials that were given at start and stay."""

    credentials: Credentials
    expires = None

    def snapshot(self) -> Credentials:
        """Always the same."""
        return self.credentials

    def reload(self, rejected: Credentials) -> Credentials:
        """There are no others."""
        return self.credentials


class WatchedCredentials:
    """Credentials from files that the platform may replace at any time. Thread-safe.

    They are looked at again at most every ``CHECK_SECONDS``; where the new ones cannot be read, the old ones stay.
    Raises :class:`ConfigurationError` if there are none to begin with.
    """

    expires = None

    def __init__(self, path: Path, clock: Callable[[], float], *, directory: bool = True) -> None:
        self._path = path
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = _fingerprint(path)
        self._checked = clock()
        self._credentials = read_credentials(path, directory=directory)

    def snapshot(self) -> Credentials:
        """What the files have, as of a moment ago."""
        if self._clock() - self._checked >= CHECK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._credentials

    def reload(self, rejected: Credentials) -> Credentials:
        """What the files have now."""
        with self._lock:
            self._look()
        return self._credentials

    def _look(self) -> None:
        self._checked = self._clock()
        seen = _fingerprint(self._path)
        if seen == self._seen:
            return
        try:
            self._credentials = read_credentials(self._path, directory=self._directory)
        except ConfigurationError as error:
            log.warning("credentials_not_reloaded", problem=error.problem)
            return
        self._seen = seen
        log.info("credentials_reloaded", path=str(self._path))


def secret_problem(text: str) -> str:
    """What is wrong with a key or token; empty where nothing is. It never holds the text itself."""
    if text != text.strip():
        return "begins or ends with white space"
    if not (text.isascii() and text.isprintable()):
        return "may hold only printable ASCII characters"
    return ""


def _fingerprint(path: Path) -> tuple[object, ...]:
    """Changes when a file of the secret does."""
    marks: list[object] = []
    for file in (path, *(path / name for name in _FILES)):
        try:
            about = file.stat()
        except OSError:
            marks.append(None)
        else:
            # of the directory itself only which one it is: what else lies in it does not matter
            marks.append((about.st_ino, about.st_mtime_ns, about.st_size) if stat.S_ISREG(about.st_mode) else None)
    return tuple(marks)


def read_credentials(path: Path, *, directory: bool = True) -> Credentials:
    """Credentials from a mounted secret, or from a JSON file; ``directory`` says which one was meant.

    A secret is a directory with files ``access_key``, ``secret_key``, ``security_token``, or ``token``. A JSON file has
    members of these names; the document of the metadata service (``{"credential": {"access": ...}}``) is read as well.
    Surrounding white space is dropped. Raises :class:`ConfigurationError` for what is missing, unreadable or empty.

    Kubernetes replaces all files of a secret at once, by a link: files of two versions are never put together.
    """
    if not path.exists():
        raise ConfigurationError(f"credentials.{'directory' if directory else 'file'}", f"there is no {path}")
    for _ in range(_TRIES):
        before = _fingerprint(path)
        credentials = _read_directory(path) if path.is_dir() else _read_file(path)
        if _fingerprint(path) == before:
            return credentials
    raise ConfigurationError("credentials.directory", f"{path} changes while it is read")


class _Document(msgspec.Struct):
    """A JSON file, in either of its shapes."""

    access_key: str = ""
    secret_key: str = ""
    security_token: str = ""
    token: str = ""
    access: str = ""
    secret: str = ""
    securitytoken: str = ""
    credential: _Document | None = None


def _read_file(path: Path) -> Credentials:
    where = "credentials.file"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Document)
    except OSError as error:
        raise ConfigurationError(where, f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # its text is secret
        raise ConfigurationError(where, f"{path} is not a JSON object of strings") from None
    found = found.credential or found
    pair = KeyPair(
        (found.access_key or found.access).strip(),
        (found.secret_key or found.secret).strip(),
        (found.security_token or found.securitytoken).strip(),
    )
    token = AuthToken(found.token.strip())
    if bool(token.token) == bool(pair.access_key and pair.secret_key):
        raise ConfigurationError(where, f"{path} must have access_key and secret_key, or token")
    credentials: Credentials = token if token.token else pair
    for secret in (pair.access_key, *credentials.secrets):
        if problem := secret_problem(secret):
            raise ConfigurationError(where, f"a value in {path} {problem}")
    return credentials


def _read_directory(directory: Path) -> Credentials:
    if (directory / TOKEN_FILE).exists():
        if (directory / ACCESS_KEY_FILE).exists():
            raise ConfigurationError(
                "credentials.directory", f"{directory} holds both {TOKEN_FILE} and {ACCESS_KEY_FILE}: keep one of them"
            )
        return AuthToken(_read_secret(directory / TOKEN_FILE))
    security_token = directory / SECURITY_TOKEN_FILE
    return KeyPair(
        _read_secret(directory / ACCESS_KEY_FILE),
        _read_secret(directory / SECRET_KEY_FILE),
        _read_secret(security_token) if security_token.exists() else "",
    )


def _read_secret(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError("credentials.directory", f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError("credentials.directory", f"{file} is not UTF-8 text") from None
    if not text:
        raise ConfigurationError("credentials.directory", f"{file} is empty")
    problem = secret_problem(text)
    if problem:
        raise ConfigurationError("credentials.directory", f"{file} {problem}")
    return text
