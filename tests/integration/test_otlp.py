"""Traces and metrics as a collector gets them, over real HTTP; and what DIS is told of a trace."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.config import Config, RetryConfig, TelemetryConfig
from gateway.dis.signing import SigningDialect
from gateway.emulator import Emulator
from gateway.telemetry import tracing
from tests.support import SECRET_KEY, STREAM, Running, config_for, key, upstream_of, wait_until

Start = Callable[[Config], Running]

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
SAMPLED = [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01"), ("tracestate", "vendor=opaque")]


class Collector:
    """An OTLP receiver: keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metrics: list[dict[str, Metric]] = []
        self.resources: list[dict[str, str]] = []
        self.raw = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Not needed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, body: bytes) -> None:
        self.raw += body
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append({one.key: one.value.string_value for one in resource.resource.attributes})
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics.append({one.name: one for scope in resource.scope_metrics for one in scope.metrics})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def servers(self) -> list[Span]:
        return [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]

    def clients(self) -> list[Span]:
        return [span for span in self.spans if span.kind == Span.SPAN_KIND_CLIENT]


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.stop()


def telemetry(collector: Collector, **fields: Any) -> TelemetryConfig:
    return TelemetryConfig(otlp_endpoint=collector.endpoint, **{"sample_ratio": 1.0, "otlp_metrics": False, **fields})


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


def commit(number: int, partition: str = "0", **fields: Any) -> pb.CommitCheckpointRequest:
    return pb.CommitCheckpointRequest(key=key(partition), sequence_number=str(number), **fields)


@pytest.mark.parametrize("dialect", SigningDialect)
def test_a_call_is_a_span_in_its_callers_trace_and_each_request_to_dis_one_below_it(
    emulator: Emulator, start: Start, collector: Collector, dialect: SigningDialect
) -> None:
    running = start(
        config_for(
            emulator,
            telemetry=telemetry(collector, sample_ratio=0.0),  # the caller is sampled, so this is
            upstream=upstream_of(emulator, signing=dialect),
            retry=RetryConfig(attempts=2, base_seconds=0.001, max_seconds=0.01),
        )
    )
    emulator.inject("error", code="DIS.4303")
    running.client.stub.CommitCheckpoint(commit(10, metadata="page-of-a-customer"), timeout=20, metadata=SAMPLED)
    running.gateway.stop(5.0)

    (server,) = collector.servers()
    assert server.name == "disgateway.v1.CheckpointService/CommitCheckpoint"
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert attributes(server) == {
        "rpc.system.name": "grpc",
        "rpc.method": "disgateway.v1.CheckpointService/CommitCheckpoint",
        "rpc.response.status_code": "OK",
        "disgw.key": "stream-1/app-1/0",
    }
    first, second = sorted(collector.clients(), key=lambda span: span.start_time_unix_nano)
    for span in (first, second):
        assert (span.trace_id, span.parent_span_id) == (server.trace_id, server.span_id)
        assert span.name == "POST /v2/{project_id}/checkpoints"
    assert first.status.code == Status.STATUS_CODE_ERROR
    assert (attributes(first)["http.response.status_code"], attributes(first)["error.type"]) == (400, "400")
    assert second.status.code == Status.STATUS_CODE_UNSET
    assert attributes(second) == {
        "http.request.method": "POST",
        "http.request.resend_count": 1,
        "http.response.status_code": 201,
        "server.address": "127.0.0.1",
        "server.port": int(emulator.endpoint.rpartition(":")[2]),
        "url.full": f"{emulator.endpoint}{emulator.requests()[-1].path}",
        "url.template": "/v2/{project_id}/checkpoints",
        "disgw.operation": "commit",
    }
    told = [request.headers["traceparent"] for request in emulator.requests()]
    assert told == [f"00-{TRACE_ID}-{span.span_id.hex()}-01" for span in (first, second)]
    assert {request.headers["tracestate"] for request in emulator.requests()} == {"vendor=opaque"}
    assert collector.resources[0]["service.name"] == "dis-gateway"
    for secret in (SECRET_KEY, "page-of-a-customer", "Signature", "Credential"):
        assert secret.encode() not in collector.raw


def test_a_read_of_what_is_cached_is_a_span_too(emulator: Emulator, start: Start, collector: Collector) -> None:
    running = start(config_for(emulator, telemetry=telemetry(collector, sample_ratio=0.0)))
    emulator.set_checkpoint(STREAM, "app-1", 0, 7)
    for _ in range(3):
        running.client.stub.GetCheckpoint(pb.GetCheckpointRequest(key=key("0")), timeout=20, metadata=SAMPLED)
    running.gateway.stop(5.0)
    assert emulator.request_count() == 1
    spans = collector.servers()
    assert [span.name.rpartition("/")[2] for span in spans] == ["GetCheckpoint"] * 3
    assert {attributes(span)["disgw.key"] for span in spans} == {"stream-1/app-1/0"}


def test_a_caller_that_is_not_sampled_makes_no_span_and_dis_is_told_so(
    emulator: Emulator, start: Start, collector: Collector
) -> None:
    running = start(config_for(emulator, telemetry=telemetry(collector)))
    metadata = [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-00")]
    running.client.stub.CommitCheckpoint(commit(10), timeout=20, metadata=metadata)
    running.gateway.stop(5.0)
    assert collector.spans == []
    assert re.fullmatch(rf"00-{TRACE_ID}-[0-9a-f]{{16}}-00", emulator.requests()[-1].headers["traceparent"])


def test_a_failure_tells_its_code_and_reason(emulator: Emulator, start: Start, collector: Collector) -> None:
    running = start(config_for(emulator, telemetry=telemetry(collector)))
    running.client.commit(10)
    running.client.failure(running.client.commit, 9)
    emulator.inject("cut_before", method="POST")
    running.client.failure(running.client.commit, 11)
    running.gateway.stop(5.0)
    _, refused, unknown = sorted(collector.servers(), key=lambda span: span.start_time_unix_nano)
    assert attributes(refused)["error.type"] == "FAILED_PRECONDITION"
    assert attributes(refused)["disgw.reason"] == "CHECKPOINT_REGRESSION"
    assert refused.status.code == Status.STATUS_CODE_UNSET  # it is the caller's
    assert attributes(unknown)["disgw.reason"] == "COMMIT_OUTCOME_UNKNOWN"
    assert unknown.status.code == Status.STATUS_CODE_ERROR
    assert attributes(collector.clients()[-1])["error.type"] == "lost"


def test_a_folded_write_belongs_to_the_caller_whose_value_is_sent_and_names_some_of_the_others(
    emulator: Emulator, start: Start, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "LINKS_MAX", 3)
    running = start(config_for(emulator, telemetry=telemetry(collector)))
    emulator.inject("hold", method="POST")
    stub = running.client.stub
    first = stub.CommitCheckpoint.future(commit(1), timeout=20)
    emulator.wait_for_held(1)
    others = []
    for number in (2, 9, 3, 4, 5, 6):
        others.append(stub.CommitCheckpoint.future(commit(number), timeout=20))
        wait_until(lambda: running.gateway.service.depth() == len(others))
    emulator.release()
    for call in (first, *others):
        call.result()
    running.gateway.stop(5.0)

    assert emulator.request_count("POST") == 2
    servers = sorted(collector.servers(), key=lambda span: span.start_time_unix_nano)
    one, folded = sorted(collector.clients(), key=lambda span: span.start_time_unix_nano)
    assert one.parent_span_id == servers[0].span_id
    assert list(one.links) == []
    assert folded.parent_span_id == servers[2].span_id  # that of number 9
    assert [link.span_id for link in folded.links] == [servers[place].span_id for place in (1, 3, 4)]


def test_a_shared_read_names_those_who_joined(emulator: Emulator, start: Start, collector: Collector) -> None:
    running = start(config_for(emulator, telemetry=telemetry(collector)))
    emulator.inject("hold", method="GET")
    get = running.client.stub.GetCheckpoint
    first = get.future(pb.GetCheckpointRequest(key=key()), timeout=20)
    emulator.wait_for_held(1)
    second = get.future(pb.GetCheckpointRequest(key=key()), timeout=20)
    shared = lambda: running.gateway.metrics.registry.get_sample_value("disgw_flights_shared_total")  # noqa: E731
    wait_until(lambda: shared() == 1)
    emulator.release()
    first.result()
    second.result()
    running.gateway.stop(5.0)
    leader, joined = sorted(collector.servers(), key=lambda span: span.start_time_unix_nano)
    (client,) = collector.clients()
    assert client.parent_span_id == leader.span_id
    assert [link.span_id for link in client.links] == [joined.span_id]
    assert "partition_id=shardId-0000000000" in attributes(client)["url.full"]


def test_a_stream_and_a_list_are_followed_too(emulator: Emulator, start: Start, collector: Collector) -> None:
    running = start(config_for(emulator, telemetry=telemetry(collector)))
    stub = running.client.stub
    list(stub.StreamCommits(iter([pb.StreamCommitsRequest(id=1, commit=commit(10))]), timeout=20, metadata=SAMPLED))
    stub.ListCheckpoints(pb.ListCheckpointsRequest(stream_name=STREAM, app_name="app-1"), timeout=20)
    running.gateway.stop(5.0)
    servers = {span.name.rpartition("/")[2]: span for span in collector.servers()}
    parents = {attributes(span)["disgw.operation"]: span.parent_span_id for span in collector.clients()}
    assert parents == {"commit": servers["StreamCommits"].span_id, "list": servers["ListCheckpoints"].span_id}
    assert servers["StreamCommits"].trace_id.hex() == TRACE_ID


def test_the_metrics_of_prometheus_reach_a_collector(emulator: Emulator, start: Start, collector: Collector) -> None:
    config = telemetry(collector, otlp_traces=False, otlp_metrics=True)
    running = start(config_for(emulator, telemetry=config))
    for number in (10, 11, 12):
        running.client.commit(number)
    running.gateway.stop(5.0)
    metrics = collector.metrics[-1]
    calls = {
        tuple(sorted((one.key, one.value.string_value) for one in point.attributes)): point.as_double
        for point in metrics["disgw_rpcs"].sum.data_points
    }
    assert calls[("code", "OK"), ("method", "CommitCheckpoint")] == 3
    assert metrics["disgw_rpcs"].sum.is_monotonic
    by_method = {
        point.attributes[0].value.string_value: point for point in metrics["disgw_rpc_seconds"].histogram.data_points
    }
    times = by_method["CommitCheckpoint"]
    assert times.count == sum(times.bucket_counts) == 3
    assert len(times.bucket_counts) == len(times.explicit_bounds) + 1
    assert not times.HasField("min")
    assert times.start_time_unix_nano < times.time_unix_nano
    assert metrics["disgw_rpc_seconds"].unit == "s"
    assert metrics["disgw_build_info"].gauge.data_points[0].as_double == 1
    assert not collector.spans


def test_a_collector_that_is_not_there_holds_up_neither_calls_nor_the_end(emulator: Emulator, start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        running = start(config_for(emulator, telemetry=TelemetryConfig(otlp_endpoint=endpoint, sample_ratio=1.0)))
        running.client.commit(10)
        began = time.monotonic()
        running.gateway.stop(1.0)
        assert time.monotonic() - began < 4.0


def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded() -> None:
    program = (
        "import sys, gateway.cli, gateway.app\n"
        "from gateway.config import Config, CredentialsConfig, ServerConfig, UpstreamConfig\n"
        "config = Config(upstream=UpstreamConfig(endpoint='http://127.0.0.1:1', project_id='0' * 32, region='r'),\n"
        "    credentials=CredentialsConfig(access_key='a', secret_key='s'),\n"
        "    server=ServerConfig(listen='127.0.0.1:0', admin_listen='127.0.0.1:0'))\n"
        "with gateway.app.Gateway(config): pass\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('opentelemetry', 'aiohttp')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.strip() == "[]"
