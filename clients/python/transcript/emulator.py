"""The control API of the emulator."""

from __future__ import annotations

import json
import urllib.request


class EmulatorControl:
    """Says what shall go wrong."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # http_proxy is not meant for it

    def call(self, method: str, path: str, /, **body: object) -> None:
        """Raises ``urllib.error.HTTPError`` if the emulator does not take it."""
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self._url}/_emulator/{path}", data=data, method=method)  # noqa: S310
        self._opener.open(request, timeout=10).close()

    def prepare(self, stream: str, app: str) -> None:
        """Forget everything, and make what the conversation is about."""
        self.call("POST", "reset")
        self.call("PUT", f"streams/{stream}", partitions=4)
        self.call("PUT", f"apps/{app}")

    def fault(self, kind: str, method: str, times: int, **more: object) -> None:
        """Let the next calls to DIS go wrong; ``times`` 0: until it is cleared."""
        self.call("POST", "faults", kind=kind, method=method, times=times, **more)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.call("DELETE", "faults")
