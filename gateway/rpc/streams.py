"""The streaming methods. They have threads of their own, so that however many there are, unary calls go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.waits import Caller
from gateway.errors import Draining, GatewayError, Overloaded, unexpected
from gateway.rpc import messages
from gateway.rpc.admission import Admission, Admit, Permit, name_of
from gateway.rpc.calls import CallsOf, MethodCalls, unseen
from gateway.rpc.handlers import THREADS, MethodTable, abort, parsed
from gateway.rpc.messages import MessageReader
from gateway.rpc.streamed import StreamedCommits
from gateway.scheduling import let_others_go_on
from gateway.trace import Trace

_PRESENT_TIMEOUT = 30.0
"""Seconds that the first values of a watch may take: a stream has no deadline for them."""

_SPARE_THREADS = 4
"""For streams beyond the limit: they are told so at once instead of waiting for a thread."""


class Stream:
    """One open stream: it can be told to end, by its client or because the gateway stops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = False
        self._on_end: Callable[[], None] = lambda: None
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
        action()


class StreamServicer:
    """``StreamCommits`` and ``WatchCheckpoints``; at most ``max_streams`` of them at once.

    With a ``max_age`` (seconds) a stream ends when it is older, as it does when the gateway stops.
    """

    def __init__(
        self,
        service: CheckpointService,
        reader: MessageReader,
        max_streams: int,
        max_message: int,
        clock: Callable[[], float],
        admission: Admission,
        max_age: float = 0.0,
        calls_of: CallsOf = unseen,
    ) -> None:
        self._service = service
        self._reader = reader
        self._admission = admission
        self._max_age = max_age
        self._commit_calls = calls_of("StreamCommits")
        self._watch_calls = calls_of("WatchCheckpoints")
        self._max_streams = max_streams
        self._max_message = max_message
        self._clock = clock
        self._room = threading.BoundedSemaphore(max_streams)
        self._pool = ThreadPoolExecutor(max_streams + _SPARE_THREADS, "stream", let_others_go_on)
        self._lock = threading.Lock()
        self._open: set[Stream] = set()
        self._stopping = False

    def handlers(self) -> MethodTable:
        """The methods, for ``CheckpointService``."""
        admit_commits, admit_watch = self._admission.to("StreamCommits"), self._admission.to("WatchCheckpoints")

        def commits(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            return self._serve(
                context,
                self._commit_calls,
                admit_commits,
                lambda stream, permit, trace: self._commits(stream, permit, requests, trace),
            )

        def watch(data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            return self._serve(
                context,
                self._watch_calls,
                admit_watch,
                lambda stream, permit, trace: self._watch(stream, permit, data, trace),
            )

        for behavior in (commits, watch):
            setattr(behavior, THREADS, self._pool)
        return {
            "StreamCommits": grpc.stream_stream_rpc_method_handler(commits),
            "WatchCheckpoints": grpc.unary_stream_rpc_method_handler(watch),
        }

    def drain(self) -> None:
        """End every stream: what it took is answered, then it ends with ``GATEWAY_DRAINING``."""
        with self._lock:
            self._stopping = True
            streams = list(self._open)
        for stream in streams:
            stream.end(draining=True)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=True)

    def open_count(self) -> int:
        """How many streams are open."""
        with self._lock:
            return len(self._open)

    def _serve(
        self,
        context: grpc.ServicerContext,
        calls: MethodCalls,
        admit: Admit,
        work: Callable[[Stream, Permit, Trace | None], Iterator[bytes]],
    ) -> Iterator[bytes]:
        trace = calls.began(context.invocation_metadata()) if calls.traced else None
        permit: Permit | None = None
        try:
            permit = admit(context)
            with self._opened() as stream, self._aging(stream):
                if context.add_callback(stream.end):
                    yield from work(stream, permit, trace)
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

    @contextmanager
    def _opened(self) -> Iterator[Stream]:
        if not self._room.acquire(blocking=False):
            raise Overloaded(f"{self._max_streams} streams are open, and no more are taken", retry_after=1.0)
        stream = Stream()
        try:
            with self._lock:
                if self._stopping:
                    raise _draining()
                self._open.add(stream)
            yield stream
        finally:
            with self._lock:
                self._open.discard(stream)
            self._room.release()

    @contextmanager
    def _aging(self, stream: Stream) -> Iterator[None]:
        if not self._max_age:
            yield
            return
        timer = threading.Timer(self._max_age, stream.end, kwargs={"draining": True})
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _commits(
        self, stream: Stream, permit: Permit, requests: Iterator[bytes], trace: Trace | None
    ) -> Iterator[bytes]:
        commits = StreamedCommits(
            self._service, self._reader, permit, self._max_message, self._clock, self._commit_calls, trace
        )
        stream.on_end(commits.take_no_more)
        threading.Thread(target=commits.read, args=(requests,), name="stream-reader", daemon=True).start()
        yield from commits.answers()
        if stream.draining:
            raise _draining()

    def _watch(self, stream: Stream, permit: Permit, data: bytes, trace: Trace | None) -> Iterator[bytes]:
        request = parsed(data, pb.WatchCheckpointsRequest, self._max_message)
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
            self._service.present(watch, keys, Caller(self._clock() + _PRESENT_TIMEOUT, trace=trace))
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
