"""The channel is of the service config, and uses no proxy."""

from __future__ import annotations

import threading
import unittest
from concurrent import futures
from pathlib import Path
from unittest import mock

import grpc

from disgateway.channel import SERVICE_CONFIG, connect
from disgateway.v1 import checkpoint_pb2 as pb
from disgateway.v1 import checkpoint_pb2_grpc


class Gateway(checkpoint_pb2_grpc.CheckpointServiceServicer):
    def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: object) -> pb.GetCheckpointResponse:  # noqa: N802
        return pb.GetCheckpointResponse(found=True)

    def BatchGetCheckpoints(  # noqa: N802
        self, request: pb.BatchGetCheckpointsRequest, context: object
    ) -> pb.BatchGetCheckpointsResponse:
        checkpoint = pb.Checkpoint(sequence_number="9" * 19, metadata="\U0001f600" * 1000)
        result = pb.BatchGetCheckpointsResult(response=pb.GetCheckpointResponse(found=True, checkpoint=checkpoint))
        return pb.BatchGetCheckpointsResponse(results=[result] * 1100)


class Channel(unittest.TestCase):
    def test_the_service_config_is_the_one_of_all_clients(self) -> None:
        wanted = (Path(__file__).parents[2] / "service-config.json").read_bytes()
        self.assertEqual(SERVICE_CONFIG.encode(), wanted)

    def test_a_call_waits_for_a_gateway_that_is_still_starting_and_takes_no_proxy(self) -> None:
        server = grpc.server(futures.ThreadPoolExecutor(1))
        checkpoint_pb2_grpc.add_CheckpointServiceServicer_to_server(Gateway(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        timer = threading.Timer(0.2, server.start)
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "http://127.0.0.1:1")
        with mock.patch.dict("os.environ", proxies), connect(f"127.0.0.1:{port}") as channel:
            timer.start()
            gateway = checkpoint_pb2_grpc.CheckpointServiceStub(channel)
            self.assertTrue(gateway.GetCheckpoint(pb.GetCheckpointRequest(), timeout=5).found)
        timer.join()
        server.stop(None).wait()

    def test_the_largest_answer_is_taken(self) -> None:
        server = grpc.server(futures.ThreadPoolExecutor(1))
        checkpoint_pb2_grpc.add_CheckpointServiceServicer_to_server(Gateway(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with connect(f"127.0.0.1:{port}") as channel:
            gateway = checkpoint_pb2_grpc.CheckpointServiceStub(channel)
            answer = gateway.BatchGetCheckpoints(pb.BatchGetCheckpointsRequest(), timeout=5)
            self.assertGreater(answer.ByteSize(), 4 << 20)
        server.stop(None).wait()


if __name__ == "__main__":
    unittest.main()
