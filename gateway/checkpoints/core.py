"""The decisions on reads and commits as a state machine: events in, effects out; no thread, no I/O, no own clock.

The rules that it keeps, for each key:

- One write is under way at a time. Commits that arrive meanwhile wait in the key's lane; then the run of them at its
  head folds into one write of the highest number. Rewinds and deletes are barriers: they are never folded.
- After a write that carried several callers the lane lingers for them to come back, where they do: one write for them
  all, and not one for those who came first and another for the rest.
- What a read brings replaces what is known only if nothing was heard since the read was asked for. So a slow read never
  overwrites a newer commit or a newer read, and no reader is taken back.
- A write whose outcome is not known leaves a doubt: nothing is served, and no commit decided, before DIS was asked.
- A commit below the known number asks DIS first, and is refused if DIS has more.

A driver calls the methods under one lock, and carries the effects out after it let go of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import nlargest
from itertools import islice
from math import inf

from gateway.checkpoints.cache import CheckpointCache, Known
from gateway.checkpoints.lane import KeyState, highest_of
from gateway.checkpoints.snapshots import Lane
from gateway.checkpoints.work import (
    Answer,
    Call,
    Changed,
    CommitCall,
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
    Source,
    Start,
    WriteCall,
    WriteJob,
)
from gateway.errors import (
    CheckpointRegression,
    CommitOutcomeUnknown,
    DeadlineTooShort,
    DeleteOutcomeUnknown,
    Draining,
    GatewayError,
    OutcomeUnknown,
    Overloaded,
    ReadTimedOut,
    Status,
)
from gateway.model import Checkpoint, CheckpointKey, SequenceNumber

_OTHERS_WRITE = frozenset({"CONSUMER_FENCED", "CONSUMER_GROUP_REBALANCING"})
"""Reasons that say that another consumer has, or soon will have, taken over: what is known is no longer the newest."""
_VALUE_REFUSED = frozenset({"SEQUENCE_NUMBER_OUT_OF_RANGE", "SEQUENCE_NUMBER_INVALID"})
"""Reasons that are about one number, and say nothing about the lower ones that were folded into it."""
_QUEUED, _WRITING, _DONE = Phase.QUEUED, Phase.WRITING, Phase.DONE
"""By names that cost nothing to look up: each call goes through them all"""
_LOOKED_AT = 2000
"""Keys that a look at the lanes goes through: the lock is held for it."""


class RegressPolicy(StrEnum):
    """What becomes of a commit below the number that DIS has, where the caller did not allow a rewind."""

    REJECT = "reject"
    WARN = "warn"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Times in seconds; 0 turns a thing off. ``max_queue`` bounds one lane, ``max_waiting`` all of them.

    ``max_waiting`` also bounds the reads of DIS that are under way or wait for a connection.
    """

    ttl: float = 2.0
    absent_ttl: float = 0.0
    stale_ttl: float = 0.0
    regress: RegressPolicy = RegressPolicy.REJECT
    max_queue: int = 1000
    max_waiting: int = 20_000


class Core:
    """Decides. ``clock`` gives seconds. Not thread-safe: its driver has the lock."""

    def __init__(self, settings: CoreSettings, cache: CheckpointCache, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._cache = cache
        self._clock = clock
        self._order = 0
        self._waiting = 0
        self._flying = 0
        self._states: dict[CheckpointKey, KeyState] = {}
        self._effects: list[Effect] = []
        self._draining = False

    # events

    def read(self, call: ReadCall) -> list[Effect]:
        """Somebody wants to read."""
        now = self._clock()
        held = None if call.fresh else self.cached(call.key, call.max_age, now)
        if held is not None:
            found = _from(held[0], Source.CACHE, now)
            self._effects.append(Note(Event.CACHE_HIT, call.key, age=found.age))
            self._answer(call, found)
        elif call.deadline <= now:
            self._answer(call, DeadlineTooShort("no time was left to ask DIS; nothing was sent"))
        elif self._draining:
            self._answer(call, _stopping())
        else:
            self._note(Event.CACHE_MISS, call.key)
            self._join_or_fly(call, now)
        return self._taken()

    def cached(self, key: CheckpointKey, max_age: float | None, now: float) -> tuple[Known, float] | None:
        """What can be served at ``now`` without asking DIS, and the time from which on it cannot."""
        known = self._known(key)
        if known is None:
            return None
        until = self._until(known, max_age)
        return (known, until) if now < until else None

    def commit(self, call: CommitCall) -> list[Effect]:
        """Somebody wants to commit."""
        return self.commits((call,))

    def commits(self, calls: Sequence[CommitCall]) -> list[Effect]:
        """Somebody wants to commit all these, in this order."""
        now = self._clock()
        for call in calls:
            self._queue(call, now)
        return self._taken()

    def delete(self, call: DeleteCall) -> list[Effect]:
        """Somebody wants to delete."""
        self._queue(call, self._clock())
        return self._taken()

    def left(self, calls: Sequence[Call]) -> list[Effect]:
        """The time of callers is over, or they went away: they are answered now. What was sent goes on."""
        leaving = frozenset(calls)
        for call in calls:
            state = self._states.get(call.key)
            if call.phase is _DONE or state is None:
                continue
            if isinstance(call, ReadCall):
                for waiting in (state.overtaken, *(flight.calls for flight in state.flights)):
                    if call in waiting:
                        waiting.remove(call)
                self._answer(call, ReadTimedOut("DIS did not answer within the time of the call", retry_after=1.0))
                self._drop_if_idle(state, call.key)
            elif isinstance(state.writing, WriteJob) and call.phase is _WRITING:
                self._leave_write(state, state.writing, leaving)
            elif isinstance(call, CommitCall | DeleteCall):
                self._unqueue(state, call)
                self._answer(call, _too_late())
        return self._taken()

    def take_up(self, job: WriteJob) -> list[Effect]:
        """A thread has a write. It is to be sent if it is ``taken_up`` now, and is over if nobody waits for it."""
        state, now = self._states[job.key], self._clock()
        late = [call for call in job.calls if call.deadline <= now]
        if late:
            self._leave_write(state, job, frozenset(late))
        job.taken_up = bool(job.calls)
        if job.taken_up:
            self._note_what_is_sent(state, job)
        else:
            state.writing = None
            self._go_on(state, job.key)
        return self._taken()

    def finished(self, job: Job, outcome: Checkpoint | GatewayError | None) -> list[Effect]:
        """A job is over. ``outcome`` of a read is what DIS has (None: nothing), of a write None; or an error."""
        state = self._states[job.key]
        if isinstance(job, ReadJob):
            self._flying -= 1
            state.flights.remove(job)
            newest = self._read_finished(state, job, outcome)
            if job is state.writing:
                self._decide(state, job, outcome, newest=newest)
        else:
            state.writing = None
            carried = len([call for call in job.calls if call.phase is _WRITING])
            self._write_finished(state, job, outcome)
            if outcome is None and carried > 1:
                self._linger(state, job, carried)
        self._go_on(state, job.key)
        return self._taken()

    def lingered(self, linger: Linger) -> list[Effect]:
        """A lane has lingered for long enough, if it still does."""
        state = self._states.get(linger.key)
        if state is not None and state.writing is linger:
            state.end_linger(linger, self._clock())
            self._go_on(state, linger.key)
        return self._taken()

    def abandon(self) -> list[Effect]:
        """After :meth:`drain`, before DIS has answered: whoever waits for a write hears that its outcome is unknown."""
        for key, state in self._states.items():
            job = state.writing
            if isinstance(job, WriteJob) and job.taken_up:
                self._doubt(state, key)
                self._answer_all(job.calls, _unknown(job, Status.UNAVAILABLE, "the gateway ended"))
        return self._taken()

    def drain(self) -> list[Effect]:
        """The gateway ends: what waits is answered, and only what was sent goes on."""
        self._draining = True
        for key, state in list(self._states.items()):
            waiting: list[Call] = list(state.overtaken)
            state.overtaken.clear()
            doing = state.writing
            if isinstance(doing, ReadJob):
                waiting += doing.deciding
                doing.deciding.clear()
            elif isinstance(doing, WriteJob) and not doing.taken_up:
                waiting += doing.calls
                doing.calls = ()
            for flight in state.flights:
                waiting += flight.calls
                flight.calls.clear()
            for call in waiting:
                self._answer(call, _stopping())
            self._go_on(state, key)
        return self._taken()

    # what a list of checkpoints, which has numbers and no metadata, tells

    def next_order(self) -> int:
        """The order of something that is asked of DIS now."""
        self._order += 1
        return self._order

    def listed(self, order: int, numbers: Iterable[tuple[CheckpointKey, SequenceNumber | None]]) -> list[Effect]:
        """A list that was asked for at ``order``.

        What differs is not served any more; what is the same stays as it is, as the list does not tell its metadata.
        """
        for key, number in numbers:
            known = self._known(key)
            if known is None or known.doubt or known.order > order or known.number == number:
                continue
            # This is only a reason to ask: what a list says is not as new as it is told.
            self._keep(key, Known(self.next_order(), order, self._clock(), number, doubt=True))
            self._effects.append(Outdated(key))
        return self._taken()

    # reads

    def _known(self, key: CheckpointKey) -> Known | None:
        state = self._states.get(key)
        return self._cache.get(key) if state is None else state.known

    def _until(self, known: Known, max_age: float | None) -> float:
        """The time from which on it cannot be served; before all times where it cannot be at all."""
        if not known.complete:
            return -inf
        ttl = self._settings.absent_ttl if known.said is None else self._settings.ttl
        return known.at + _longest(max_age, ttl)

    def _join_or_fly(self, call: ReadCall, now: float) -> None:
        state = self._state(call.key)
        if not call.fresh and state.flights:
            last = state.flights[-1]
            # What it brings may be as old as itself, so the same bound holds as for what is cached.
            young = now - last.at < _longest(call.max_age, self._settings.ttl)
            if young and (state.known is None or last.order > state.known.order):
                call.phase = Phase.READING
                last.calls.append(call)
                self._note(Event.FLIGHT_SHARED, call.key)
                return
        if self._flying >= self._settings.max_waiting:
            self._note(Event.READ_OVERLOADED, call.key)
            self._answer(call, Overloaded("too many reads wait for DIS; nothing was sent", retry_after=1.0))
            self._drop_if_idle(state, call.key)
            return
        call.phase = Phase.READING
        self._fly(state, call.key, now, calls=[call])

    def _fly(
        self,
        state: KeyState,
        key: CheckpointKey,
        now: float,
        *,
        calls: list[ReadCall] | None = None,
        deciding: list[CommitCall] | None = None,
    ) -> ReadJob:
        job = ReadJob(key, self.next_order(), now, calls or [], deciding or [])
        self._flying += 1
        state.flights.append(job)
        self._effects.append(Start(job))
        return job

    def _read_finished(self, state: KeyState, job: ReadJob, outcome: Checkpoint | GatewayError | None) -> bool:
        """Answer those who wait for a read; tells whether what it brought is the newest that is known."""
        now = self._clock()
        known = state.known
        same = known is not None and known.complete and known.checkpoint == outcome
        if known is not None and known.order > job.order and not same:
            # Something else was heard since this was asked for, from a write or another read: which of the two is
            # newer, nobody can tell.
            for call in job.calls:
                if known.complete and (
                    known.asked > job.order or (not call.fresh and now < self._until(known, call.max_age))
                ):
                    self._answer(call, _from(known, Source.CACHE, now))
                else:
                    state.overtaken.append(call)
            return False
        if isinstance(outcome, GatewayError):
            self._read_failed(state, job, outcome, now)
            return False
        self._learn(state, job.key, Known(self.next_order(), job.order, job.at, outcome))
        for call in job.calls:
            self._answer(call, ReadResult(outcome, Source.UPSTREAM, order=self._order))
        return True

    def _read_failed(self, state: KeyState, job: ReadJob, error: GatewayError, now: float) -> None:
        known = state.known
        if error.status is Status.NOT_FOUND and known is not None and not known.doubt:
            # The stream, app or partition is gone, and the checkpoint with it: nothing of before may be served.
            self._keep(job.key, Known(self.next_order(), job.order, job.at, doubt=True))
        for call in job.calls:
            stale = state.known
            if isinstance(error, DeadlineTooShort) and call.deadline > now:
                state.overtaken.append(call)  # it joined when those it was for had left: it is asked for again
            elif (
                call.allow_stale
                and not call.fresh
                and error.retry_after is not None
                and stale is not None
                and stale.checkpoint is not None
                and now - stale.at < self._settings.stale_ttl
            ):
                found = _from(stale, Source.STALE, now)
                self._effects.append(Note(Event.SERVED_STALE, call.key, age=found.age))
                self._answer(call, found)
            else:
                self._answer(call, error)

    # lanes

    def _queue(self, call: WriteCall, now: float) -> None:
        if call.deadline <= now:
            self._answer(call, DeadlineTooShort("no time was left; nothing was sent"))
            return
        if self._draining:
            self._answer(call, _stopping())
            return
        key, settings = call.key, self._settings
        state = self._state(key)
        if self._waiting >= settings.max_waiting and isinstance(state.writing, Linger) and state.queue:
            state.end_linger(state.writing, now)
            self._go_on(state, key)
            state = self._state(key)  # another, where those who waited had no time left
        if len(state.queue) >= settings.max_queue or self._waiting >= settings.max_waiting:
            self._note(Event.OVERLOADED, key)
            self._answer(call, Overloaded("too many writes are waiting; nothing was sent", retry_after=1.0))
            self._drop_if_idle(state, key)
            return
        call.phase = _QUEUED
        state.queue.append(call)
        self._waiting += 1
        doing = state.writing
        if doing is None or (isinstance(doing, Linger) and not state.lingers_on(doing, now)):  # as most calls wait
            self._go_on(state, key)

    def _unqueue(self, state: KeyState, call: WriteCall) -> None:
        if call in state.queue:
            state.queue.remove(call)
            self._waiting -= 1
        elif isinstance(state.writing, ReadJob) and isinstance(call, CommitCall):
            state.writing.deciding.remove(call)

    def _leave_write(self, state: KeyState, job: WriteJob, leaving: frozenset[Call]) -> None:
        """Those of ``leaving`` who wait for a write leave it."""
        gone = [call for call in job.calls if call in leaving]
        if job.taken_up:
            self._doubt(state, job.key)
            self._answer_all(gone, _unknown(job, Status.DEADLINE_EXCEEDED, "the call's time ended"))
            return
        self._answer_all(gone, _too_late())
        commits = [call for call in job.calls if isinstance(call, CommitCall) and call not in leaving]
        job.calls = commits
        if commits:  # what is sent is the highest of theirs
            highest = highest_of(commits)
            lower = highest.commit is not job.commit
            job.commit = highest.commit
            if lower and self._must_ask(state.known, highest):
                job.calls = ()
                self._requeue(state, commits)

    def _requeue(self, state: KeyState, calls: Sequence[WriteCall]) -> None:
        """Of those whose write is not sent: they are the next ones."""
        for call in calls:
            call.phase = _QUEUED
        state.queue.extendleft(reversed(calls))
        self._waiting += len(calls)

    def _go_on(self, state: KeyState, key: CheckpointKey) -> None:
        """Begin the next write of a lane that has none under way; before it, a read that was overtaken."""
        now = self._clock()
        if self._draining:
            for call in (*state.queue, *state.overtaken):
                self._answer(call, _stopping())
            self._waiting -= len(state.queue)
            state.queue.clear()
            state.overtaken.clear()
        if isinstance(state.writing, Linger) and (self._draining or not state.lingers_on(state.writing, now)):
            state.end_linger(state.writing, now)
        if state.writing is None and state.overtaken:
            calls, state.overtaken = state.overtaken, []
            state.writing = self._fly(state, key, now, calls=calls)
        while state.writing is None and state.queue:
            batch = state.fold()
            self._waiting -= len(batch)
            late = [call for call in batch if call.deadline <= now]
            for call in late:
                self._answer(call, _too_late())
            self._begin(state, key, [call for call in batch if call not in late], now)
        self._drop_if_idle(state, key)

    def _linger(self, state: KeyState, job: WriteJob, carried: int) -> None:
        """After a write that carried several, wait for them to come back, unless that has not paid lately."""
        linger = state.linger_after(job, carried, self._clock(), self._settings.max_queue)
        if linger is not None:
            state.writing = linger
            self._effects.append(linger)

    def _begin(self, state: KeyState, key: CheckpointKey, batch: list[WriteCall], now: float) -> None:
        deletes = [call for call in batch if isinstance(call, DeleteCall)]
        commits = [call for call in batch if isinstance(call, CommitCall)]
        if deletes:
            self._send(state, WriteJob(key, self.next_order(), now, deletes))
        elif commits:
            if self._must_ask(state.known, highest_of(commits)):
                state.writing = self._fly(state, key, now, deciding=commits)
            else:
                self._send_highest(state, key, commits)

    def _must_ask(self, known: Known | None, highest: CommitCall) -> bool:
        if known is None or highest.commit.allow_rewind or self._settings.regress is RegressPolicy.ALLOW:
            return False
        return known.doubt or (known.number is not None and highest.number < known.number)

    def _decide(
        self, state: KeyState, job: ReadJob, outcome: Checkpoint | GatewayError | None, *, newest: bool
    ) -> None:
        """DIS was asked because commits would go back, or because of a doubt."""
        state.writing = None
        known, now = state.known, self._clock()
        if isinstance(outcome, GatewayError):
            for call in job.deciding:
                self._answer(call, outcome)
            return
        if known is None or known.doubt or not (newest or known.asked > job.order):
            if job.deciding:
                state.writing = self._fly(state, job.key, now, deciding=job.deciding)
            return
        standing = known.number
        commits = []
        for call in job.deciding:
            if call.deadline <= now:
                self._answer(call, _too_late())
            elif standing is None or call.number >= standing:
                commits.append(call)
            elif self._settings.regress is RegressPolicy.WARN:
                self._note(Event.REGRESSION_ALLOWED, job.key, before=standing, after=call.number)
                commits.append(call)
            else:
                self._note(Event.REGRESSION_REFUSED, job.key, before=standing, after=call.number)
                self._answer(call, CheckpointRegression(str(call.number), str(standing)))
        if commits:
            self._send_highest(state, job.key, commits)

    def _send_highest(self, state: KeyState, key: CheckpointKey, commits: list[CommitCall]) -> None:
        commit = highest_of(commits).commit
        self._send(state, WriteJob(key, self.next_order(), self._clock(), commits, commit))

    def _send(self, state: KeyState, job: WriteJob) -> None:
        for call in job.calls:
            call.phase = _WRITING
        state.writing = job
        state.seen = False
        self._effects.append(Start(job))

    def _note_what_is_sent(self, state: KeyState, job: WriteJob) -> None:
        known, commit = state.known, job.commit
        before = None if known is None else known.number
        if commit is not None and commit.allow_rewind and before is not None and commit.number < before:
            self._note(Event.REWOUND, job.key, before=before, after=commit.number)
        if len(job.calls) > 1:
            self._note(Event.FOLDED, job.key, count=len(job.calls) - 1)

    def _write_finished(self, state: KeyState, job: WriteJob, outcome: Checkpoint | GatewayError | None) -> None:
        if isinstance(outcome, GatewayError):
            self._write_failed(state, job, outcome)
            return
        stored = job.commit.checkpoint if job.commit else None
        known = Known(self.next_order(), job.order, job.at, stored)
        if state.seen and not (state.known and state.known.complete and state.known.checkpoint == stored):
            # A reader was told something else meanwhile. If another program wrote that after this write was applied,
            # serving this one would take the reader back: so DIS is asked before anything is served.
            self._keep(job.key, Known(known.order, known.asked, known.at, known.number, doubt=stored is None))
            self._effects.append(Outdated(job.key))
        else:
            self._learn(state, job.key, known)
        if stored is None:
            self._answer_all(job.calls, Deleted())
            return
        number = stored.sequence_number
        commits = [call for call in job.calls if isinstance(call, CommitCall)]
        behind = [call for call in commits if call.commit.number < number]
        level = [call for call in commits if call.commit.number >= number]
        self._answer_all(behind, CommitResult(stored, superseded=True))
        self._answer_all(level, CommitResult(stored))

    def _write_failed(self, state: KeyState, job: WriteJob, error: GatewayError) -> None:
        if isinstance(error, OutcomeUnknown) or error.reason in _OTHERS_WRITE:
            self._doubt(state, job.key)
        again: list[WriteCall] = []
        for call in job.calls:
            if (
                error.reason in _VALUE_REFUSED
                and isinstance(call, CommitCall)
                and job.commit is not None
                and call.phase is _WRITING
                and call.number < job.commit.number
            ):
                again.append(call)
            else:
                self._answer(call, error)
        self._requeue(state, again)

    # knowledge

    def _learn(self, state: KeyState, key: CheckpointKey, known: Known) -> None:
        before = state.known
        state.known = known
        state.seen = True
        self._cache.put(key, known)
        if before is None or not before.complete or before.checkpoint != known.checkpoint:
            self._effects.append(Changed(key, known.checkpoint, known.order))

    def _doubt(self, state: KeyState, key: CheckpointKey) -> None:
        order = self.next_order()
        state.known = Known(order, order, self._clock(), doubt=True)
        self._cache.put(key, state.known)
        self._note(Event.DOUBTED, key)

    def _keep(self, key: CheckpointKey, known: Known) -> None:
        self._cache.put(key, known)
        state = self._states.get(key)
        if state is not None:
            state.known = known
            state.seen = True

    # effects and states

    def _state(self, key: CheckpointKey) -> KeyState:
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = KeyState(self._cache.get(key))
        return state

    def _drop_if_idle(self, state: KeyState, key: CheckpointKey) -> None:
        if state.idle:
            self._states.pop(key, None)

    def _answer(self, call: Call, result: Result) -> None:
        self._answer_all((call,), result)

    def _answer_all(self, calls: Sequence[Call], result: Result) -> None:
        waiting = [call for call in calls if call.phase is not _DONE]
        for call in waiting:
            call.phase = _DONE
        if waiting:
            self._effects.append(Answer(waiting, result))

    def _note(
        self,
        event: Event,
        key: CheckpointKey,
        count: int = 1,
        before: SequenceNumber | None = None,
        after: SequenceNumber | None = None,
    ) -> None:
        self._effects.append(Note(event, key, count, before, after))

    def _taken(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def lanes(self, limit: int) -> list[Lane]:
        """Keys with something under way, the most waited for first; of :data:`_LOOKED_AT` that are so the longest."""
        looked_at = islice(self._states.items(), _LOOKED_AT)
        longest = nlargest(limit, looked_at, key=lambda one: len(one[1].queue))
        now = self._clock()
        return [state.snapshot(key, now) for key, state in longest]

    @property
    def active(self) -> int:
        """How many keys have something under way."""
        return len(self._states)

    @property
    def waiting(self) -> int:
        """How many writes wait in lanes."""
        return self._waiting


def _longest(max_age: float | None, ttl: float) -> float:
    """How old, in seconds, what DIS said may be for a caller."""
    return ttl if max_age is None else min(ttl, max_age)


def _from(known: Known, source: Source, now: float) -> ReadResult:
    return ReadResult(known.checkpoint, source, max(0.0, now - known.at), known.order)


def _stopping() -> Draining:
    return Draining("the gateway is stopping; nothing was written", retry_after=1.0)


def _too_late() -> DeadlineTooShort:
    return DeadlineTooShort("the call's time ended before its turn; nothing was sent")


def _unknown(job: WriteJob, status: Status, what: str) -> GatewayError:
    kind = DeleteOutcomeUnknown if job.commit is None else CommitOutcomeUnknown
    again = "commit the same number" if kind is CommitOutcomeUnknown else "delete it"
    error = kind(f"{what} while the write was under way; {again} again, that is safe")
    error.status = status
    return error
