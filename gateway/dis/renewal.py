"""Renews credentials that expire: early, once, in the background, and never by all callers at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from gateway.dis.credentials import Credentials
from gateway.dis.sources import Source
from gateway.errors import CredentialsUnavailable

EARLY = timedelta(minutes=10)
"""So long before they expire, or in the last fifth of their life if that is shorter, new ones are fetched."""
_LAST_PART = 5
_AT_LEAST = timedelta(minutes=1)
"""New ones are used for so long even if this clock says that they have expired: it may be wrong."""
_JUST_NOW = timedelta(seconds=5)

log = structlog.get_logger("gateway.dis")


def in_background(work: Callable[[], None]) -> None:
    """Run it on a thread of its own."""
    threading.Thread(target=work, name="credentials", daemon=True).start()


class RenewedCredentials:
    """Credentials from a source. Thread-safe. ``now`` gives the time with its zone, ``run`` starts background work.

    A renewal that fails early leaves the old ones in use until they expire, and is tried again after a while.
    """

    def __init__(
        self,
        source: Source,
        now: Callable[[], datetime],
        run: Callable[[Callable[[], None]], None] = in_background,
    ) -> None:
        self._source = source
        self._now = now
        self._run = run
        self._fetching = threading.Lock()
        self._renewing = threading.Lock()
        self._fetched_at = datetime.min.replace(tzinfo=now().tzinfo)
        self._current: tuple[Credentials, datetime, datetime] | None = None
        self._failure: CredentialsUnavailable | None = None
        self._not_before = datetime.min.replace(tzinfo=now().tzinfo)

    @property
    def expires(self) -> datetime | None:
        """When those in use expire; None before the first are there."""
        current = self._current
        return None if current is None else current[1]

    def snapshot(self) -> Credentials:
        """The credentials of this moment. Waits only where there are none. Raises :class:`CredentialsUnavailable`."""
        current, now = self._current, self._now()
        if current is None or now >= current[1]:
            with self._fetching:
                current = self._current
                if current is None or self._now() >= current[1]:
                    current = self._fetch()
        elif now >= current[2] and now >= self._not_before and self._renewing.acquire(blocking=False):
            self._run(self._renew)
        return current[0]

    def reload(self, rejected: Credentials) -> Credentials:
        """Fetch new ones now, as DIS has rejected these; what is in use where that fails, or was done just now."""
        with self._fetching:
            current = self._current
            if current is not None and (current[0] != rejected or self._now() - self._fetched_at < _JUST_NOW):
                return current[0]
            try:
                return self._fetch()[0]
            except CredentialsUnavailable:
                if self._current is None:
                    raise
                return self._current[0]

    def _renew(self) -> None:
        try:
            with self._fetching:
                self._fetch()
        except CredentialsUnavailable:
            pass  # it is in the log, and those in use are still valid
        finally:
            self._renewing.release()

    def _fetch(self) -> tuple[Credentials, datetime, datetime]:
        """Ask the source, unless it has just failed. The caller holds ``_fetching``."""
        now = self._now()
        if self._failure is not None and now < self._not_before:
            raise CredentialsUnavailable(self._failure.message, retry_after=self._failure.retry_after)
        try:
            credentials, expires = self._source.fetch()
        except CredentialsUnavailable as error:
            self._failure = error
            self._not_before = now + timedelta(seconds=error.retry_after or 0.0)
            log.warning("credentials_not_renewed", problem=error.message, until=_text(self._current))
            raise
        self._failure = None
        self._fetched_at = now
        expires = max(expires, now + _AT_LEAST)
        renew_at = expires - min(EARLY, (expires - now) / _LAST_PART)
        self._current = current = (credentials, expires, renew_at)
        log.info("credentials_renewed", expires=expires.isoformat())
        return current


def _text(current: tuple[Credentials, datetime, datetime] | None) -> str:
    return current[1].isoformat() if current else "now"
