"""``get``, ``commit`` and ``delete``: one checkpoint, through a gateway that runs."""

from __future__ import annotations

from contextlib import suppress

import click
import msgspec
from google.protobuf.duration_pb2 import Duration

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway._gen.disgateway.v1 import checkpoint_pb2_grpc as pb_grpc
from gateway.cli import options
from gateway.cli.client import channel, shown_seconds
from gateway.cli.exits import Exit
from gateway.errors import InvalidField
from gateway.model import canonical_partition

_RESULTS: dict[int, str] = {pb.COMMIT_RESULT_COMMITTED: "committed", pb.COMMIT_RESULT_SUPERSEDED: "superseded"}
_SOURCES: dict[int, str] = {
    pb.CHECKPOINT_SOURCE_CACHE: "cache",
    pb.CHECKPOINT_SOURCE_UPSTREAM: "DIS",
}


@click.command
@options.checkpoint_key
@click.option("--fresh", is_flag=True, help="ask DIS, whatever the cache has")
@click.option("--max-age", type=options.Seconds(0, 1e9), metavar="SECONDS", help="ask DIS if the cache's is older")
@options.target
@options.output
@click.pass_context
def get(
    ctx: click.Context,
    stream: str,
    app: str,
    partition: str,
    fresh: bool,
    max_age: float | None,
    target: str,
    timeout: float,
    output: str,
) -> None:
    """Print the checkpoint of a partition: the number of the LAST record finished.

    A consumer goes on with the record after it. Where there is no checkpoint, it says so and exits with 3.
    So it does where the stream, the app or the partition does not exist; --output json tells them apart.
    """
    request = pb.GetCheckpointRequest(
        key=_key(stream, app, partition),
        read_mode=pb.READ_MODE_FRESH if fresh else pb.READ_MODE_UNSPECIFIED,
        max_age=None if max_age is None else _duration(max_age),
    )
    with channel(target, output) as opened:
        answer = pb_grpc.CheckpointServiceStub(opened).GetCheckpoint(request, timeout=timeout)
    age = answer.age.ToTimedelta().total_seconds()
    source = _SOURCES.get(answer.source, "unknown")
    if output == "json":
        shown = _shown(answer.checkpoint) if answer.found else None
        _print_json({"found": answer.found, "checkpoint": shown, "source": source.lower(), "age_seconds": age})
    elif answer.found:
        aged = f", {shown_seconds(age)} old" if answer.source == pb.CHECKPOINT_SOURCE_CACHE else ""
        click.echo(_line(answer.checkpoint))
        click.echo(f"from {source}{aged}", err=True)
    else:
        click.echo(f"no checkpoint for {_name(stream, app, partition)}", err=True)
    ctx.exit(Exit.DONE if answer.found else Exit.NOT_FOUND)


@click.command
@options.checkpoint_key
@click.option("--sequence-number", required=True, help="number of the LAST record finished")
@click.option("--metadata", default="", help="text to keep with it, at most 1,000 characters")
@click.option("--allow-rewind", is_flag=True, help="go back, if the checkpoint stands higher")
@click.option("--client-id", default="", help="the consumer in its group, for fencing")
@click.option("--generation-id", default="", help="the group's generation, for fencing")
@options.target
@options.output
def commit(
    stream: str,
    app: str,
    partition: str,
    sequence_number: str,
    metadata: str,
    allow_rewind: bool,
    client_id: str,
    generation_id: str,
    target: str,
    timeout: float,
    output: str,
) -> None:
    """Store a checkpoint; done only when DIS has it.

    Exit code 4 with reason COMMIT_OUTCOME_UNKNOWN: it may be stored or not; run the same command again.
    """
    request = pb.CommitCheckpointRequest(
        key=_key(stream, app, partition),
        sequence_number=sequence_number,
        metadata=metadata,
        allow_rewind=allow_rewind,
        client_id=client_id,
        generation_id=generation_id,
    )
    with channel(target, output) as opened:
        answer = pb_grpc.CheckpointServiceStub(opened).CommitCheckpoint(request, timeout=timeout)
    # A later gateway may have other results; OK says that the commit stands all the same.
    result = _RESULTS.get(answer.result, "committed")
    if output == "json":
        _print_json({"result": result, "effective": _shown(answer.effective)})
    else:
        click.echo(f"{result} {_line(answer.effective)}")


@click.command
@options.checkpoint_key
@options.target
@options.output
def delete(stream: str, app: str, partition: str, target: str, timeout: float, output: str) -> None:
    """Delete the checkpoint of ONE partition. Its consumer will start as if it had never read."""
    request = pb.DeleteCheckpointRequest(key=_key(stream, app, partition))
    with channel(target, output) as opened:
        pb_grpc.CheckpointServiceStub(opened).DeleteCheckpoint(request, timeout=timeout)
    if output == "json":
        _print_json({"deleted": True})
    else:
        click.echo(f"deleted the checkpoint of {_name(stream, app, partition)}")


def _key(stream: str, app: str, partition: str) -> pb.CheckpointKey:
    return pb.CheckpointKey(stream_name=stream, app_name=app, partition_id=partition)


def _name(stream: str, app: str, partition: str) -> str:
    """As answers spell it."""
    with suppress(InvalidField):  # a later gateway may take other spellings
        partition = canonical_partition(partition)
    return f"{stream}/{app}/{partition}"


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration


def _line(checkpoint: pb.Checkpoint) -> str:
    key = checkpoint.key
    line = f"{key.stream_name}/{key.app_name}/{key.partition_id} {checkpoint.sequence_number}"
    return f"{line} {msgspec.json.encode(checkpoint.metadata).decode()}" if checkpoint.metadata else line


def _shown(checkpoint: pb.Checkpoint) -> dict[str, str]:
    key = checkpoint.key
    return {
        "stream_name": key.stream_name,
        "app_name": key.app_name,
        "partition_id": key.partition_id,
        "checkpoint_type": key.checkpoint_type,
        "sequence_number": checkpoint.sequence_number,
        "metadata": checkpoint.metadata,
    }


def _print_json(content: object) -> None:
    click.echo(msgspec.json.encode(content).decode())
