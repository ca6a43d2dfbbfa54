"""``disgateway.v1.CheckpointService``: takes a request apart, asks the service, puts the answer together."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.service import CheckpointService
from gateway.rpc import messages
from gateway.rpc.handlers import MethodTable, unary
from gateway.rpc.messages import MessageReader

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["CheckpointService"].full_name


class CheckpointServicer:
    """The methods of the service; each takes a request and its deadline, and returns the response or raises.

    Deadlines are on ``clock``, in seconds.
    """

    def __init__(self, service: CheckpointService, reader: MessageReader) -> None:
        self._service = service
        self._reader = reader

    def get(self, request: pb.GetCheckpointRequest, deadline: float) -> pb.GetCheckpointResponse:
        """``GetCheckpoint``."""
        key = self._reader.key(request)
        fresh, max_age = messages.wants_fresh(request), messages.max_age(request)
        return messages.read_response(self._service.get(key, fresh=fresh, max_age=max_age, deadline=deadline))

    def commit(self, request: pb.CommitCheckpointRequest, deadline: float) -> pb.CommitCheckpointResponse:
        """``CommitCheckpoint``."""
        effective = self._service.commit(self._reader.commit(request), deadline=deadline)
        return pb.CommitCheckpointResponse(
            result=pb.COMMIT_RESULT_COMMITTED, effective=messages.checkpoint_message(effective)
        )

    def delete(self, request: pb.DeleteCheckpointRequest, deadline: float) -> pb.DeleteCheckpointResponse:
        """``DeleteCheckpoint``."""
        self._service.delete(self._reader.key(request), deadline=deadline)
        return pb.DeleteCheckpointResponse()

    def handlers(self, max_message: int, clock: Callable[[], float]) -> grpc.GenericRpcHandler:
        """What ``grpc.Server`` takes. ``max_message`` is the size of the largest request taken, in bytes."""
        methods: MethodTable = {
            "GetCheckpoint": unary(self.get, pb.GetCheckpointRequest, max_message, clock),
            "CommitCheckpoint": unary(self.commit, pb.CommitCheckpointRequest, max_message, clock),
            "DeleteCheckpoint": unary(self.delete, pb.DeleteCheckpointRequest, max_message, clock),
        }
        return grpc.method_handlers_generic_handler(SERVICE_NAME, methods)
