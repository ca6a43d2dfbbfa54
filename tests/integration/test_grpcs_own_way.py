"""All that callers see, with calls that take grpcio's own way: where its inner parts are others than those known."""

from __future__ import annotations

import pytest

from gateway.rpc import server
from tests.integration.test_gateway import *  # noqa: F403
from tests.integration.test_many import *  # noqa: F403


@pytest.fixture(autouse=True)
def own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "inner_parts", lambda: None)
