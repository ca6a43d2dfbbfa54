"""Who the gateway is towards DIS: a frozen snapshot that signs one attempt, and where snapshots come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.errors import ConfigurationError

ACCESS_KEY_FILE = "access_key"
SECRET_KEY_FILE = "secret_key"
SECURITY_TOKEN_FILE = "security_token"
TOKEN_FILE = "token"


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


@dataclass(frozen=True, slots=True, repr=False)
class StaticCredentials:
    """Credentials that were given at start and stay."""

    credentials: Credentials

    def snapshot(self) -> Credentials:
        """Always the same."""
        return self.credentials


def secret_problem(text: str) -> str:
    """What is wrong with a key or token; empty where nothing is. It never holds the text itself."""
    if text != text.strip():
        return "begins or ends with white space"
    if not (text.isascii() and text.isprintable()):
        return "may hold only printable ASCII characters"
    return ""


def read_directory(directory: Path) -> Credentials:
    """Credentials from a mounted secret: files ``access_key``, ``secret_key``, ``security_token``, or ``token``.

    Surrounding white space is dropped. Raises :class:`ConfigurationError` for a missing, unreadable or empty file.
    """
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
