"""Reads and commits checkpoints for many callers at once: threads, waiting and I/O around the decisions of the core."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TypeVar

import structlog

from gateway.checkpoints.cache import CheckpointCache, Known
from gateway.checkpoints.core import Core, CoreSettings
from gateway.checkpoints.listings import Listings
from gateway.checkpoints.snapshots import CachedKey, Lane
from gateway.checkpoints.store import CheckpointStore
from gateway.checkpoints.waits import (
    CACHED,
    AwaitedCommit,
    AwaitedDelete,
    AwaitedRead,
    Caller,
    ReadWish,
    SubmittedCommit,
    SubmittedDelete,
    SubmittedRead,
    Waiting,
    answer_calls,
)
from gateway.checkpoints.watch import Watch, Watches
from gateway.checkpoints.work import (
    Answer,
    Call,
    Changed,
    CommitResult,
    DeleteCall,
    Deleted,
    Effect,
    Event,
    Job,
    Linger,
    Note,
    Outdated,
    Phase,
    ReadCall,
    ReadJob,
    ReadResult,
    Result,
    Start,
    WriteJob,
    expected,
)
from gateway.checkpoints.workers import Later, Workers
from gateway.errors import (
    CommitOutcomeUnknown,
    DeleteOutcomeUnknown,
    GatewayError,
    OutcomeUnknown,
    Overloaded,
    unexpected,
)
from gateway.limit import LogLimit
from gateway.model import Checkpoint, CheckpointKey, Commit, PartitionPage, PartitionState
from gateway.trace import Trace

CallT = TypeVar("CallT", bound=Call)

_AT_A_TIME = 32
"""Calls of a batch that are decided on before their work begins."""

_REFRESH_SECONDS = 30.0
"""So long DIS is asked on behalf of those who watch a key."""

log = structlog.get_logger("gateway.checkpoints")

_LOGGED = {
    Event.REWOUND: "checkpoint_rewound",
    Event.REGRESSION_ALLOWED: "checkpoint_regression_allowed",
}
"""What goes well, and whoever looks for a lost record later wants to know. What is refused the edge logs."""


Counter = Callable[[Event, int, float | None], None]
"""Hears what has happened, how often, and the age in seconds of what was served from the cache."""


@dataclass(slots=True)
class CheckpointService:
    """Thread-safe. Deadlines are on ``clock``, in seconds; at most ``concurrency`` calls to the store at once."""

    store: CheckpointStore
    settings: CoreSettings
    max_entries: int
    clock: Callable[[], float]
    concurrency: int = 64
    count: Counter = lambda event, count, age: None
    count_hit: Callable[[float], None] = lambda age: None
    """Hears of one that was served from the cache by :meth:`find`: its age in seconds."""
    count_hits: Callable[[Sequence[float]], None] = lambda ages: None
    """Hears of many that were served from the cache at once: their ages in seconds."""
    saw_partitions: Callable[[Sequence[PartitionState]], None] = lambda partitions: None
    wrote: Callable[[CheckpointKey, bool], None] = lambda key, exists: None
    """Hears of each write that DIS has carried out: whether there is a checkpoint now."""
    cache: CheckpointCache = field(init=False)
    _core: Core = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _idle: threading.Condition = field(init=False, default_factory=threading.Condition)
    _writing: int = field(init=False, default=0)
    _workers: Workers = field(init=False)
    _listings: Listings = field(init=False)
    _later: Later = field(init=False)
    _watches: Watches = field(init=False, default_factory=Watches)
    _limit: LogLimit = field(init=False)

    def __post_init__(self) -> None:
        self.cache = CheckpointCache(self.max_entries)
        self._core = Core(self.settings, self.cache, self.clock)
        self._workers = Workers(self.concurrency, "upstream")
        self._listings = Listings(self.store, self._workers.put, self.clock)
        self._later = Later(self.clock, "linger")
        self._limit = LogLimit(self.clock)

    # one checkpoint

    def get(self, key: CheckpointKey, caller: Caller, wish: ReadWish = CACHED) -> ReadResult:
        """The checkpoint of ``key``. Raises :class:`GatewayError`."""
        return expected(self.get_many([key], caller, wish)[0], ReadResult)

    def commit(self, commit: Commit, caller: Caller) -> CommitResult:
        """Write through to DIS. Raises :class:`GatewayError`.

        :class:`~gateway.errors.CheckpointRegression` for a number below the one that DIS has, unless a rewind is
        allowed. The caller's deadline bounds its wait; a write that was sent is followed to its end.
        """
        waiting = Waiting(1)
        call = AwaitedCommit(commit.key, caller.deadline, commit, waiting, 0, trace=caller.trace)
        return expected(self._written(call, self._core.commit, waiting, caller), CommitResult)

    def delete(self, key: CheckpointKey, caller: Caller) -> None:
        """Delete one partition's checkpoint from DIS. Raises :class:`GatewayError`."""
        waiting = Waiting(1)
        call = AwaitedDelete(key, caller.deadline, waiting, trace=caller.trace)
        expected(self._written(call, self._core.delete, waiting, caller), Deleted)

    def find(self, key: CheckpointKey, max_age: float | None, now: float) -> tuple[Known, float] | None:
        """What can be served at ``now`` without asking DIS, and until when. It is not counted."""
        with self._lock:
            return self._core.cached(key, max_age, now)

    # many

    def get_many(self, keys: Sequence[CheckpointKey], caller: Caller, wish: ReadWish = CACHED) -> Sequence[Result]:
        """The checkpoints of many keys, in order; an error stands in its own place."""
        waiting = Waiting(len(keys))
        calls = [
            AwaitedRead(
                key,
                caller.deadline,
                wish.fresh,
                wish.max_age,
                wish.allow_stale,
                waiting.answer,
                place,
                trace=caller.trace,
            )
            for place, key in enumerate(keys)
        ]
        self._begin(calls, self._core.read)
        if waiting.done or not calls:
            return self._results(waiting, calls, caller)
        try:
            with caller.waiting():
                return self._results(waiting, calls, caller)
        except Overloaded:
            self.leave(calls)
            raise

    def commit_many(self, commits: Iterable[Commit], caller: Caller, most: int) -> Sequence[Result]:
        """Write many checkpoints through to DIS, side by side, those of one key in order; an error in its place.

        There are at most ``most``. They are taken some at a time: DIS is asked for the first ones while others are
        still being read.
        """
        waiting = Waiting(most)
        calls: list[AwaitedCommit] = []
        with caller.waiting():
            rest, deadline, trace = enumerate(commits), caller.deadline, caller.trace
            while some := [
                AwaitedCommit(commit.key, deadline, commit, waiting, place, trace=trace)
                for place, commit in islice(rest, _AT_A_TIME)
            ]:
                calls += some
                with self._lock:
                    effects = self._core.commits(some)
                self._perform(effects)
            waiting.no_more_than(len(calls))
            return self._results(waiting, calls, caller)

    # without waiting: ``answer`` gets the outcome once, from any thread, and must not block; what is returned can leave

    def submit_read(
        self,
        key: CheckpointKey,
        wish: ReadWish,
        answer: Callable[[Result], None],
        *,
        deadline: float,
        trace: Trace | None = None,
    ) -> Call:
        """:meth:`get` without waiting."""
        call = SubmittedRead(key, deadline, wish.fresh, wish.max_age, wish.allow_stale, answer, trace=trace)
        return self._submitted(call, self._core.read)

    def submit(
        self, commit: Commit, answer: Callable[[Result], None], *, deadline: float, trace: Trace | None = None
    ) -> Call:
        """:meth:`commit` without waiting."""
        return self._submitted(SubmittedCommit(commit.key, deadline, commit, answer, trace=trace), self._core.commit)

    def submit_delete(
        self, key: CheckpointKey, answer: Callable[[Result], None], *, deadline: float, trace: Trace | None = None
    ) -> Call:
        """:meth:`delete` without waiting."""
        return self._submitted(SubmittedDelete(key, deadline, answer, trace=trace), self._core.delete)

    def leave(self, calls: Sequence[Call]) -> None:
        """Give up a wait: those that have no answer get one now. What was not sent for them will not be."""
        waiting = [call for call in calls if call.phase is not Phase.DONE]
        if waiting:
            with self._lock:
                effects = self._core.left(waiting)
            self._perform(effects)

    # a stream's partitions

    def partitions(self, stream: str, app: str, after: str, limit: int, caller: Caller) -> PartitionPage:
        """Where an app stands in the partitions of a stream, from DIS. Raises :class:`GatewayError`.

        What it shows to be outdated is dropped from the cache.
        """
        with self._lock:
            order = self._core.next_order()
        page = self._listings.page(stream, app, after, limit, caller)
        self.saw_partitions(page.partitions)
        with self._lock:
            effects = self._core.listed(order, [(one.key, one.number) for one in page.partitions])
        self._perform(effects)
        return page

    # changes

    def watch(self, keys: Sequence[CheckpointKey], wake: Callable[[], None]) -> Watch:
        """Follow some keys; ``wake`` is called, from any thread, when :meth:`Watch.take` has something to give."""
        return self._watches.add(keys, wake)

    def present(self, watch: Watch, keys: Sequence[CheckpointKey], caller: Caller) -> None:
        """Tell a watch the present values of some keys. Raises the first :class:`GatewayError`."""
        for key, result in zip(keys, self.get_many(keys, caller), strict=True):
            found = expected(result, ReadResult)
            watch.changed(key, found.checkpoint, found.order)

    def unwatch(self, watch: Watch) -> None:
        """Follow them no longer."""
        self._watches.remove(watch)

    # inside

    def drain(self) -> None:
        """Answer what waits, with ``GATEWAY_DRAINING``, and take nothing more; what was sent goes on."""
        with self._lock:
            effects = self._core.drain()
        self._listings.drain()
        self._perform(effects)

    def abandon(self) -> None:
        """:meth:`drain`, and wait for DIS no longer: callers of a write that was sent hear that its fate is unknown."""
        self.drain()
        with self._lock:
            effects = self._core.abandon()
        self._perform(effects)

    def close(self, seconds: float = threading.TIMEOUT_MAX) -> bool:
        """:meth:`drain`, and follow what was written to its end; tells whether that came within ``seconds``.

        Reads that DIS has not answered are left alone: nobody waits for them any more.
        """
        self.drain()
        with self._idle:
            ended = self._idle.wait_for(lambda: not self._writing, seconds)
        self._workers.close()
        self._later.close()
        return ended

    def depth(self) -> int:
        """How many writes wait in lanes."""
        with self._lock:
            return self._core.waiting

    def active(self) -> int:
        """How many keys have something under way."""
        with self._lock:
            return self._core.active

    def cached(self) -> int:
        """How many keys something is known of."""
        with self._lock:
            return len(self.cache)

    def cached_keys(self, limit: int) -> list[CachedKey]:
        """At most ``limit`` keys that something is known of, the last heard of first."""
        with self._lock:
            latest, now = self.cache.latest(limit), self.clock()
        return [CachedKey(key, known.number, now - known.at, known.complete) for key, known in latest]

    def lanes(self, limit: int) -> list[Lane]:
        """At most ``limit`` keys with something under way, the most waited for first."""
        with self._lock:
            return self._core.lanes(limit)

    def _begin(self, calls: Sequence[CallT], event: Callable[[CallT], list[Effect]]) -> None:
        """Some at a time, so that DIS is asked for the first ones while the others are still being looked at."""
        for start in range(0, len(calls), _AT_A_TIME):
            effects: list[Effect] = []
            with self._lock:
                for call in calls[start : start + _AT_A_TIME]:
                    effects += event(call)
            self._perform(effects)

    def _refresh_watched(self, key: CheckpointKey) -> None:
        if not self._watches.watched(key):
            return
        with self._lock:
            effects = self._core.read(AwaitedRead(key, self.clock() + _REFRESH_SECONDS, True))
        self._perform(effects)

    def _submitted(self, call: CallT, event: Callable[[CallT], list[Effect]]) -> Call:
        with self._lock:
            effects = event(call)
        try:
            self._perform(effects)
        except Exception as failure:
            log.exception("upstream_call_failed_unexpectedly", key=str(call.key))
            raise _unexpected(call) from failure
        return call

    def _written(self, call: CallT, event: Callable[[CallT], list[Effect]], waiting: Waiting, caller: Caller) -> Result:
        with caller.waiting():
            self._begin([call], event)
            return self._results(waiting, [call], caller)[0]

    def _results(self, waiting: Waiting, calls: Sequence[Call], caller: Caller) -> Sequence[Result]:
        if calls and not waiting.done:
            if caller.on_gone(lambda: self.leave(calls)) is False:
                self.leave(calls)  # it has gone already
            if not waiting.wait(caller.deadline - self.clock()):
                self.leave(calls)  # which answers them all
                waiting.wait(threading.TIMEOUT_MAX)
        return [result for result in waiting.results if result is not None]

    def _perform(self, effects: Sequence[Effect]) -> None:
        """Carry out what the core decided. The answers come late, when all else can be seen.

        What is noted is counted first: the work may be over, and its caller answered, before this thread goes on.
        """
        if not effects:
            return
        others = [effect for effect in effects if not isinstance(effect, Answer)]
        notes = [effect for effect in others if isinstance(effect, Note)]
        for note in notes:
            self._count(note)
        for begun in others:
            if isinstance(begun, Start):
                self._start(begun.job)
            elif isinstance(begun, Linger):
                self._later.put(begun.until, partial(self._lingered, begun))
        self._tell(others)
        for answer in effects:
            if isinstance(answer, Answer):
                answer_calls(answer.calls, answer.result)
        for note in notes:
            self._log(note)

    def _tell(self, effects: Sequence[Effect]) -> None:
        """Those who follow a key."""
        for effect in effects:
            if isinstance(effect, Changed):
                self._watches.changed(effect.key, effect.checkpoint, effect.order)
            elif isinstance(effect, Outdated):
                self._refresh_watched(effect.key)

    def _start(self, job: Job) -> None:
        """Have a job carried out, when there is a thread for it."""
        self._workers.put(partial(self._write, job) if isinstance(job, WriteJob) else partial(self._carry_out, job))

    def _write(self, job: WriteJob) -> None:
        with self._idle:
            self._writing += 1
        try:
            with self._lock:
                effects = self._core.take_up(job)
            try:
                if effects:
                    self._perform(effects)
            finally:  # whatever becomes of those who were late
                if job.taken_up:
                    self._carry_out(job)
        finally:
            with self._idle:
                self._writing -= 1
                if not self._writing:
                    self._idle.notify_all()

    def _carry_out(self, job: Job) -> None:
        outcome = self._outcome(job)
        with self._lock:
            effects = self._core.finished(job, outcome)
        self._perform(effects)

    def _lingered(self, linger: Linger) -> None:
        with self._lock:
            effects = self._core.lingered(linger)
        self._perform(effects)

    def _outcome(self, job: Job) -> Checkpoint | GatewayError | None:
        try:
            if isinstance(job, ReadJob):
                return self.store.read(job.key, job.until, job.traces)
            if job.commit is not None:
                self.store.commit(job.commit, job.until, job.traces)
            else:
                self.store.delete(job.key, job.until, job.traces)
            self.wrote(job.key, job.commit is not None)
        except GatewayError as error:
            return error
        except Exception:
            log.exception("upstream_call_failed_unexpectedly", key=str(job.key))
            return _unexpected(job)
        return None

    def _count(self, note: Note) -> None:
        self.count(note.event, note.count, note.age)

    def _log(self, note: Note) -> None:
        name = _LOGGED.get(note.event)
        if name and (suppressed := self._limit.admit(name)) is not None:
            more = {"suppressed": suppressed} if suppressed else {}
            log.warning(name, key=str(note.key), standing=str(note.before), committed=str(note.after), **more)


def _unexpected(work: Job | Call) -> GatewayError:
    if isinstance(work, ReadJob | ReadCall):
        return unexpected()
    deletes = isinstance(work, DeleteCall) or (isinstance(work, WriteJob) and work.commit is None)
    kind: type[OutcomeUnknown] = DeleteOutcomeUnknown if deletes else CommitOutcomeUnknown
    return kind("the gateway failed unexpectedly while it wrote; its log has more")
