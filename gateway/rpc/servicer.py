"""The unary methods: take a request apart, ask the service, put the answer together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.waits import Caller
from gateway.checkpoints.work import Call, CommitResult, Deleted, ReadResult, Result, expected
from gateway.errors import CallerNotAllowed, CallerUnknown, Draining, GatewayError, InvalidField
from gateway.model import CheckpointKey, Commit
from gateway.rpc import messages
from gateway.rpc.admission import Permit
from gateway.rpc.calls import CallsOf, unseen
from gateway.rpc.handlers import Asked, Work
from gateway.rpc.messages import MessageReader
from gateway.rpc.status import status_of

SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["CheckpointService"].full_name
ADMIN_SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["CheckpointAdminService"].full_name


class CheckpointServicer:
    """Each method takes a request, who waits for its answer, and what they may do, and returns or raises."""

    def __init__(self, service: CheckpointService, reader: MessageReader, calls_of: CallsOf = unseen) -> None:
        self._service = service
        self._reader = reader
        self._batch_gets = calls_of("BatchGetCheckpoints")
        self._batch_commits = calls_of("BatchCommitCheckpoints")

    def get(self, request: pb.GetCheckpointRequest, caller: Caller, permit: Permit) -> pb.GetCheckpointResponse:
        """``GetCheckpoint``."""
        key = self._reader.key(request)
        permit(*key.app)
        return messages.read_response(self._service.get(key, caller, messages.read_wish(request)))

    def commit(
        self, request: pb.CommitCheckpointRequest, caller: Caller, permit: Permit
    ) -> pb.CommitCheckpointResponse:
        """``CommitCheckpoint``."""
        commit = self._reader.commit(request)
        permit(*commit.key.app)
        return messages.commit_response(self._service.commit(commit, caller))

    def delete(
        self, request: pb.DeleteCheckpointRequest, caller: Caller, permit: Permit
    ) -> pb.DeleteCheckpointResponse:
        """``DeleteCheckpoint``."""
        key = self._reader.key(request)
        permit(*key.app)
        self._service.delete(key, caller)
        return pb.DeleteCheckpointResponse()

    # the same without waiting

    def reads(self) -> Work[pb.GetCheckpointRequest]:
        """``GetCheckpoint``."""

        def read(request: pb.GetCheckpointRequest, permit: Permit) -> Callable[[Asked], Callable[[], None]]:
            key, submit = self._reader.key(request), self._service.submit_read
            permit(*key.app)
            wish = messages.read_wish(request)
            return lambda asked: self._leaving(
                submit(key, wish, asked.answered, deadline=asked.deadline, trace=asked.trace)
            )

        def told(result: Result) -> bytes:
            return messages.read_response(expected(result, ReadResult)).SerializeToString()

        return Work(read, told)

    def commits(self) -> Work[pb.CommitCheckpointRequest]:
        """``CommitCheckpoint``."""
        last: tuple[Result, bytes] | None = None
        """the answer to those that were folded into one write"""

        def read(request: pb.CommitCheckpointRequest, permit: Permit) -> Callable[[Asked], Callable[[], None]]:
            commit, submit = self._reader.commit(request), self._service.submit
            permit(*commit.key.app)
            return lambda asked: self._leaving(
                submit(commit, asked.answered, deadline=asked.deadline, trace=asked.trace)
            )

        def told(result: Result) -> bytes:
            nonlocal last
            same = last
            if same is None or same[0] is not result:
                response = messages.commit_response(expected(result, CommitResult))
                same = last = result, response.SerializeToString()
            return same[1]

        return Work(read, told)

    def deletes(self) -> Work[pb.DeleteCheckpointRequest]:
        """``DeleteCheckpoint``."""

        def read(request: pb.DeleteCheckpointRequest, permit: Permit) -> Callable[[Asked], Callable[[], None]]:
            key, submit = self._reader.key(request), self._service.submit_delete
            permit(*key.app)
            return lambda asked: self._leaving(submit(key, asked.answered, deadline=asked.deadline, trace=asked.trace))

        def told(result: Result) -> bytes:
            expected(result, Deleted)
            return b""

        return Work(read, told)

    def _leaving(self, call: Call) -> Callable[[], None]:
        """What gives up the wait."""
        leave = self._service.leave
        return lambda: leave((call,))

    # many

    def list(self, request: pb.ListCheckpointsRequest, caller: Caller, permit: Permit) -> pb.ListCheckpointsResponse:
        """``ListCheckpoints``."""
        stream, app = self._reader.app(request)
        permit(stream, app)
        after, size = messages.page(request)
        page = self._service.partitions(stream, app, after, size, caller)
        return pb.ListCheckpointsResponse(
            partitions=[messages.partition_message(one) for one in page.partitions],
            next_page_token=page.partitions[-1].key.partition_id if page.more and page.partitions else "",
        )

    def batch_get(
        self, request: pb.BatchGetCheckpointsRequest, caller: Caller, permit: Permit
    ) -> pb.BatchGetCheckpointsResponse:
        """``BatchGetCheckpoints``."""
        messages.check_count("keys", len(request.keys))
        wish = messages.read_wish(request)
        read: list[CheckpointKey | GatewayError] = []
        for place, message in enumerate(request.keys):
            try:
                key = self._reader.bare_key(message, f"keys[{place}]")
                permit(*key.app)
                read.append(key)
            except (InvalidField, CallerNotAllowed) as error:
                read.append(error)
        right = [one for one in read if isinstance(one, CheckpointKey)]
        results = iter(self._service.get_many(right, caller, wish))
        response = pb.BatchGetCheckpointsResponse()
        good = 0
        for one in read:
            result = one if isinstance(one, GatewayError) else next(results)
            if isinstance(result, ReadResult):
                response.results.add().response.CopyFrom(messages.read_response(result))
                good += 1
            else:
                failure = _error(result)
                response.results.add().status.CopyFrom(status_of(failure))
                self._batch_gets.item(None, failure, one if isinstance(one, CheckpointKey) else None)
        self._batch_gets.items(good)
        return response

    def batch_commit(self, request: pb.BatchCommitCheckpointsRequest, caller: Caller, permit: Permit) -> bytes:
        """``BatchCommitCheckpoints``: the bytes of a ``BatchCommitCheckpointsResponse``."""
        messages.check_count("commits", len(request.commits))
        read: list[Commit | GatewayError] = []

        def right() -> Iterator[Commit]:
            """Those that may be committed, as they are read; what is wrong with the others must not stop them."""
            may: tuple[str, str] | None = None  # what was asked for last: the next one is often of the same app
            for message in request.commits:
                try:
                    commit = self._reader.commit(message)
                    key = commit.key
                    if key.app != may:
                        permit(*key.app)
                        may = key.app
                except InvalidField as error:
                    read.append(error.under(f"commits[{len(read)}]"))
                except (CallerNotAllowed, CallerUnknown) as error:
                    read.append(error)
                else:
                    read.append(commit)
                    yield commit

        every = self._service.commit_many(right(), caller, len(request.commits))
        results = iter(every)
        parts: list[bytes] = []
        made: dict[int, bytes] = {}  # by the id of a result: folded ones share theirs
        failed = 0
        for one in read:
            result = next(results) if isinstance(one, Commit) else one
            part = made.get(id(result))
            if part is None:
                part = made[id(result)] = _batch_part(result)
            parts.append(part)
            if isinstance(result, GatewayError):
                self._batch_commits.item(None, result, one.key if isinstance(one, Commit) else None)
                failed += 1
        self._batch_commits.items(len(parts) - failed)
        return b"".join(parts)


class CheckpointAdminServicer:
    """What works on many checkpoints at once."""

    def __init__(self, service: CheckpointService, reader: MessageReader) -> None:
        self._service = service
        self._reader = reader

    def delete_app(
        self, request: pb.DeleteAppCheckpointsRequest, caller: Caller, permit: Permit
    ) -> pb.DeleteAppCheckpointsResponse:
        """``DeleteAppCheckpoints``: each partition through its own lane, so that the cache stays true."""
        stream, app = self._reader.app(request)
        permit(stream, app)
        after, more, deleted = "", True, 0
        failure: GatewayError | None = None
        while more:
            page = self._service.partitions(stream, app, after, messages.PAGE_SIZE_MAX, caller)
            for one in page.partitions:
                if one.number is None:
                    continue
                try:
                    self._service.delete(one.key, caller)
                    deleted += 1
                except Draining:
                    raise
                except GatewayError as error:
                    failure = failure or error
            more = page.more and bool(page.partitions)
            after = page.partitions[-1].key.partition_id if page.partitions else ""
        if failure is not None:
            raise failure
        return pb.DeleteAppCheckpointsResponse(deleted_partitions=deleted)


def _batch_part(result: Result) -> bytes:
    """The bytes of an answer with one result: those of several, one after the other, are an answer with them all."""
    one = pb.BatchCommitCheckpointsResult()
    messages.tell(result, one)
    return pb.BatchCommitCheckpointsResponse(results=[one]).SerializeToString()


def _error(result: Result) -> GatewayError:
    if isinstance(result, GatewayError):
        return result
    raise TypeError(f"{result!r} is no answer to this")
