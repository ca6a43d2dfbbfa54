"""Streams that go both ways: what is taken from the client, and what is sent to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Protocol

import grpc

from gateway.rpc.handlers import Ends
from gateway.scheduling import let_others_go_on


class Channel(Ends, Protocol):
    """What a stream goes over. Nothing here waits."""

    @property
    def broken(self) -> bool:
        """When it is over: whether the client broke it off."""
        ...

    def want(self) -> None:
        """Have the next message brought, by :meth:`Messages.came`. To be called again after that."""
        ...

    def send(self, message: bytes) -> None:
        """Send one after the others; :meth:`Messages.sent` hears when it has left."""
        ...

    def end(self) -> None:
        """End the stream well, if it has not ended. Before that all has left that was sent, as before a failure."""
        ...


class Messages(Protocol):
    """Who takes the messages of a stream. None of this waits or raises."""

    def came(self, message: bytes | None) -> None:
        """One that was wanted; None where there is none any more."""
        ...

    def sent(self) -> None:
        """One has left."""
        ...

    def broke(self, problem: Exception) -> None:
        """None can be brought."""
        ...


class StreamMethod:
    """A method whose calls ``opened`` begins: without waiting, and without raising; it gives None where it ended one.

    Where gRPC lets them, its streams have no threads; where not, each has one of ``threads``, and one that reads.
    """

    def __init__(self, opened: Callable[[Channel], Messages | None], threads: ThreadPoolExecutor) -> None:
        self.opened = opened
        self.threads = threads

    def __call__(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """One stream, in a thread of its own."""
        channel = _Threads(requests, context)
        messages = self.opened(channel)
        if messages is not None:
            try:
                threading.Thread(target=channel.read, args=(messages,), name="stream-reader", daemon=True).start()
            except (RuntimeError, MemoryError) as problem:  # the system gives no more
                messages.broke(problem)
            channel.want()
        return channel.outgoing(messages)


class _Threads:
    """A channel in grpcio's own way: see :class:`StreamMethod`."""

    def __init__(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> None:
        self._requests = requests
        self.context = context
        self._outgoing: SimpleQueue[bytes | None] = SimpleQueue()
        self._wanted = threading.Semaphore(0)
        self._over = False
        self.broken = True
        """until its end is sent to a client that is there"""
        self._status: grpc.Status | None = None

    def want(self) -> None:
        self._wanted.release()

    def send(self, message: bytes) -> None:
        self._outgoing.put(message)

    def end(self) -> None:
        self._over = True
        self._outgoing.put(None)
        self._wanted.release()

    def fail(self, status: grpc.Status) -> None:
        self._status = status
        self.end()

    def read(self, messages: Messages) -> None:
        """Bring what is wanted, until there is no more."""
        let_others_go_on()
        message: bytes | None = b""
        while message is not None:
            self._wanted.acquire()
            if self._over:
                return
            try:
                message = next(self._requests, None)
            except grpc.RpcError as error:
                error.__traceback__ = None  # the call keeps it, and it would keep the call
                message = None
            messages.came(message)

    def outgoing(self, messages: Messages | None) -> Iterator[bytes]:
        """What is sent, until the end."""
        while (message := self._outgoing.get()) is not None:
            yield message
            if messages is not None:
                messages.sent()
        self.broken = not self.context.is_active()
        if self._status is not None:
            self.context.abort_with_status(self._status)
