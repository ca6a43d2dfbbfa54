"""All that callers see, with calls that take grpcio's own way: where its inner parts are others than those known."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest

from gateway.rpc import server
from tests.integration.test_gateway import *  # noqa: F403
from tests.integration.test_many import *  # noqa: F403
from tests.support import Client


@pytest.fixture(autouse=True)
def own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "inner_parts", lambda: None)


def test_a_stream_for_which_there_is_no_thread_is_told_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def none_for_readers(thread: threading.Thread, *more: Any) -> None:
        if thread.name == "stream-reader":
            raise RuntimeError("can't start new thread")
        start(thread, *more)

    monkeypatch.setattr(threading.Thread, "start", none_for_readers)
    failure = client.failure(lambda: list(client.stub.StreamCommits(iter(()), timeout=20)))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "GATEWAY_INTERNAL")
