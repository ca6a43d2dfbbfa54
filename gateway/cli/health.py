"""``health``: asks a gateway whether it serves, as a probe would."""

from __future__ import annotations

import click
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.cli import options
from gateway.cli.client import channel
from gateway.cli.exits import Exit


@click.command
@click.option("--service", default="", help="a service by name, such as disgateway.v1.CheckpointService")
@options.target
@options.output
@click.pass_context
def health(ctx: click.Context, service: str, target: str, timeout: float, output: str) -> None:
    """Ask a gateway whether it serves. Exits with 0 if it does, with 4 if not: usable as a probe."""
    with channel(target, output) as opened:
        stub = health_pb2_grpc.HealthStub(opened)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    click.echo(msgspec.json.encode({"status": status}).decode() if output == "json" else status)
    serves = answer.status == health_pb2.HealthCheckResponse.SERVING
    ctx.exit(Exit.DONE if serves else Exit.UNAVAILABLE)
