"""The short way of reads that are cached: consumers ask for the same few checkpoints all the time.

What a request says is remembered, and the part of an answer that does not change, by the checkpoint that it is about.
Whether a value may be served is asked of the service, or known from when that was last asked: see ``CachedReads``.
Answers are put together from the bytes of their parts: those of a message in parts add up to the whole.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import count
from math import ceil, inf

from google.protobuf.message import DecodeError

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.checkpoints.cache import Known
from gateway.checkpoints.reads import CachedReads
from gateway.checkpoints.service import CheckpointService
from gateway.errors import CallerNotAllowed, InvalidField
from gateway.model import CheckpointKey
from gateway.rpc import messages
from gateway.rpc.admission import Permit
from gateway.rpc.calls import MethodCalls
from gateway.rpc.encoded import RESULT_HEADS, age_of, ageless
from gateway.rpc.messages import MessageReader

_REMEMBERED = 4096
"""Reads that are remembered, with their answers: some MiB, and ten times as much where all metadata is long."""
_BATCHES_REMEMBERED, _BATCH_MAX = 16, 16 * 1024
"""Batches that are, and the most bytes of one; they have as many reads together as are remembered at the most. Who has
many partitions asks for all of them again."""
_ONE_OF = 8
"""Where there is no more room, one of so many requests that are not remembered will be: those that come often are soon
met, and of a million that come in turn few are remembered in vain."""
_REQUEST_MAX = 256
"""Bytes of a request that is; one with names and a partition has far less, and one of a batch never has more."""
_READ_MAX = 4096
"""Bytes of a request that is looked at here; one with the longest names that may be allowed has less."""


class _Read(CachedReads[bytes]):
    """A read that was understood. What it has to show is the answer but for the age."""

    __slots__ = ("allowed",)

    def __init__(self, service: CheckpointService, key: CheckpointKey, max_age: float) -> None:
        super().__init__(service.find, key, max_age, ageless)
        self.allowed: Permit | None = None
        """the last one that allowed it"""


class QuickReads:
    """Answers ``GetCheckpoint`` and ``BatchGetCheckpoints`` where nothing but the cache is needed."""

    def __init__(self, service: CheckpointService, reader: MessageReader, batches: MethodCalls) -> None:
        self._service = service
        self._reader = reader
        self._batches = batches
        self._count_hit = service.count_hit
        self._memo: OrderedDict[bytes, _Read] = OrderedDict()
        self._batch_memo: OrderedDict[bytes, list[_Read]] = OrderedDict()
        self._batch_lock = threading.Lock()
        """for whoever changes it"""
        self._news = count(1)

    def one(self, data: bytes, permit: Permit, now: float) -> bytes | None:
        """The answer to ``GetCheckpoint``; None where it takes the long way. Raises what ``permit`` raises."""
        served = self._served(data, permit, now) if len(data) <= _READ_MAX else None
        if served is None:
            return None
        known, answer = served
        age = now - known.at if now > known.at else 0.0
        self._count_hit(age)
        return answer + age_of(ceil(age * 1000))

    def many(self, data: bytes, permit: Permit, now: float) -> bytes | None:
        """The answer to ``BatchGetCheckpoints``; None where one of its keys takes the long way, or is refused."""
        reads, requests = self._reads(data)
        if not reads:
            return None
        parts: list[bytes] = []
        ages: list[float] = []
        told: dict[int, bytes] = {}  # ages by milliseconds: what was read together is as old
        heads = RESULT_HEADS
        try:
            for place, read in enumerate(reads):
                if read is None:
                    served = self._new(requests[place], permit, now)
                    if served is None:
                        return None
                    known, answer = served
                else:  # what _served does, less a call for each
                    if read.allowed is not permit:
                        permit(*read.key.app)
                        read.allowed = permit
                    held = read.look(now)
                    if held is None:
                        return None
                    known, answer = held.known, held.shown
                age = now - known.at if now > known.at else 0.0
                ages.append(age)
                milliseconds = ceil(age * 1000)
                tail = told.get(milliseconds)
                if tail is None:
                    tail = told[milliseconds] = age_of(milliseconds)
                parts += (heads[len(answer) + len(tail)], answer, tail)
        except CallerNotAllowed:
            return None
        if requests:
            self._remember_batch(data, reads)
        self._service.count_hits(ages)
        self._batches.items(len(ages))
        return b"".join(parts)

    def _reads(self, data: bytes) -> tuple[Sequence[_Read | None], Sequence[bytes]]:
        """What a batch asks for, None where it is not remembered; and the single requests, where it is not itself."""
        known = self._batch_memo.get(data)
        if known is not None:
            return known, ()
        requests = messages.single_requests(data) or ()
        return [self._memo.get(request) for request in requests], requests

    def _served(self, data: bytes, permit: Permit, now: float) -> tuple[Known, bytes] | None:
        """What is known, and the answer to a ``GetCheckpoint`` but for the age."""
        read = self._memo.get(data)
        if read is None:
            return self._new(data, permit, now)
        if read.allowed is not permit:
            permit(*read.key.app)
            read.allowed = permit
        held = read.look(now)
        return None if held is None else (held.known, held.shown)

    def _new(self, data: bytes, permit: Permit, now: float) -> tuple[Known, bytes] | None:
        """The same, of a request that is not remembered."""
        asked = self._understand(data)
        if asked is None:
            return None
        key, max_age = asked
        permit(*key.app)
        found = self._service.find(key, max_age, now)
        if found is None:
            return None
        self._remember(data, key, max_age)
        return found[0], ageless(found[0])

    def _remember(self, data: bytes, key: CheckpointKey, max_age: float) -> None:
        """Remember a request; where there is no more room one of some, in the place of that which came first."""
        memo = self._memo
        if len(data) > _REQUEST_MAX:
            return
        if len(memo) >= _REMEMBERED:
            if next(self._news) % _ONE_OF:
                return
            memo.popitem(last=False)
        memo[data] = _Read(self._service, key, max_age)

    def _remember_batch(self, data: bytes, reads: Sequence[_Read | None]) -> None:
        """Remember what a batch asks for, in the same way, if each of its reads is remembered."""
        known = [read for read in reads if read is not None]
        if len(data) > _BATCH_MAX or len(known) < len(reads):
            return
        with self._batch_lock:
            memo = self._batch_memo
            count = len(known) + sum(map(len, memo.values()))
            if (len(memo) >= _BATCHES_REMEMBERED or count > _REMEMBERED) and next(self._news) % _ONE_OF:
                return
            while memo and (len(memo) >= _BATCHES_REMEMBERED or count > _REMEMBERED):
                count -= len(memo.popitem(last=False)[1])
            memo[data] = known

    # What is wrong is not remembered: wrong names can be as long as a message.

    def _understand(self, data: bytes) -> tuple[CheckpointKey, float] | None:
        """The key of a request, and how old in seconds what is cached may be."""
        try:
            plain = self._reader.plain_key(data)
            if plain is not None:
                return plain, inf
            request = pb.GetCheckpointRequest.FromString(data)
            max_age = _from_cache(request)
            if max_age is None or not request.HasField("key"):
                return None
            return self._reader.bare_key(request.key, "key"), max_age
        except (DecodeError, InvalidField):
            return None  # the long way says what is wrong


def _from_cache(request: messages.ReadRequest) -> float | None:
    """How old in seconds what is cached may be; None where DIS must be asked. Raises :class:`InvalidField`."""
    wish = messages.read_wish(request)
    if wish.fresh or wish.max_age == 0:
        return None
    return inf if wish.max_age is None else wish.max_age
