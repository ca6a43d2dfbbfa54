"""The short way of a read that is cached: consumers ask for the same few checkpoints in the same bytes all the time.

What a request says is remembered by its bytes, and the part of an answer that does not change by the checkpoint that it
is about. Whether a value may be served is asked of the service each time, as for every other read.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.cache import Known
from gateway.checkpoints.service import CachedReads, CheckpointService
from gateway.checkpoints.work import ReadResult, Source
from gateway.errors import GatewayError
from gateway.rpc import messages
from gateway.rpc.admission import Permit
from gateway.rpc.handlers import parsed
from gateway.rpc.messages import MessageReader

_REMEMBERED = 4096
"""Requests that are remembered, with their answers: a few MiB at most."""
_REQUEST_MAX = 256
"""Bytes of a request that is; one with names and a partition has far less."""


class _Read:
    """A request that was understood, and the last answer to it."""

    __slots__ = ("_last", "reads")

    def __init__(self, reads: CachedReads) -> None:
        self.reads = reads
        self._last: tuple[Known, bytes] | None = None

    def answer(self, known: Known, age: float) -> bytes:
        """As :func:`gateway.rpc.messages.read_response`, in bytes: those of a message in parts add up to the whole."""
        last = self._last
        if last is None or last[0] is not known:
            ageless = ReadResult(known.checkpoint, Source.CACHE)
            last = self._last = known, messages.read_response(ageless).SerializeToString()
        return last[1] + _age(ceil(age * 1000))


@lru_cache(_REMEMBERED)
def _age(milliseconds: int) -> bytes:
    age = pb.GetCheckpointResponse()
    age.age.FromMilliseconds(milliseconds)
    return age.SerializeToString()


class QuickReads:
    """Answers ``GetCheckpoint`` where nothing but the cache is needed."""

    def __init__(self, service: CheckpointService, reader: MessageReader) -> None:
        self._service = service
        self._reader = reader
        self._understood = lru_cache(_REMEMBERED)(self._understand)

    def __call__(self, data: bytes, permit: Permit, now: float) -> bytes | None:
        """The answer to the request ``data``; None where it takes the long way. Raises what ``permit`` raises."""
        if len(data) > _REQUEST_MAX:
            return None
        read = self._understood(data)
        if read is None:
            return None
        reads = read.reads
        key = reads.key
        permit(key.stream_name, key.app_name)
        known = reads.take(now)
        return None if known is None else read.answer(known, max(0.0, now - known.at))

    def _understand(self, data: bytes) -> _Read | None:
        try:
            request = parsed(data, pb.GetCheckpointRequest, _REQUEST_MAX)
            key, wish = self._reader.key(request), messages.read_wish(request)
        except GatewayError:
            return None  # the long way says what is wrong
        if wish.fresh or wish.max_age == 0:
            return None
        return _Read(self._service.cached_reads(key, wish.max_age))
