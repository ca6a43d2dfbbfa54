"""Who the gateway is towards DIS: a frozen snapshot that signs one attempt, and where snapshots come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from gateway.errors import ConfigurationError
from gateway.watched import Watched

ACCESS_KEY_FILE = "access_key"
SECRET_KEY_FILE = "secret_key"
SECURITY_TOKEN_FILE = "security_token"
TOKEN_FILE = "token"
_FILES = (ACCESS_KEY_FILE, SECRET_KEY_FILE, SECURITY_TOKEN_FILE, TOKEN_FILE)


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

    Where the new ones cannot be read, the old ones stay; see :class:`gateway.watched.Watched`. Raises
    :class:`ConfigurationError` if there are none to begin with.
    """

    expires = None

    def __init__(self, path: Path, clock: Callable[[], float], *, directory: bool = True) -> None:
        # of a directory only these: what else lies in it does not matter
        files = [path / name for name in _FILES] if directory else [path]
        self._files = Watched("credentials", files, lambda: read_credentials(path, directory=directory), clock)

    def snapshot(self) -> Credentials:
        """What the files have, as of a moment ago."""
        return self._files.current()

    def reload(self, rejected: Credentials) -> Credentials:
        """What the files have now."""
        return self._files.latest()


def secret_problem(text: str) -> str:
    """What is wrong with a key or token; empty where nothing is. It never holds the text itself."""
    if text != text.strip():
        return "begins or ends with white space"
    if not (text.isascii() and text.isprintable()):
        return "may hold only printable ASCII characters"
    return ""


def read_credentials(path: Path, *, directory: bool = True) -> Credentials:
    """Credentials from a mounted secret, or from a JSON file; ``directory`` says which one was meant.

    A secret is a directory with files ``access_key``, ``secret_key``, ``security_token``, or ``token``. A JSON file has
    members of these names; the document of the metadata service (``{"credential": {"access": ...}}``) is read as well.
    Surrounding white space is dropped. Raises :class:`ConfigurationError` for what is missing, unreadable or empty.
    """
    where = f"credentials.{'directory' if directory else 'file'}"
    try:
        if not path.exists():
            raise ConfigurationError(where, f"there is no {path}")
        return _read_directory(path) if directory else _read_file(path)
    except OSError as error:  # even whether a file is there may not be for this user to know
        raise ConfigurationError(where, f"{path} cannot be read: {error.strerror}") from None


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
