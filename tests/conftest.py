"""A gateway and an emulator of DIS, real and in this process, each test with its own."""

from __future__ import annotations

from gateway.rpc.environment import prepare

prepare()  # as the program does: gRPC is loaded by what follows

import contextlib
import gc
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TextIO, cast

import pytest
import structlog

from gateway.app import Gateway
from gateway.config import Config
from gateway.emulator import Emulator
from gateway.telemetry import logs
from tests.rawserver import Handler, RawServer
from tests.support import ACCESS_KEY, APP, PROJECT, REGION, SECRET_KEY, STREAM, Client, Running, config_for


class LogWatch:
    """Where the suite logs to: keeps the lines that show the secret of the tests."""

    def __init__(self) -> None:
        self.leaks: list[str] = []

    def write(self, text: str) -> None:
        if SECRET_KEY in text:
            self.leaks.append(text)

    def flush(self) -> None:
        """Nothing is kept back."""


@pytest.fixture(scope="session", autouse=True)
def nothing_logged_shows_the_secret() -> Iterator[None]:
    logs.configure("debug", "json")
    watch = LogWatch()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(cast(TextIO, watch)))
    yield
    assert watch.leaks == []


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
def serve() -> Iterator[Callable[..., RawServer]]:
    with contextlib.ExitStack() as stack:

        def start(handler: Handler, context: ssl.SSLContext | None = None) -> RawServer:
            server = RawServer(handler, context)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def client(emulator: Emulator, start: Callable[[Config], Running]) -> Client:
    return start(config_for(emulator)).client


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Nothing that ends meanwhile is taken away but by the end of the last who held it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
