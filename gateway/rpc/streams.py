"""The streaming methods: streams of commits need no threads, watches have some of their own; unary calls go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.waits import Caller
from gateway.errors import Draining, GatewayError, Overloaded, unexpected
from gateway.rpc import messages
from gateway.rpc.admission import Admission, Permit, name_of
from gateway.rpc.calls import CallsOf, unseen
from gateway.rpc.channels import Channel, StreamMethod
from gateway.rpc.handlers import THREADS, MethodTable, Shared, abort, fail, parsed
from gateway.rpc.messages import MessageReader
from gateway.rpc.streamed import StreamedCommits
from gateway.scheduling import let_others_go_on
from gateway.trace import Trace

_PRESENT_TIMEOUT = 30.0
"""Seconds that the first values of a watch may take: a stream has no deadline for them."""

_SPARE_THREADS = 4
"""For streams beyond the limit: they are told so at once instead of waiting for a thread."""


class Stream:
    """One open stream: it can be told to end, by its client, because the gateway stops, or at its ``deadline``.

    That is on the server's clock, in seconds; see :class:`gateway.rpc.deadlines.Waiter`.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.step = 0
        self._lock = threading.Lock()
        self._ended = False
        self._on_end: Callable[[], None] | None = None
        self.draining = False

    def on_end(self, action: Callable[[], None]) -> None:
        """What to do when it ends; at once if it has."""
        with self._lock:
            self._on_end = action
            ended = self._ended
        if ended:
            action()

    def end(self, *, draining: bool = False) -> None:
        """Take nothing more."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self.draining = draining
            action = self._on_end
        if action is not None:
            action()

    def give_up(self) -> None:
        """It is too old."""
        self.end(draining=True)

    def over(self) -> None:
        """It has ended, and there is nothing to be done any more."""
        with self._lock:
            self._ended = True
            self._on_end = None


class StreamServicer:
    """``StreamCommits`` and ``WatchCheckpoints``; at most ``max_streams`` of them at once.

    With a ``max_age`` (seconds) a stream ends when it is older, as it does when the gateway stops.
    """

    def __init__(
        self,
        service: CheckpointService,
        reader: MessageReader,
        shared: Shared,
        admission: Admission,
        max_streams: int,
        max_age: float = 0.0,
        calls_of: CallsOf = unseen,
    ) -> None:
        self._service = service
        self._reader = reader
        self._shared = shared
        self._admit_commits = admission.to("StreamCommits")
        self._admit_watches = admission.to("WatchCheckpoints")
        self._max_streams = max_streams
        self._max_age = max_age
        self._commit_calls = calls_of("StreamCommits")
        self._watch_calls = calls_of("WatchCheckpoints")
        self._pool = ThreadPoolExecutor(max_streams + _SPARE_THREADS, "stream", let_others_go_on)
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._open: set[Stream] = set()
        self._stopping = False

    def handlers(self, *, threads: bool) -> MethodTable:
        """The methods, for ``CheckpointService``; with ``threads`` those that take commits have some, too."""
        commits = StreamMethod(self._commits, self._pool)

        def watch(data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            return self._watched(data, context)

        for behavior in (commits, watch) if threads else (watch,):
            setattr(behavior, THREADS, self._pool)
        return {
            "StreamCommits": grpc.stream_stream_rpc_method_handler(commits),
            "WatchCheckpoints": grpc.unary_stream_rpc_method_handler(watch),
        }

    def drain(self) -> int:
        """End every stream: what it took is answered, then it ends with ``GATEWAY_DRAINING``. Tells how many."""
        with self._lock:
            self._stopping = True
            streams = list(self._open)
        for stream in streams:
            stream.end(draining=True)
        return len(streams)

    def wait(self, seconds: float) -> bool:
        """Wait until every stream has ended, at most ``seconds``; tells whether they have."""
        with self._left:
            return self._left.wait_for(lambda: not self._open, seconds)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=True)

    def open_count(self) -> int:
        """How many streams are open."""
        with self._lock:
            return len(self._open)

    def _enter(self) -> Stream:
        """Open one. Raises :class:`GatewayError` where there is no room, or the gateway stops."""
        stream = Stream(self._shared.clock() + self._max_age)
        with self._lock:
            if len(self._open) >= self._max_streams:
                raise Overloaded(f"{self._max_streams} streams are open, and no more are taken", retry_after=1.0)
            if self._stopping:
                raise _draining()
            self._open.add(stream)
        if self._max_age:
            self._shared.deadlines.add(stream)
        return stream

    def _leave(self, stream: Stream) -> None:
        stream.over()
        if self._max_age:
            self._shared.deadlines.remove(stream)
        with self._lock:
            self._open.discard(stream)
            self._left.notify_all()

    def _commits(self, channel: Channel) -> StreamedCommits | None:
        """Begin a stream of commits, unless it may not be."""
        calls, context, shared = self._commit_calls, channel.context, self._shared
        trace: Trace | None = None
        permit: Permit | None = None
        try:
            if calls.traced:
                trace = calls.began(context.invocation_metadata())
            permit = self._admit_commits(context)
            stream = self._enter()
        except Exception as failure:  # noqa: BLE001 — its traceback goes into the log
            fail(channel, calls, failure, None, "", trace, permit)
            return None

        failed = False

        def ended(failure: GatewayError | None) -> None:
            nonlocal failed
            error = failure or (_draining() if stream.draining else None)
            failed = error is not None
            self._leave(stream)
            if error is None:
                channel.end()
            else:
                fail(channel, calls, error, None, "", trace, permit)

        def over() -> None:
            gone = commits.gone()
            try:
                if gone:
                    self._leave(stream)
                channel.end()
                if not failed:
                    calls.ended(None, trace, cancelled=gone or channel.broken)
            finally:
                commits.leave()

        commits = StreamedCommits(
            self._service, self._reader, permit, shared.max_message, shared.clock, calls, trace, channel, ended
        )
        stream.on_end(commits.take_no_more)
        if not context.add_callback(over):
            over()
        return commits

    def _watched(self, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """A watch, in a thread of its own."""
        calls = self._watch_calls
        trace = calls.began(context.invocation_metadata()) if calls.traced else None
        permit: Permit | None = None
        try:
            permit = self._admit_watches(context)
            stream = self._enter()
            try:
                if context.add_callback(stream.end):
                    yield from self._watch(stream, permit, data, trace)
            finally:
                self._leave(stream)
        except GatewayError as failure:
            error = failure
        except GeneratorExit:
            calls.ended(None, trace, cancelled=True)
            raise
        except Exception as failure:  # noqa: BLE001 — its traceback goes into the log
            error = unexpected(failure)
        else:
            calls.ended(None, trace, cancelled=not context.is_active())
            return
        calls.failed(None, error, "", context.invocation_metadata(), trace, name_of(permit))
        abort(context, error)

    def _watch(self, stream: Stream, permit: Permit, data: bytes, trace: Trace | None) -> Iterator[bytes]:
        request = parsed(data, pb.WatchCheckpointsRequest, self._shared.max_message)
        messages.check_count("keys", len(request.keys))
        keys = [self._reader.bare_key(key, f"keys[{place}]") for place, key in enumerate(request.keys)]
        for key in keys:
            permit(*key.app)
        news = threading.Semaphore(0)
        ended = threading.Event()

        def end() -> None:
            ended.set()
            news.release()

        stream.on_end(end)
        watch = self._service.watch(keys, news.release)
        try:
            self._service.present(watch, keys, Caller(self._shared.clock() + _PRESENT_TIMEOUT, trace=trace))
            while not ended.is_set():
                for key, checkpoint in watch.take():
                    permit(*key.app)  # the callers may be others by now
                    yield messages.watch_response(key, checkpoint).SerializeToString()
                news.acquire()
        finally:
            self._service.unwatch(watch)
        if stream.draining:
            raise _draining()


def _draining() -> Draining:
    return Draining("the gateway is stopping, or the stream is too old; connect again", retry_after=1.0)
