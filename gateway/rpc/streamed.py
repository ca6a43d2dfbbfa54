"""The commits of one stream: taken one by one, answered in whatever order they end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import grpc
import structlog

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.work import Result
from gateway.errors import CallerNotAllowed, CallerUnknown, GatewayError, InvalidField, unexpected
from gateway.rpc import messages
from gateway.rpc.admission import Permit
from gateway.rpc.calls import MethodCalls
from gateway.rpc.handlers import parsed
from gateway.rpc.messages import MessageReader
from gateway.scheduling import let_others_go_on
from gateway.trace import Trace

MAX_UNANSWERED = 1000
"""Commits of one stream that are taken, and whose answers were not sent yet."""
_COMMIT_TIMEOUT = 30.0
"""Seconds that one commit of a stream may take: a stream has no deadline for each."""

log = structlog.get_logger("gateway.rpc")


class StreamedCommits:
    """One thread reads them by :meth:`read`, another sends the :meth:`answers`, a queue is between them."""

    def __init__(
        self,
        service: CheckpointService,
        reader: MessageReader,
        permit: Permit,
        max_message: int,
        clock: Callable[[], float],
        calls: MethodCalls,
        trace: Trace | None,
    ) -> None:
        self._service = service
        self._reader = reader
        self._permit = permit
        self._max_message = max_message
        self._clock = clock
        self._calls = calls
        self._trace = trace
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._changed = threading.Condition(threading.Lock())
        """for what follows"""
        self._unanswered = 0
        self._unsent = 0
        self._taking = True
        self._failure: GatewayError | None = None
        self._last: tuple[Result, bytes] | None = None

    def read(self, requests: Iterator[bytes]) -> None:
        """Take commits until the client has no more, the stream breaks, or :meth:`take_no_more` is called.

        In a thread of its own.
        """
        let_others_go_on()
        try:
            for data in requests:
                if not self._begin():
                    break
                self._take(parsed(data, pb.StreamCommitsRequest, self._max_message))
        except GatewayError as error:
            self._failed(error)
        except grpc.RpcError:
            log.debug("stream_broke")  # what was taken goes on, and nobody is there to hear of it
        except Exception as problem:  # noqa: BLE001 — its traceback goes into the log
            if self._taking:
                self._failed(unexpected(problem))
        self.take_no_more()

    def answers(self) -> Iterator[bytes]:
        """The answers, until all that was taken is answered. Raises the error that the stream ends with."""
        while (answer := self._answers.get()) is not None:
            yield answer
            with self._changed:
                self._unsent -= 1
                if self._unsent == MAX_UNANSWERED - 1:
                    self._changed.notify()
        if self._failure is not None:
            raise self._failure

    def take_no_more(self) -> None:
        """Only answer what was taken."""
        with self._changed:
            if not self._taking:
                return
            self._taking = False
            over = not self._unanswered
            self._changed.notify()  # the reader may wait for room
        if over:
            self._answers.put(None)

    def _begin(self) -> bool:
        """Wait until there is room for one more, and count it; False where none is taken any more."""
        with self._changed:
            while self._taking and self._unsent >= MAX_UNANSWERED:
                self._changed.wait()
            self._unanswered += self._taking
            self._unsent += self._taking
            return self._taking

    def _failed(self, error: GatewayError) -> None:
        self._failure = error
        self._one_less()

    def _take(self, request: pb.StreamCommitsRequest) -> None:
        try:
            if not request.HasField("commit"):
                raise InvalidField("commit", "is mandatory")
            commit = self._reader.commit(request.commit)
            self._permit(*commit.key.app)
        except InvalidField as error:
            wrong = error if error.field == "commit" else error.under("commit")
            self._calls.item(None, wrong, None)
            self._answer(request.id, wrong)
            return
        except (CallerNotAllowed, CallerUnknown) as error:
            self._calls.item(None, error, commit.key)
            self._answer(request.id, error)
            return
        began, number = self._clock(), request.id

        def answered(result: Result) -> None:
            failure = result if isinstance(result, GatewayError) else None
            self._calls.item(self._clock() - began, failure, commit.key)
            self._answer(number, result)

        self._service.submit(commit, answered, deadline=began + _COMMIT_TIMEOUT, trace=self._trace)

    def _answer(self, number: int, result: Result) -> None:
        # the bytes of a message in parts add up to the whole
        self._answers.put(pb.StreamCommitsResponse(id=number).SerializeToString() + self._outcome(result))
        self._one_less()

    def _outcome(self, result: Result) -> bytes:
        """What an answer says but for its id: those of folded commits say the same."""
        last = self._last
        if last is None or last[0] is not result:
            outcome = pb.StreamCommitsResponse()
            messages.tell(result, outcome)
            last = self._last = result, outcome.SerializeToString()
        return last[1]

    def _one_less(self) -> None:
        with self._changed:
            self._unanswered -= 1
            over = not self._taking and not self._unanswered
        if over:
            self._answers.put(None)
