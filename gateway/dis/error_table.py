"""Every error that DIS is known to answer with, and what the gateway makes of it: one table for code, tests and docs.

The code decides before the HTTP status: DIS throttles with 400 and rejects signatures with 441. Codes and messages are
those of the DIS API reference and of the published SDKs; the spelling is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.errors import Status


class Retry(StrEnum):
    """Whether the same call may be sent again."""

    NEVER = "never"
    ONCE = "once"
    BACKOFF = "backoff"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One error of DIS. ``http_status`` is the one that it usually comes with."""

    code: str
    http_status: int
    dis_message: str
    status: Status
    reason: str
    retry: Retry
    note: str = ""


# fmt: off
ERROR_ROWS: tuple[ErrorRow, ...] = (
    ErrorRow("DIS.4100", 441, "Authorization error.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER, "signature wrong; the caller cannot repair it"),
    ErrorRow("DIS.4101", 441, "Authorization header cannot be empty.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER),
    ErrorRow("DIS.4102", 441, "Incorrectly parsed authorization header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER),
    ErrorRow("DIS.4103", 441, "Empty X-Sdk-Date header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER),
    ErrorRow("DIS.4104", 441, "Error parsing X-Sdk-Date header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER),
    ErrorRow("DIS.4105", 441, "Invalid X-Sdk-Date header.", Status.FAILED_PRECONDITION, "UPSTREAM_CLOCK_SKEW", Retry.ONCE, "after correcting the clock offset from the Date header of the response"),
    ErrorRow("DIS.4106", 441, "Empty AcessKey header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER, "spelling as DIS sends it"),
    ErrorRow("DIS.4107", 441, "Invalid AcessKey header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.ONCE, "after reloading credentials: a temporary key may have expired"),
    ErrorRow("DIS.4108", 441, "Empty ServiceName header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER),
    ErrorRow("DIS.4109", 441, "The Authorization header must contain the following field: {Credential,SignedHeaders,Signature;}", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER, "what the scoped dialect gets where a field is missing"),
    ErrorRow("DIS.4110", 441, "Empty Signature header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER),
    ErrorRow("DIS.4111", 441, "Invalid Region header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER),
    ErrorRow("DIS.4112", 441, "Invalid authorization request.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER),
    ErrorRow("DIS.4113", 441, "Empty Token header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.NEVER, "X-Auth-Token"),
    ErrorRow("DIS.4114", 441, "Invalid Token header.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.ONCE, "after reloading the token"),
    ErrorRow("DIS.4116", 403, "Invalid RBAC. %s", Status.PERMISSION_DENIED, "UPSTREAM_PERMISSION_DENIED", Retry.NEVER),
    ErrorRow("DIS.4117", 400, "Invalid Project Id. %s", Status.FAILED_PRECONDITION, "UPSTREAM_PROJECT_INVALID", Retry.NEVER, "gateway configuration"),
    ErrorRow("DIS.4200", 400, "Invalid request. %s", Status.INVALID_ARGUMENT, "UPSTREAM_REJECTED_REQUEST", Retry.NEVER),
    ErrorRow("DIS.4201", 400, "Invalid partition_id. %s", Status.INVALID_ARGUMENT, "PARTITION_ID_INVALID", Retry.NEVER),
    ErrorRow("DIS.4202", 400, "Empty request.", Status.INTERNAL, "UPSTREAM_REJECTED_REQUEST", Retry.NEVER, "the gateway sent no body: a bug of its own"),
    ErrorRow("DIS.4205", 400, "Stream is not running.", Status.FAILED_PRECONDITION, "STREAM_NOT_RUNNING", Retry.NEVER),
    ErrorRow("DIS.4216", 400, "Invalid sequence_number. %s", Status.INVALID_ARGUMENT, "SEQUENCE_NUMBER_INVALID", Retry.NEVER),
    ErrorRow("DIS.4224", 400, "Sequence_number out of range. %s", Status.OUT_OF_RANGE, "SEQUENCE_NUMBER_OUT_OF_RANGE", Retry.NEVER),
    ErrorRow("DIS.4300", 400, "Request error.", Status.INVALID_ARGUMENT, "UPSTREAM_REJECTED_REQUEST", Retry.NEVER, "with the text 'timestamp is expired' it is UPSTREAM_CLOCK_SKEW, treated as DIS.4105"),
    ErrorRow("DIS.4301", 400, "The stream does not exist. %s", Status.NOT_FOUND, "STREAM_NOT_FOUND", Retry.NEVER),
    ErrorRow("DIS.4302", 400, "Partition does not exist. %s", Status.NOT_FOUND, "PARTITION_NOT_FOUND", Retry.NEVER),
    ErrorRow("DIS.4303", 400, "Exceeded traffic control limit.", Status.RESOURCE_EXHAUSTED, "UPSTREAM_THROTTLED", Retry.BACKOFF, "note the 400"),
    ErrorRow("DIS.4305", 400, "Too many stream requests.", Status.RESOURCE_EXHAUSTED, "UPSTREAM_THROTTLED", Retry.BACKOFF, "note the 400"),
    ErrorRow("DIS.4308", 400, "Insufficient quota.", Status.RESOURCE_EXHAUSTED, "UPSTREAM_QUOTA_EXCEEDED", Retry.NEVER),
    ErrorRow("DIS.4309", 400, "Too many request failures. Please try again later.", Status.UNAVAILABLE, "UPSTREAM_BLACKLISTED", Retry.NEVER, "the caller's address is blacklisted after repeated failures: open the breaker for minutes; every further call prolongs it"),
    ErrorRow("DIS.4319", 400, "Partition is expired. %s", Status.FAILED_PRECONDITION, "PARTITION_EXPIRED", Retry.NEVER, "after a scale-down"),
    ErrorRow("DIS.4329", 400, "app quota exceeded.", Status.RESOURCE_EXHAUSTED, "UPSTREAM_QUOTA_EXCEEDED", Retry.NEVER),
    ErrorRow("DIS.4330", 400, "app already exist.", Status.ALREADY_EXISTS, "APP_ALREADY_EXISTS", Retry.NEVER),
    ErrorRow("DIS.4331", 400, "app is using.", Status.FAILED_PRECONDITION, "APP_IN_USE", Retry.NEVER),
    ErrorRow("DIS.4332", 400, "app not found.", Status.NOT_FOUND, "APP_NOT_FOUND", Retry.NEVER),
    ErrorRow("DIS.4339", 400, "Consumer quota exceeded.", Status.RESOURCE_EXHAUSTED, "UPSTREAM_QUOTA_EXCEEDED", Retry.NEVER),
    ErrorRow("DIS.4375", 400, "The app does not commit checkpoint", Status.OK, "", Retry.NEVER, "on a read: no checkpoint yet, so found = false; on anything else FAILED_PRECONDITION"),
    ErrorRow("DIS.4701", 400, "(consumer group is rebalancing)", Status.ABORTED, "CONSUMER_GROUP_REBALANCING", Retry.NEVER, "only in the published Java SDK; the caller rejoins its group first"),
    ErrorRow("DIS.4702", 400, "(consumer is no longer a member)", Status.FAILED_PRECONDITION, "CONSUMER_FENCED", Retry.NEVER, "only in the published Java SDK"),
    ErrorRow("DIS.4703", 400, "(generation does not match)", Status.FAILED_PRECONDITION, "CONSUMER_FENCED", Retry.NEVER, "only in the published Java SDK"),
    ErrorRow("DIS.5000", 500, "System error.", Status.UNAVAILABLE, "UPSTREAM_UNAVAILABLE", Retry.BACKOFF, "after a commit was sent: COMMIT_OUTCOME_UNKNOWN"),
    ErrorRow("APIGW.0101", 404, "The API does not exist or has not been published in the environment.", Status.FAILED_PRECONDITION, "UPSTREAM_ENDPOINT_INVALID", Retry.NEVER, "gateway configuration"),
    ErrorRow("APIGW.0201", 502, "Backend unavailable.", Status.UNAVAILABLE, "UPSTREAM_UNAVAILABLE", Retry.BACKOFF, "also 504 Backend timeout; 400 API request error and 413/414/494 too large are INVALID_ARGUMENT"),
    ErrorRow("APIGW.0301", 401, "Incorrect IAM authentication information.", Status.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", Retry.ONCE, "after reloading credentials; also what a clock more than 15 minutes off gets"),
    ErrorRow("APIGW.0302", 403, "The IAM user is not authorized to access the API.", Status.PERMISSION_DENIED, "UPSTREAM_PERMISSION_DENIED", Retry.NEVER),
    ErrorRow("APIGW.0308", 429, "The throttling threshold has been reached.", Status.RESOURCE_EXHAUSTED, "UPSTREAM_THROTTLED", Retry.BACKOFF, "honours Retry-After"),
)
# fmt: on

ERRORS_BY_CODE = {row.code: row for row in ERROR_ROWS}
NOT_COMMITTED_YET = "DIS.4375"
"""On a read it says that there is no checkpoint yet; on anything else it is an error."""
