"""Every reason that an error can have, with what it means and what helps: for messages, and for docs/errors.md."""

from __future__ import annotations

from dataclasses import dataclass

PAGE = "docs/errors.md"


@dataclass(frozen=True, slots=True)
class Advice:
    """``what`` has happened, and what to ``do``. ``hint`` goes into the message, where it is the operator's to mend."""

    what: str
    do: str
    hint: str = ""


# fmt: off
ADVICE: dict[str, Advice] = {
    # the caller's request
    "FIELD_INVALID": Advice(
        "A field of the request is missing or wrong. `BadRequest` names it; nothing was sent to DIS.",
        "Correct the field: the same request will fail again."),
    "MESSAGE_TOO_LARGE": Advice(
        "The request has more bytes than the gateway takes.",
        "Send smaller batches, or raise `server.max_message_bytes`."),
    "PARTITION_ID_INVALID": Advice("DIS does not take this partition id.", "Correct it."),
    "SEQUENCE_NUMBER_INVALID": Advice("DIS does not take this sequence number.", "Correct it."),
    "SEQUENCE_NUMBER_OUT_OF_RANGE": Advice(
        "The number is outside of what the partition holds.",
        "Commit the number of a record that was read from this partition."),
    "UPSTREAM_REJECTED_REQUEST": Advice(
        "DIS does not accept the request, and names no field.",
        "Read its message. Without a cause on your side it is a defect of the gateway: report it."),
    "CALLER_UNKNOWN": Advice(
        "The call shows no token and no certificate of a caller that the gateway knows; nothing was sent to DIS.",
        "Send the caller's token as the metadata `authorization: Bearer ...`, or its client certificate. The operator "
        "finds the callers in `callers.file`; see [security.md](security.md)."),
    "CALLER_NOT_ALLOWED": Advice(
        "The gateway knows the caller, which may not use this `rpc`, `stream` or `app` (named in the metadata); "
        "nothing was sent to DIS.",
        "Correct the name, or have the caller's rights in `callers.file` extended."),
    # what stands in DIS
    "STREAM_NOT_FOUND": Advice(
        "There is no such stream in the project.", "Check the name, the project and the region."),
    "STREAM_NOT_RUNNING": Advice("The stream is being created or deleted.", "Wait until it runs."),
    "PARTITION_NOT_FOUND": Advice("The stream has no such partition.", "Check the id; list the stream's partitions."),
    "PARTITION_EXPIRED": Advice(
        "The partition was taken away by a scale-down.", "Stop consuming it; its records are in the others."),
    "APP_NOT_FOUND": Advice("There is no such app.", "Create the app in DIS first."),
    "APP_WITHOUT_CHECKPOINT": Advice("The app has no checkpoint there.", "There is nothing to delete or to change."),
    "APP_ALREADY_EXISTS": Advice("There is an app of this name.", "Use it, or take another name."),
    "APP_IN_USE": Advice("The app is in use.", "Stop its consumers first."),
    # what others did
    "CHECKPOINT_REGRESSION": Advice(
        "The commit is below the number that DIS has: `effective_sequence_number` in the metadata.",
        "Somebody else consumes this partition too, or a consumer went back. Take the effective number; set "
        "`allow_rewind` to go back on purpose."),
    "CONSUMER_GROUP_REBALANCING": Advice(
        "The consumer group is being redistributed; nothing was committed.", "Join the group again, then go on."),
    "CONSUMER_FENCED": Advice(
        "This consumer is no longer a member of its group, or of an older generation; nothing was committed.",
        "Stop working on the partition: another consumer has it. Join the group again."),
    # not known
    "COMMIT_OUTCOME_UNKNOWN": Advice(
        "The commit was sent, but no answer came: it may be stored or not.",
        "Commit the same number, or a higher one, again: that is safe."),
    "DELETE_OUTCOME_UNKNOWN": Advice(
        "The delete was sent, but no answer came: the checkpoint may be gone or not.",
        "Delete it again: that is safe."),
    # for the moment
    "UPSTREAM_UNAVAILABLE": Advice(
        "DIS, or what stands in front of it, cannot be reached or is broken; nothing was changed.",
        "Try again after `RetryInfo`. `dis-gateway doctor` finds out where it breaks."),
    "UPSTREAM_TOO_SLOW": Advice(
        "DIS did not answer a read within the deadline of the call.", "Try again, with a longer deadline."),
    "UPSTREAM_THROTTLED": Advice(
        "DIS, or the gateway on its behalf (`held_back_by`), limits how often it is asked; nothing was changed.",
        "Try again after `RetryInfo`. Commit less often, or have the project's limit raised."),
    "UPSTREAM_CIRCUIT_OPEN": Advice(
        "The gateway does not ask DIS for now, as calls would fail: `cause` in the metadata. Nothing was sent.",
        "Try again after `RetryInfo`; mend the cause."),
    "DEADLINE_TOO_SHORT": Advice(
        "The deadline passed before anything was sent.", "Try again, with a longer deadline."),
    "GATEWAY_OVERLOADED": Advice(
        "The gateway has as much to do as it takes; nothing was sent.",
        "Try again after `RetryInfo`. The message says what there is too much of: streams (`server.max_streams`), "
        "calls (`server.max_concurrent_calls`), calls that wait for DIS (`server.workers`), or writes in lanes: then "
        "DIS is too slow for the load, see `disgw_writes_waiting`."),
    "GATEWAY_DRAINING": Advice(
        "The gateway is stopping and takes nothing more, or the stream is older than "
        "`server.max_connection_age_seconds`; what has no answer was not sent.",
        "Try again, on a new connection or stream."),
    # the operator's
    "UPSTREAM_CREDENTIALS_REJECTED": Advice(
        "DIS does not accept the gateway's signature or token.",
        "Check access key, secret key or token, region, service name and signing dialect. The gateway asks once a "
        "minute while it lasts, as DIS blacklists addresses that fail often.",
        "check the gateway's access key, secret key or token, region and signing dialect"),
    "CREDENTIALS_UNAVAILABLE": Advice(
        "The metadata service or the identity service gives the gateway no credentials. Nothing was sent.",
        "Its message says what it answered: check the server's agency, or `credentials.iam_*`.",
        "check where the gateway's credentials come from"),
    "UPSTREAM_CLOCK_SKEW": Advice(
        "The clocks of the gateway and of DIS differ by more than 15 minutes, and correcting it did not help.",
        "Set the clock of the gateway's host.",
        "the clock of the gateway's host differs from that of DIS by more than 15 minutes"),
    "UPSTREAM_PERMISSION_DENIED": Advice(
        "The gateway's user may not do this.",
        "Give it the permission for checkpoints in DIS.",
        "the gateway's user lacks the permission for this in DIS"),
    "UPSTREAM_PROJECT_INVALID": Advice(
        "DIS does not know the project.", "Check `upstream.project_id`.", "check the gateway's upstream.project_id"),
    "UPSTREAM_ENDPOINT_INVALID": Advice(
        "What answers at the endpoint is not the DIS API.",
        "Check `upstream.endpoint`, and what stands between.",
        "check the gateway's upstream.endpoint: what answered there is not the DIS API"),
    "UPSTREAM_INVALID_ANSWER": Advice(
        "The answer to a read is not what DIS answers; nothing was changed.",
        "Check `upstream.endpoint`, and what stands between."),
    "UPSTREAM_BLACKLISTED": Advice(
        "DIS has blocked the gateway's address after too many failures.",
        "Find out what failed (the log has it), mend it, and wait: every further call prolongs it, so the gateway "
        "keeps quiet for minutes.",
        "DIS has blocked this address after too many failures; every further call prolongs it"),
    "UPSTREAM_QUOTA_EXCEEDED": Advice("A quota of the project is used up.", "Have it raised."),
    "GATEWAY_INTERNAL": Advice(
        "The gateway failed in a way that it should not.", "Look into its log, and report it."),
}
# fmt: on

CALLERS = frozenset(
    {
        "FIELD_INVALID",
        "MESSAGE_TOO_LARGE",
        "PARTITION_ID_INVALID",
        "SEQUENCE_NUMBER_INVALID",
        "SEQUENCE_NUMBER_OUT_OF_RANGE",
        "STREAM_NOT_FOUND",
        "PARTITION_NOT_FOUND",
        "PARTITION_EXPIRED",
        "APP_NOT_FOUND",
        "APP_WITHOUT_CHECKPOINT",
        "APP_ALREADY_EXISTS",
        "APP_IN_USE",
        "CHECKPOINT_REGRESSION",
        "CONSUMER_GROUP_REBALANCING",
        "CONSUMER_FENCED",
        "DEADLINE_TOO_SHORT",
        "GATEWAY_DRAINING",
    }
)
"""Reasons that are the caller's to deal with, and nothing that whoever runs the gateway must mend."""


def hint(reason: str) -> str:
    """What goes into a message so that whoever reads it can mend the cause; empty where that is not the operator's."""
    advice = ADVICE.get(reason)
    return f"{advice.hint}; see {PAGE}#{reason.lower()}" if advice and advice.hint else ""
