"""The commits of one stream: taken one by one, answered in whatever order they end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.work import Call, Result
from gateway.errors import CallerNotAllowed, CallerUnknown, GatewayError, InvalidField, unexpected
from gateway.model import CheckpointKey
from gateway.rpc import messages
from gateway.rpc.admission import Permit
from gateway.rpc.calls import MethodCalls
from gateway.rpc.channels import Channel
from gateway.rpc.handlers import parsed
from gateway.rpc.messages import MessageReader
from gateway.trace import Trace

MAX_UNANSWERED = 1000
"""Commits of one stream that are taken, and whose answers have not left yet."""
_KEYS = 2
"""Times as many keys as there are connections to DIS: each of those that are at work has its next one here already, and
who sends many keys at once does not keep the first ones from going out."""
_COMMIT_TIMEOUT = 30.0
"""Seconds that one commit of a stream may take: a stream has no deadline for each."""


class StreamedCommits:
    """Takes the commits that come over a channel, and sends what became of each. Thread-safe; holds no thread.

    ``ended`` is called once, when all that was taken is answered, and the answers have left; with what was wrong, if
    something was. Not so where the client has :meth:`gone`: then nothing is called any more, and what was taken is to
    :meth:`leave`.
    """

    def __init__(
        self,
        service: CheckpointService,
        reader: MessageReader,
        permit: Permit,
        max_message: int,
        clock: Callable[[], float],
        calls: MethodCalls,
        trace: Trace | None,
        channel: Channel,
        ended: Callable[[GatewayError | None], None],
    ) -> None:
        self._service = service
        self._reader = reader
        self._permit = permit
        self._max_message = max_message
        self._clock = clock
        self._calls = calls
        self._trace = trace
        self._channel: Channel | None = channel
        self._ended: Callable[[GatewayError | None], None] | None = ended
        self._most_keys = _KEYS * service.concurrency
        self._lock = threading.Lock()
        """for what follows"""
        self._unsent = 0
        self._keys: dict[CheckpointKey, int] = {}
        """how many of them are not answered"""
        self._waiting: set[_Taken] = set()
        """those"""
        self._taking = True
        self._full = False
        """whether the next one is not wanted before there is room"""
        self._failure: GatewayError | None = None
        self._last: tuple[Result, bytes] | None = None

    def came(self, message: bytes | None) -> None:
        """See :class:`~gateway.rpc.channels.Messages`."""
        if message is None:
            self.take_no_more()
            return
        try:
            request = parsed(message, pb.StreamCommitsRequest, self._max_message)
        except GatewayError as error:
            self.take_no_more(error)
            return
        if self._begin():
            self._take(request)
            self._go_on()

    def sent(self) -> None:
        """See :class:`~gateway.rpc.channels.Messages`."""
        with self._lock:
            self._unsent -= 1
            over = not self._taking and not self._unsent
            more = self._has_room_again()
        if over:
            self._end()
        elif more:
            self._want()

    def broke(self, problem: Exception) -> None:
        """See :class:`~gateway.rpc.channels.Messages`."""
        self.take_no_more(unexpected(problem))

    def take_no_more(self, failure: GatewayError | None = None) -> None:
        """Only answer what was taken, and end then; with what was wrong, if something was."""
        with self._lock:
            if not self._taking:
                return
            self._taking = False
            self._failure = failure
            over = not self._unsent
        if over:
            self._end()

    def gone(self) -> bool:
        """Nobody hears answers any more. Tells whether it had not ended before."""
        with self._lock:
            ended, self._ended = self._ended, None
            self._taking = False
            self._channel = self._failure = None
        return ended is not None

    def leave(self) -> None:
        """What was taken and is not sent yet is not sent any more, as the client has :meth:`gone`."""
        with self._lock:
            calls = [taken.call for taken in self._waiting if taken.call is not None]
        self._service.leave(calls)

    def _begin(self) -> bool:
        """Count one more; False where none is taken any more."""
        with self._lock:
            self._unsent += self._taking
            return self._taking

    def _go_on(self) -> None:
        """Have the next one brought, once there is room for it."""
        with self._lock:
            self._full = self._is_full()
            more = self._taking and not self._full
        if more:
            self._want()

    def _is_full(self) -> bool:
        return self._unsent >= MAX_UNANSWERED or len(self._keys) >= self._most_keys

    def _has_room_again(self) -> bool:
        """Whether the next one is wanted now, as it was not before. Needs the lock."""
        more = self._full and self._taking and not self._is_full()
        if more:
            self._full = False
        return more

    def _want(self) -> None:
        channel = self._channel
        if channel is not None:
            channel.want()

    def _end(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, None
            failure, self._failure = self._failure, None  # it keeps the calls that it went through
        if ended is not None:
            ended(failure)

    def _take(self, request: pb.StreamCommitsRequest) -> None:
        number = request.id
        try:
            if not request.HasField("commit"):
                raise InvalidField("commit", "is mandatory")
            commit = self._reader.commit(request.commit)
            self._permit(*commit.key.app)
        except InvalidField as error:
            self._refuse(number, error if error.field == "commit" else error.under("commit"), None)
            return
        except (CallerNotAllowed, CallerUnknown) as error:
            self._refuse(number, error, commit.key)
            return
        except Exception as problem:  # noqa: BLE001 — its traceback goes into the log
            self._refuse(number, unexpected(problem), None)
            return
        began = self._clock()
        taken = _Taken(self, number, commit.key, began)
        with self._lock:
            self._keys[commit.key] = self._keys.get(commit.key, 0) + 1
            self._waiting.add(taken)
        try:
            deadline = began + _COMMIT_TIMEOUT
            taken.call = call = self._service.submit(commit, taken, deadline=deadline, trace=self._trace)
            if self._channel is None:  # the client has gone meanwhile
                self._service.leave((call,))
        except Exception as failure:  # noqa: BLE001 — its traceback goes into the log
            taken(failure if isinstance(failure, GatewayError) else unexpected(failure))

    def _refuse(self, number: int, error: GatewayError, key: CheckpointKey | None) -> None:
        self._calls.item(None, error, key)
        self._answer(number, error)

    def answered(self, taken: _Taken, result: Result) -> None:
        """What became of a commit that was taken."""
        key = taken.key
        with self._lock:
            if taken not in self._waiting:  # it failed when it had begun
                return
            self._waiting.remove(taken)
            taken.call = None
            left = self._keys[key] - 1
            if left:
                self._keys[key] = left
            else:
                del self._keys[key]
            more = self._has_room_again()
            heard = self._channel is not None
        if heard:
            self._calls.item(self._clock() - taken.began, result if isinstance(result, GatewayError) else None, key)
            self._answer(taken.number, result)
        if more:
            self._want()

    def _answer(self, number: int, result: Result) -> None:
        channel = self._channel
        if channel is not None:
            # the bytes of a message in parts add up to the whole
            channel.send(pb.StreamCommitsResponse(id=number).SerializeToString() + self._outcome(result))

    def _outcome(self, result: Result) -> bytes:
        """What an answer says but for its id: those of folded commits say the same."""
        last = self._last
        if last is not None and last[0] is result:
            return last[1]
        outcome = pb.StreamCommitsResponse()
        messages.tell(result, outcome)
        told = outcome.SerializeToString()
        if not isinstance(result, GatewayError):  # which keeps the calls that it went through
            self._last = result, told
        return told


class _Taken:
    """A commit that was taken: called with its result, it is answered, once."""

    __slots__ = ("_commits", "began", "call", "key", "number")

    def __init__(self, commits: StreamedCommits, number: int, key: CheckpointKey, began: float) -> None:
        self._commits = commits
        self.number = number
        self.key = key
        self.began = began
        self.call: Call | None = None

    def __call__(self, result: Result) -> None:
        self._commits.answered(self, result)
