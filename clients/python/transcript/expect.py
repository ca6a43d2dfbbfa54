"""What must come back, and the mismatch where it does not."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from google.rpc import status_pb2

from disgateway.errors import Failure
from disgateway.v1 import checkpoint_pb2 as pb


class Mismatch(Exception):
    """What came back is not what must come back."""


def equal(what: str, found: object, wanted: object) -> None:
    """Raises :class:`Mismatch`."""
    if found != wanted:
        raise Mismatch(f"{what} is {found!a}, not {wanted!a}")


def committed(answer: pb.CommitCheckpointResponse, number: str) -> None:
    """Exactly this commit is stored."""
    equal("result", pb.CommitResult.Name(answer.result), "COMMIT_RESULT_COMMITTED")
    equal("effective number", answer.effective.sequence_number, number)


def found(answer: pb.GetCheckpointResponse, number: str, metadata: str = "") -> None:
    """There is such a checkpoint."""
    equal("found", answer.found, True)
    equal("number", answer.checkpoint.sequence_number, number)
    equal("metadata", answer.checkpoint.metadata, metadata)


def not_found(answer: pb.GetCheckpointResponse) -> None:
    """There is no checkpoint, and that is no error."""
    equal("found", answer.found, False)
    equal("whether there is a checkpoint", answer.HasField("checkpoint"), False)


def failure(call: Callable[[], object]) -> Failure:
    """How a call fails that must fail."""
    try:
        call()
    except grpc.RpcError as error:
        return Failure.from_error(error)
    raise Mismatch("it succeeded, and must fail")


def fails(
    how: Failure | status_pb2.Status,
    code: grpc.StatusCode,
    reason: str,
    *,
    field: str = "",
    retry: bool = False,
    **metadata: str,
) -> None:
    """It says all this. Metadata may hold more, the fields that are wrong may not."""
    said = Failure.from_status(how) if isinstance(how, status_pb2.Status) else how
    equal("code", said.code, code)
    equal("reason", said.reason, reason)
    for name, value in metadata.items():
        equal(f"metadata {name}", said.metadata.get(name), value)
    equal("fields", [name for name, _ in said.fields], [field] if field else [])
    equal("whether there is a RetryInfo", said.retry_after is not None, retry)
    if retry:
        equal("a delay above 0", bool(said.retry_after), True)
