"""The gRPC server of the gateway: start, serve, stop, in plain order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import cast

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.service import CheckpointService
from gateway.checkpoints.waits import Caller
from gateway.errors import ListenError
from gateway.rpc.admission import Admission, CallersSettings, Permit
from gateway.rpc.arrivals import Arrivals
from gateway.rpc.calls import CallsOf, unseen
from gateway.rpc.deadlines import Deadlines
from gateway.rpc.departure import connections
from gateway.rpc.handlers import MethodTable, Quick, Request, Shared, UnaryMethod, Work
from gateway.rpc.inner import inner_parts
from gateway.rpc.limits import REFUSALS, ConnectionLimits, transport_options
from gateway.rpc.listeners import Bound, Listeners
from gateway.rpc.messages import MessageReader
from gateway.rpc.pool import CallPool
from gateway.rpc.probes import Probes
from gateway.rpc.quick import QuickReads
from gateway.rpc.reflection import Reflection
from gateway.rpc.servicer import ADMIN_SERVICE_NAME, SERVICE_NAME, CheckpointAdminServicer, CheckpointServicer
from gateway.rpc.sockets import SocketAccess
from gateway.rpc.streams import StreamServicer
from gateway.rpc.tls import Certificates, TlsSettings

_PATIENT_PART = 0.8
"""Share of the time to stop after which calls that still wait are answered."""
_HEARD_SECONDS = 0.2
"""In which clients hear that their streams have ended, and send no more."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Of at most ``max_concurrent_calls`` calls, ``workers`` may wait for DIS; sizes in bytes."""

    listen: Sequence[str]
    workers: int = 128
    max_concurrent_calls: int = 1000
    max_streams: int = 64
    admin_service: bool = False
    max_message: int = 1024 * 1024
    app_name_max: int = 50
    reflection: bool = True
    sockets: SocketAccess = field(default_factory=SocketAccess)
    tls: TlsSettings | None = None
    callers: CallersSettings | None = None
    connection: ConnectionLimits = field(default_factory=ConnectionLimits)


class GatewayServer:
    """Serves ``CheckpointService``, ``grpc.health.v1`` and reflection on every address of the settings."""

    def __init__(
        self,
        service: CheckpointService,
        settings: ServerSettings,
        clock: Callable[[], float] = time.monotonic,
        ready: Callable[[], bool] = lambda: True,
        calls_of: CallsOf = unseen,
    ) -> None:
        self._settings = settings
        self._calls_of = calls_of
        self._service = service
        self._admission = Admission(settings.callers, clock)
        self._pool = CallPool(settings.workers, settings.max_concurrent_calls, "rpc")
        most = settings.max_concurrent_calls + settings.max_streams + REFUSALS
        self._shared = Shared(settings.max_message, clock, self._pool, Deadlines(clock))
        parts = inner_parts()
        self._arrivals = None if parts is None else Arrivals(parts, self._pool, settings.max_concurrent_calls)
        self._server = grpc.server(
            cast(ThreadPoolExecutor, self._arrivals or self._pool),
            maximum_concurrent_rpcs=most,
            options=transport_options(settings.connection, settings.max_message, most),
        )
        certificates = Certificates(settings.tls, clock) if settings.tls else None
        self._listeners = Listeners(self._server, certificates, settings.sockets)
        reader = MessageReader(settings.app_name_max)
        self._streams = StreamServicer(
            service,
            reader,
            self._shared,
            self._admission,
            settings.max_streams,
            settings.connection.max_age,
            calls_of,
        )
        self._services = [SERVICE_NAME, health.SERVICE_NAME]
        self._server.add_registered_method_handlers(SERVICE_NAME, self._checkpoint_handlers(service, reader))
        if settings.admin_service:
            self._services.append(ADMIN_SERVICE_NAME)
            handlers = self._admin_handlers(service, reader)
            self._server.add_registered_method_handlers(ADMIN_SERVICE_NAME, handlers)
        self._probes = Probes(self._services, ready)
        self._server.add_generic_rpc_handlers((self._probes.handlers(),))
        self._reflection = Reflection(self._services)
        if settings.reflection:
            self._server.add_generic_rpc_handlers((self._reflection.handlers(),))
        self.bound: tuple[Bound, ...] = ()

    def start(self) -> None:
        """Listen and serve. Raises :class:`ListenError` where an address cannot be used; nothing listens then."""
        try:
            for address in self._settings.listen:
                self.bound = (*self.bound, self._listeners.bind(address))
        except ListenError:
            self.stop(0)
            raise
        self._server.start()

    def announce(self) -> None:
        """Say "serving", to those who ask for health."""
        self._probes.serving()

    def open_streams(self) -> int:
        """How many streams are open."""
        return self._streams.open_count()

    def leave(self) -> None:
        """Say "not serving", and serve on."""
        self._probes.stopping()

    def connections(self) -> int:
        """How many connections clients have."""
        return connections(self.bound)

    def stop(self, seconds: float) -> None:
        """Take no new calls, and return when those under way have ended; that takes at most about ``seconds``.

        First streams answer what they took, and end with ``GATEWAY_DRAINING``. Shortly before the time is over whoever
        still waits is told how its call stands; a write that was sent goes on to its end.
        """
        until, patient = time.monotonic() + seconds, time.monotonic() + seconds * _PATIENT_PART
        self._probes.stopping()
        for one in self.bound:
            one.remove()
        self._pool.take_no_more()
        self._end_streams(until, patient)
        ended = self._server.stop(max(0.0, until - time.monotonic()))
        if not ended.wait(max(0.0, patient - time.monotonic())):
            self._service.abandon()
            ended.wait()
        self._service.drain()  # whoever still waits may hold a thread
        self._pool.shutdown()
        if self._arrivals is not None:
            self._arrivals.close()
        self._shared.deadlines.close()
        self._probes.close()
        self._reflection.close()
        self._streams.close()

    def _end_streams(self, until: float, patient: float) -> None:
        """End them while their connections are open, by these times of the monotonic clock.

        gRPC closes a connection with its last call. Where something comes over it that nobody reads any more, the
        system forgets what has not arrived yet of the last answers, and of how the stream ended.
        """
        if not self._streams.drain():
            return
        if not self._streams.wait(max(0.0, patient - time.monotonic())):
            self._service.abandon()
            self._streams.wait(max(0.0, (until - time.monotonic()) / 2))
        time.sleep(max(0.0, min(_HEARD_SECONDS, (until - time.monotonic()) / 2)))

    def _checkpoint_handlers(self, service: CheckpointService, reader: MessageReader) -> MethodTable:
        servicer = CheckpointServicer(service, reader, self._calls_of)
        quick = QuickReads(service, reader, self._calls_of("BatchGetCheckpoints"))

        methods: MethodTable = dict(
            (
                self._unary(
                    "GetCheckpoint", servicer.get, pb.GetCheckpointRequest, quick=quick.one, work=servicer.reads()
                ),
                self._unary("CommitCheckpoint", servicer.commit, pb.CommitCheckpointRequest, work=servicer.commits()),
                self._unary("DeleteCheckpoint", servicer.delete, pb.DeleteCheckpointRequest, work=servicer.deletes()),
                self._unary("ListCheckpoints", servicer.list, pb.ListCheckpointsRequest),
                self._unary("BatchGetCheckpoints", servicer.batch_get, pb.BatchGetCheckpointsRequest, quick=quick.many),
                self._unary("BatchCommitCheckpoints", servicer.batch_commit, pb.BatchCommitCheckpointsRequest),
            )
        )
        return methods | self._streams.handlers(threads=self._arrivals is None)

    def _admin_handlers(self, service: CheckpointService, reader: MessageReader) -> MethodTable:
        servicer = CheckpointAdminServicer(service, reader)
        return dict((self._unary("DeleteAppCheckpoints", servicer.delete_app, pb.DeleteAppCheckpointsRequest),))

    def _unary(
        self,
        name: str,
        method: Callable[[Request, Caller, Permit], Message | bytes],
        kind: type[Request],
        *,
        quick: Quick | None = None,
        work: Work[Request] | None = None,
    ) -> tuple[str, grpc.RpcMethodHandler[bytes, bytes]]:
        calls, admit = self._calls_of(name), self._admission.to(name)
        return name, UnaryMethod(self._shared, method, kind, calls, admit, quick, work).handler()
