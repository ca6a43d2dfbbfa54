"""Everything that can go wrong, as one tree: each class says its reason, its status and whether a retry helps.

``reason`` is what programs look at; it reaches the caller as ``google.rpc.ErrorInfo.reason``. Nothing here knows gRPC
or HTTP: ``gateway.rpc.status`` maps the tree to gRPC in one place.

    GatewayError
    ├── InvalidField                a field of the request is wrong; nothing was sent to DIS
    ├── CheckpointRegression        the commit is below the number that DIS has
    ├── CallerUnknown               who calls has shown nothing by which the gateway knows callers
    ├── CallerNotAllowed            the caller may not do this; nothing was sent to DIS
    ├── Overloaded                  the gateway has no room for this call
    ├── Draining                    the gateway is stopping and takes nothing more
    ├── MessageTooLarge             the request has too many bytes
    ├── DeadlineTooShort            the caller's time ended before anything was sent
    ├── ReadTimedOut                DIS did not answer a read within the caller's time
    ├── UpstreamError               DIS, or what stands in front of it, answered with an error
    ├── CredentialsUnavailable      there is nothing to sign with now; nothing was sent
    ├── CircuitOpen                 DIS is not asked for now, as calls would fail
    ├── UpstreamUnavailable         DIS could not be asked, or not in time; nothing was changed
    ├── InvalidUpstreamAnswer       DIS answered something that cannot be understood; nothing was changed
    └── OutcomeUnknown              a write was sent, its fate is not known
        ├── CommitOutcomeUnknown
        └── DeleteOutcomeUnknown
    ListenError                     an address cannot be listened on
    ConfigurationError              the process cannot start like this; names the key
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """The canonical codes of RPC status, by name."""

    OK = "OK"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    INTERNAL = "INTERNAL"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNAVAILABLE = "UNAVAILABLE"


class GatewayError(Exception):
    """The root of what a call can fail with.

    ``message`` is for people and holds no secret. ``retry_after`` is in seconds, None where a retry does not help.
    ``metadata`` reaches the caller as it is.
    """

    status = Status.INTERNAL
    reason = "GATEWAY_INTERNAL"

    def __init__(
        self, message: str, *, retry_after: float | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.metadata: Mapping[str, str] = dict(metadata or {})


def unexpected(problem: Exception | None = None) -> GatewayError:
    """What a caller hears of a defect of the gateway. The log has the traceback: that of ``problem`` comes with it."""
    error = GatewayError("the gateway failed unexpectedly; its log has more")
    error.__cause__ = problem
    return error


class InvalidField(GatewayError):
    """A field of the request is missing or wrong. ``field`` is its path, such as ``key.partition_id``."""

    status = Status.INVALID_ARGUMENT
    reason = "FIELD_INVALID"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem

    def under(self, parent: str) -> InvalidField:
        """The same complaint where the field is part of ``parent``."""
        return InvalidField(f"{parent}.{self.field}", self.problem)


class CheckpointRegression(GatewayError):
    """The commit is lower than what DIS has, and the caller did not allow a rewind."""

    status = Status.FAILED_PRECONDITION
    reason = "CHECKPOINT_REGRESSION"

    def __init__(self, committed: str, effective: str) -> None:
        super().__init__(
            f"the checkpoint stands at {effective}, which is higher than {committed}: another consumer may have taken "
            "over this partition; set allow_rewind to go back on purpose",
            metadata={"effective_sequence_number": effective},
        )


class CallerUnknown(GatewayError):
    """The call has no token or certificate of a caller that the gateway knows. The message never has the token."""

    status = Status.UNAUTHENTICATED
    reason = "CALLER_UNKNOWN"


class CallerNotAllowed(GatewayError):
    """The caller is known, and may not do this. ``metadata`` names the caller, and the rpc, stream or app."""

    status = Status.PERMISSION_DENIED
    reason = "CALLER_NOT_ALLOWED"

    def __init__(self, caller: str, what: str, name: str) -> None:
        super().__init__(
            f"the caller {caller} may not use the {what} {name} of this gateway",
            metadata={"caller": caller, what: name},
        )


class Overloaded(GatewayError):
    """The gateway has as many calls under way as it takes."""

    status = Status.RESOURCE_EXHAUSTED
    reason = "GATEWAY_OVERLOADED"


class Draining(GatewayError):
    """The gateway is stopping: it has answered what it took, and takes nothing more."""

    status = Status.UNAVAILABLE
    reason = "GATEWAY_DRAINING"


class MessageTooLarge(GatewayError):
    """The request is larger than the gateway takes."""

    status = Status.RESOURCE_EXHAUSTED
    reason = "MESSAGE_TOO_LARGE"


class DeadlineTooShort(GatewayError):
    """The caller's deadline passed while the call waited its turn; nothing was sent to DIS."""

    status = Status.DEADLINE_EXCEEDED
    reason = "DEADLINE_TOO_SHORT"


class ReadTimedOut(GatewayError):
    """DIS did not answer a read within the caller's deadline. Nothing is known."""

    status = Status.DEADLINE_EXCEEDED
    reason = "UPSTREAM_TOO_SLOW"


class UpstreamError(GatewayError):
    """DIS answered with an error; what it means stands in the table in ``gateway.dis.error_table``.

    ``asked_to_wait``: the seconds of its ``Retry-After``, 0 where it named none. ``date``: its header of that name.
    """

    def __init__(
        self,
        message: str,
        *,
        status: Status,
        reason: str,
        retry_after: float | None = None,
        asked_to_wait: float = 0.0,
        date: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after, metadata=metadata)
        self.asked_to_wait = asked_to_wait
        self.date = date
        self.status = status
        self.reason = reason


class UpstreamUnavailable(GatewayError):
    """DIS could not be reached, or did not answer a read in time. Nothing was changed."""

    status = Status.UNAVAILABLE
    reason = "UPSTREAM_UNAVAILABLE"


class CircuitOpen(GatewayError):
    """The breaker is open: nothing was sent. ``metadata["cause"]`` is the reason that opened it."""

    status = Status.UNAVAILABLE
    reason = "UPSTREAM_CIRCUIT_OPEN"


class CredentialsUnavailable(GatewayError):
    """The source of the gateway's credentials gives none, and there are no others: nothing was sent."""

    status = Status.UNAVAILABLE
    reason = "CREDENTIALS_UNAVAILABLE"


class InvalidUpstreamAnswer(GatewayError):
    """The answer to a read is not what DIS answers: not JSON, no number in it, too large. Nothing was changed."""

    status = Status.INTERNAL
    reason = "UPSTREAM_INVALID_ANSWER"


class OutcomeUnknown(GatewayError):
    """A write was sent, and nobody can say whether DIS applied it."""

    status = Status.UNAVAILABLE


class CommitOutcomeUnknown(OutcomeUnknown):
    """The commit may be stored or not; committing the same number again is safe."""

    reason = "COMMIT_OUTCOME_UNKNOWN"


class DeleteOutcomeUnknown(OutcomeUnknown):
    """The checkpoint may be gone or not; deleting it again is safe."""

    reason = "DELETE_OUTCOME_UNKNOWN"


class ListenError(Exception):
    """An address cannot be listened on; the message names it and says why."""


class ConfigurationError(Exception):
    """The configuration cannot be used. ``key`` is dotted, such as ``upstream.endpoint``."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem
