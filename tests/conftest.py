"""A gateway and an emulator of DIS, real and in this process, each test with its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from gateway.app import Gateway
from gateway.config import Config
from gateway.emulator import Emulator
from tests.support import ACCESS_KEY, APP, PROJECT, REGION, SECRET_KEY, STREAM, Client, Running, config_for


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(access_key=ACCESS_KEY, secret_key=SECRET_KEY, project=PROJECT, region=REGION) as running:
        running.create_stream(STREAM, partitions=3)
        running.create_app(APP)
        yield running


@pytest.fixture
def start() -> Iterator[Callable[[Config], Running]]:
    """Starts a gateway from a configuration; it ends with the test."""
    with ExitStack() as stack:

        def begin(config: Config) -> Running:
            gateway = stack.enter_context(Gateway(config))
            client = Client(gateway.bound[0].address)
            stack.callback(client.channel.close)
            return Running(gateway, client)

        yield begin


@pytest.fixture
def client(emulator: Emulator, start: Callable[[Config], Running]) -> Client:
    return start(config_for(emulator)).client
