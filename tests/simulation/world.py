"""A deterministic world for the core: a fake DIS, a fake clock, and a seeded hand that decides what happens next.

Reads and writes are seen as what they are on a network: asked, then applied (or sampled) at some moment, then answered,
with a fault before, between or after; and anything may happen in between. Every answer is checked against what DIS had
when. All checkpoints differ in their metadata, so each value belongs to one version of its key.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.checkpoints.cache import CheckpointCache
from gateway.checkpoints.core import Core, CoreSettings, RegressPolicy
from gateway.checkpoints.reads import CachedReads
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
    ReadCall,
    ReadJob,
    ReadResult,
    Result,
    Source,
    Start,
    WriteJob,
)
from gateway.errors import (
    CheckpointRegression,
    CommitOutcomeUnknown,
    DeleteOutcomeUnknown,
    GatewayError,
    OutcomeUnknown,
    Status,
    UpstreamError,
    UpstreamUnavailable,
)
from gateway.model import Checkpoint, CheckpointKey, Commit, Membership, SequenceNumber

CallT = TypeVar("CallT", bound=Call)

KEYS = [CheckpointKey("s", "a", str(n)) for n in range(2)]
MEMBERS = [Membership(), Membership("c1", "1")]


class Violation(AssertionError):
    """A promise was broken."""


def need(condition: bool, promise: str) -> None:
    if not condition:
        raise Violation(promise)


def brief(thing: object) -> str:
    """A call, a job, a value in a few words."""
    if isinstance(thing, Checkpoint):
        return f"{thing.sequence_number}[{thing.metadata}]"
    if isinstance(thing, Call):
        what = f" {brief(thing.commit.checkpoint)}" if isinstance(thing, CommitCall) else ""
        more = ", ".join(
            f"{name}={value}"
            for name in ("fresh", "max_age", "allow_stale")
            if (value := getattr(thing, name, None)) not in (None, False)
        )
        rewind = " rewind" if isinstance(thing, CommitCall) and thing.commit.allow_rewind else ""
        kind = type(thing).__name__
        return f"{kind}({thing.key.partition_id[-1]}{what}{rewind}{more}, until {thing.deadline:g})"
    if isinstance(thing, ReadJob):
        return f"ReadJob#{thing.order}({thing.key.partition_id[-1]}, {len(thing.calls)}+{len(thing.deciding)})"
    if isinstance(thing, WriteJob):
        value = brief(thing.commit.checkpoint) if thing.commit else "delete"
        return f"WriteJob#{thing.order}({thing.key.partition_id[-1]}, {value}, {len(thing.calls)} calls)"
    if isinstance(thing, ReadResult):
        return f"{brief(thing.checkpoint)} from {thing.source.value}"
    if isinstance(thing, CommitResult):
        return f"{'superseded' if thing.superseded else 'committed'} {brief(thing.effective)}"
    return repr(thing)


@dataclass
class Version:
    """What DIS had from ``since`` on, until the next version. ``step`` tells which step of the schedule made it."""

    value: Checkpoint | None
    step: int
    since: float
    external: bool = False


@dataclass
class KeyHistory:
    """All that a key has been, and how old an answer may be."""

    versions: list[Version] = field(default_factory=lambda: [Version(None, 0, 0.0)])
    told: int = 0
    """the newest version that this gateway has acknowledged or shown"""
    doubted: int = 0
    """what DIS had when somebody was told that an outcome is not known"""

    @property
    def now(self) -> int:
        return len(self.versions) - 1

    @property
    def number(self) -> int | None:
        value = self.versions[-1].value
        return None if value is None else value.sequence_number

    def newest(self, value: Checkpoint | None) -> int:
        """The last version with this value; -1 if it never was."""
        for index in range(self.now, -1, -1):
            if self.versions[index].value == value:
                return index
        return -1

    def oldest(self, value: Checkpoint | None, start: int) -> int:
        """The first version from ``start`` on with this value."""
        return next(index for index in range(start, self.now + 1) if self.versions[index].value == value)

    def newest_own(self) -> int:
        """The last version that this gateway made."""
        return max(index for index, version in enumerate(self.versions) if not version.external)

    def until(self, index: int) -> float:
        """When a version ended."""
        return float("inf") if index == self.now else self.versions[index + 1].since


@dataclass
class Begun:
    """A call, and what the world was like when it began."""

    call: Call
    step: int
    time: float
    version: int
    floor: int


@dataclass
class Running:
    """A job or a pause under way. ``taken``: by a thread. ``done``: a read was sampled, a write applied."""

    job: Job | Linger
    taken: bool = False
    done: bool = False
    sample: Checkpoint | None = None


@dataclass
class Options:
    """What may happen in a schedule."""

    external: bool
    faults: bool
    settings: CoreSettings
    max_entries: int
    reads: int
    """how often somebody reads"""
    commits: int
    """how often somebody commits: where it is often, many wait in the lanes"""
    others: int
    """how often another program writes, if there is one"""
    lists: int
    """how often somebody lists"""


def options(rng: random.Random) -> Options:
    settings = CoreSettings(
        ttl=rng.choice([0.0, 2.0, 2.0, 2.0, 50.0]),
        absent_ttl=rng.choice([0.0, 0.0, 0.5]),
        stale_ttl=rng.choice([0.0, 30.0]),
        regress=RegressPolicy.REJECT,
        max_queue=rng.choice([3, 100]),
        max_waiting=rng.choice([2, 5, 1000, 1000]),
    )
    return Options(
        external=rng.random() < 0.5,
        faults=rng.random() < 0.8,
        settings=settings,
        max_entries=rng.choice([1, 100, 100]),
        reads=rng.choice([14, 14, 40]),
        commits=rng.choice([20, 20, 20, 20, 80]),
        others=rng.choice([4, 4, 12]),
        lists=rng.choice([3, 3, 20]),
    )


class World:
    """One schedule: ``World(seed).run()`` raises :class:`Violation` if a promise is broken."""

    def __init__(self, seed: int, core: Callable[[CoreSettings, CheckpointCache, Callable[[], float]], Core] = Core):
        self.rng = random.Random(seed)
        self.options = options(self.rng)
        self.time = 100.0
        self.step = 0
        self.core = core(self.options.settings, CheckpointCache(self.options.max_entries), lambda: self.time)
        self.histories = {key: KeyHistory() for key in KEYS}
        if self.options.external:  # others were here before
            for key in KEYS:
                self.histories[key].versions.append(
                    Version(
                        Checkpoint(key, SequenceNumber(self.rng.randrange(9)), f"before-{key}"), 0, 0.0, external=True
                    )
                )
        self.calls: dict[int, Begun] = {}
        self.answered: list[Call] = []
        self.running: list[Running] = []
        self.lists: list[tuple[int, list[tuple[CheckpointKey, SequenceNumber | None]] | None]] = []
        self.refused: dict[str, str] = {}
        self.heard: dict[CheckpointKey, tuple[int, Checkpoint | None]] = {}
        self.outdated: set[CheckpointKey] = set()
        self.shown: dict[CheckpointKey, tuple[int, Checkpoint | None]] = {}
        self.tags = 0
        self.lingered = 0
        self.unwanted = 0
        self.log: list[str] = []
        self.events: dict[Event, int] = {}
        self.readers = [
            (CachedReads(self.core.cached, key, max_age, lambda known: known.checkpoint), max_age)
            for key in KEYS
            for max_age in (None, 1.0)
        ]

    def run(self, steps: int = 60) -> None:
        for _ in range(steps):
            self.step += 1
            self._act()
        self._settle()

    # what happens

    def _act(self) -> None:
        action = self.rng.choices(
            [
                self._read,
                self._commit,
                self._delete,
                self._external,
                self._progress,
                self._leave,
                self._pass,
                self._list,
            ],
            [self.options.reads, self.options.commits, 3, self.options.others, 45, 5, 6, self.options.lists],
        )[0]
        action()

    def _begin(self, call: CallT, event: Callable[[CallT], list[Effect]]) -> None:
        self._begun(call)
        self._take(event(call))

    def _begun(self, call: Call) -> None:
        history = self.histories[call.key]
        begun = Begun(call, self.step, self.time, history.now, max(history.told, history.doubted))
        self.calls[id(call)] = begun
        self.log.append(f"{self.step}: {brief(call)}")

    def _deadline(self) -> float:
        return self.time + self.rng.choice([0.0, 0.5, 3.0, 1000.0, 1000.0, 1000.0])

    def _read(self) -> None:
        if self.rng.random() < 0.5:
            self._read_again()
            return
        call = ReadCall(
            self.rng.choice(KEYS),
            self._deadline(),
            fresh=self.rng.random() < 0.25,
            max_age=self.rng.choice([None, None, 0.1, 1.0]),
            allow_stale=self.rng.random() < 0.3,
        )
        self._begin(call, self.core.read)

    def _read_again(self) -> None:
        """As consumers do that ask for the same all the time: from the cache, if it may be."""
        reads, max_age = self.rng.choice(self.readers)
        held = reads.look(self.time)
        if held is not None:
            known, shown = held.known, held.shown
            self._seen(Event.CACHE_HIT, 1, None)
            history = self.histories[reads.key]
            call = ReadCall(reads.key, self.time, max_age=max_age)
            begun = Begun(call, self.step, self.time, history.now, max(history.told, history.doubted))
            self.log.append(f"{self.step}: {brief(shown)} is read again")
            self._check_read(begun, ReadResult(shown, Source.CACHE, self.time - known.at, known.order))

    def _seen(self, event: Event, count: int, age: float | None) -> None:
        self.events[event] = self.events.get(event, 0) + count

    def _checkpoint(self, key: CheckpointKey) -> Checkpoint:
        self.tags += 1
        near = (self.histories[key].number or 0) + self.rng.choice([-3, -1, 0, 1, 1, 2, 5])
        return Checkpoint(key, SequenceNumber(max(0, near)), f"tag-{self.tags}")

    def _commit(self) -> None:
        if self.rng.random() < 0.8:
            self._begin(self._commit_call(), self.core.commit)
            return
        calls = [self._commit_call() for _ in range(self.rng.choice([2, 3, 5]))]
        for call in calls:
            self._begun(call)
        self._take(self.core.commits(calls))

    def _commit_call(self) -> CommitCall:
        key = self.rng.choice(KEYS)
        commit = Commit.of(self._checkpoint(key), self.rng.random() < 0.12, self.rng.choices(MEMBERS, [5, 1])[0])
        return CommitCall(key, self._deadline(), commit)

    def _delete(self) -> None:
        self._begin(DeleteCall(self.rng.choice(KEYS), self._deadline()), self.core.delete)

    def _external(self) -> None:
        if self.options.external:
            key = self.rng.choice(KEYS)
            self._applied(key, self._checkpoint(key) if self.rng.random() < 0.8 else None, external=True)

    def _pass(self) -> None:
        self.time += self.rng.choice([0.01, 0.3, 1.0, 2.5])

    def _leave(self) -> None:
        if self.calls:
            waiting = [begun.call for begun in self.calls.values()]
            calls = self.rng.sample(waiting, min(len(waiting), self.rng.choice([1, 1, 1, 2, 5])))
            calls += self.answered[-1:]  # who has just been answered may leave as well
            self.log.append(f"{self.step}: leave {', '.join(brief(call) for call in calls)}")
            self._take(self.core.left(calls))
            need(not any(id(call) in self.calls for call in calls), "who leaves is answered at once")

    def _list(self) -> None:
        if self.lists and self.rng.random() < 0.6:
            order, rows = self.lists.pop(0)
            if rows is not None:
                self.log.append(f"{self.step}: a list that was asked for at #{order}")
                self._take(self.core.listed(order, rows))
        else:
            order = self.core.next_order()
            # a list may show what was before the last changes
            behind = self.rng.choice([1, 1, 2, 3])
            rows = [
                (key, value.sequence_number if (value := history.versions[-behind:][0].value) else None)
                for key, history in self.histories.items()
            ]
            self.lists.append((order, rows))

    def _progress(self) -> None:
        if self.running:
            self._progress_of(self.rng.choice(self.running), faults=self.options.faults)

    def _progress_of(self, running: Running, *, faults: bool) -> None:
        job = running.job
        if isinstance(job, Linger):
            self.running.remove(running)
            self.lingered += self._lingers(job.key)
            self.log.append(f"{self.step}: lingered for {job.calls} of {job.key.partition_id[-1]}")
            self._take(self.core.lingered(job))
            return
        if isinstance(job, WriteJob) and not running.taken:
            effects = self.core.take_up(job)
            running.taken = job.taken_up
            need(all(call.deadline > self.time for call in job.calls), "nothing is sent for whom there is no time left")
            if not running.taken:
                self.running.remove(running)
                self.unwanted += 1
                self.log.append(f"{self.step}: nobody waits for {brief(job)}")
            self._take(effects)
            return
        if not running.done and not (faults and self.rng.random() < 0.15):
            running.done = True
            if isinstance(job, ReadJob):
                running.sample = self.histories[job.key].versions[-1].value
            else:
                self._apply(job)
            return
        self.running.remove(running)
        outcome: Checkpoint | GatewayError | None
        if isinstance(job, ReadJob):
            failed = not running.done or (faults and self.rng.random() < 0.1)
            outcome = self._read_error() if failed else running.sample
        else:
            outcome = self._write_outcome(job, applied=running.done, faults=faults)
        self.log.append(f"{self.step}: finished {brief(job)} with {brief(outcome)}")
        self._take(self.core.finished(job, outcome))

    def _read_error(self) -> GatewayError:
        if self.rng.random() < 0.2:
            return UpstreamError("gone", status=Status.NOT_FOUND, reason="STREAM_NOT_FOUND")
        return UpstreamUnavailable("down", retry_after=1.0)

    def _write_outcome(self, job: WriteJob, *, applied: bool, faults: bool) -> GatewayError | None:
        unknown = CommitOutcomeUnknown("?") if job.commit else DeleteOutcomeUnknown("?")
        if applied:
            return unknown if faults and self.rng.random() < 0.2 else None
        return self.rng.choice(
            [
                unknown,
                UpstreamUnavailable("not sent", retry_after=1.0),
                UpstreamError("slow", status=Status.RESOURCE_EXHAUSTED, reason="UPSTREAM_THROTTLED", retry_after=1.0),
                UpstreamError("range", status=Status.OUT_OF_RANGE, reason="SEQUENCE_NUMBER_OUT_OF_RANGE"),
                UpstreamError("fenced", status=Status.FAILED_PRECONDITION, reason="CONSUMER_FENCED"),
            ]
        )

    def _apply(self, job: WriteJob) -> None:
        commit = job.commit
        if commit is None:
            self._applied(job.key, None)
            return
        history = self.histories[job.key]
        watched = not self.options.external and self.options.max_entries > len(KEYS)
        if watched and not commit.allow_rewind and history.number is not None:
            need(commit.checkpoint.sequence_number >= history.number, "no checkpoint goes back unasked")
        need(commit.checkpoint.metadata not in self.refused, "what was said not to be stored is not stored")
        self._applied(job.key, commit.checkpoint)

    def _applied(self, key: CheckpointKey, value: Checkpoint | None, *, external: bool = False) -> None:
        self.log.append(
            f"{self.step}: DIS has {key.partition_id[-1]} {brief(value)} ({'external' if external else 'gateway'})"
        )
        self.histories[key].versions.append(Version(value, self.step, self.time, external))

    def _lingers(self, key: CheckpointKey) -> bool:
        return any(lane.key == key and lane.doing == "linger" for lane in self.core.lanes(len(KEYS)))

    def _end(self) -> None:
        self.log.append(f"{self.step}: it ends")
        self._take(self.core.drain())
        for _ in range(self.rng.choice([0, 3, 10])):
            self.rng.choice([self._progress, self._leave])()
        if self.rng.random() < 0.5:
            self.log.append(f"{self.step}: it does not wait for DIS")
            self._take(self.core.abandon())
            need(not self.calls, "who waits is answered when the process ends")
            for _ in range(3):  # and is served what is cached
                self._read()

    def _settle(self) -> None:
        """Let everything end without faults; then nobody may wait any more."""
        if self.rng.random() < 0.2:
            self._end()
        for _ in range(10_000):
            if not self.running:
                break
            self.step += 1
            self._progress_of(self.rng.choice(self.running), faults=False)
        need(not self.running, "the work ends")
        need(not self.calls, f"every call is answered: {[str(one.call) for one in self.calls.values()]}")
        need(self.core.active == 0, "nothing is left over")
        need(self.core.waiting == 0, "nothing waits any more")
        for key, (order, checkpoint) in self.shown.items():
            heard = self.heard.get(key, (-1, None))
            if key not in self.outdated and heard[0] <= order:
                need(heard[1] == checkpoint, "watchers have heard of what readers were shown")
        for key, history in self.histories.items():
            for version in history.versions:
                if version.value is not None and not version.external:
                    need(
                        version.value.metadata not in self.refused,
                        f"{key}: {version.value} was said to be {self.refused.get(version.value.metadata)}",
                    )

    # what is promised

    def _take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                self.running.append(Running(effect.job))
                writes = [one.job.key for one in self.running if isinstance(one.job, WriteJob)]
                need(len(writes) == len(set(writes)), "one write of a key is under way at a time")
            elif isinstance(effect, Linger):
                need(0 < effect.until - self.time <= 0.0151, "a lane lingers for a moment only")
                self.running.append(Running(effect))
            elif isinstance(effect, Answer):
                for call in effect.calls:
                    self._answered(call, effect.result)
            elif isinstance(effect, Changed):
                need(effect.order > self.heard.get(effect.key, (-1, None))[0], "watchers hear of newer things only")
                self.heard[effect.key] = effect.order, effect.checkpoint
                self.outdated.discard(effect.key)
                need(self.histories[effect.key].newest(effect.checkpoint) >= 0, "watchers hear what DIS has had")
            elif isinstance(effect, Outdated):
                self.outdated.add(effect.key)
            elif isinstance(effect, Note):
                self._seen(effect.event, effect.count, effect.age)

    def _answered(self, call: Call, result: Result) -> None:
        begun = self.calls.pop(id(call), None)
        self.log.append(f"{self.step}: {brief(call)} is answered with {brief(result)}")
        if begun is None:
            raise Violation("a call is answered once")
        self.answered.append(call)
        if isinstance(result, ReadResult):
            self._check_read(begun, result)
        elif isinstance(result, CommitResult):
            self._check_commit(begun, result)
        elif isinstance(result, Deleted):
            self._check_delete(begun)
        else:
            self._check_error(begun, result)

    def _check_read(self, begun: Begun, result: ReadResult) -> None:
        call, history = begun.call, self.histories[begun.call.key]
        assert isinstance(call, ReadCall)
        version = history.newest(result.checkpoint)
        need(version >= 0, "a read shows what DIS has had" if result.checkpoint else "no absence is invented")
        need(version >= history.told, "a read is never older than what was acknowledged or shown before")
        need(version >= begun.floor, "after an unknown outcome a read asks DIS")
        if call.fresh:
            need(result.source is not Source.STALE, "a fresh read is not stale")
            need(version >= begun.version, "a fresh read is at least as new as its call")
        elif result.source is Source.STALE:
            need(call.allow_stale and self.options.settings.stale_ttl > 0, "stale values must be allowed")
        else:
            longest = max(self.options.settings.ttl, self.options.settings.absent_ttl)
            if call.max_age is not None:
                longest = min(longest, call.max_age)
            need(history.until(version) >= begun.time - longest, "a cached value is young enough")
        # Absences look alike: only the oldest one that this may have been is sure to have been shown.
        history.told = max(history.told, history.oldest(result.checkpoint, max(history.told, begun.floor)))
        if result.order > self.shown.get(call.key, (-1, None))[0]:
            self.shown[call.key] = result.order, result.checkpoint

    def _check_commit(self, begun: Begun, result: CommitResult) -> None:
        call, history = begun.call, self.histories[begun.call.key]
        assert isinstance(call, CommitCall)
        version = history.newest(result.effective)
        need(version > begun.version, "what is acknowledged was stored after the call began")
        need(not history.versions[version].external, "what is acknowledged was stored by this gateway")
        if result.superseded:
            need(result.effective.sequence_number > call.number, "a superseded commit has a higher one in its place")
            need(not call.commit.allow_rewind, "a rewind is never folded")
        else:
            need(result.effective.sequence_number == call.number, "what is acknowledged has the number committed")
            if call.commit.allow_rewind:
                need(result.effective == call.commit.checkpoint, "a rewind is never folded")
        history.told = max(history.told, version)

    def _check_delete(self, begun: Begun) -> None:
        history = self.histories[begun.call.key]
        absent = [
            index
            for index, version in enumerate(history.versions)
            if index > begun.version and version.value is None and not version.external
        ]
        need(bool(absent), "a delete is acknowledged after it was applied")
        history.told = max(history.told, absent[-1])

    def _check_unknown(self, call: Call) -> None:
        for running in self.running:
            if isinstance(running.job, WriteJob) and running.job.key == call.key:
                need(running.taken, "what no thread has taken was not sent, and its outcome is known")

    def _check_error(self, begun: Begun, error: GatewayError) -> None:
        call, history = begun.call, self.histories[begun.call.key]
        if isinstance(error, OutcomeUnknown):
            need(not isinstance(call, ReadCall), "reads have no unknown outcome")
            kind = DeleteOutcomeUnknown if isinstance(call, DeleteCall) else CommitOutcomeUnknown
            need(isinstance(error, kind), "who is told that an outcome is unknown is told of what")
            self._check_unknown(call)
            # Where only the caller's time was over, the write goes on, and its outcome may become known after all.
            still_going = error.status is Status.DEADLINE_EXCEEDED
            history.doubted = max(history.doubted, history.newest_own() if still_going else history.now)
        elif isinstance(call, CommitCall):
            tag = call.commit.checkpoint.metadata
            need(all(v.value is None or v.value.metadata != tag for v in history.versions), f"{error!r}: it IS stored")
            self.refused[tag] = repr(error)
        if isinstance(error, CheckpointRegression):
            assert isinstance(call, CommitCall)
            effective = int(error.metadata["effective_sequence_number"])
            need(call.number < effective and not call.commit.allow_rewind, "only what goes back is a regression")
            standing = [
                version.value.sequence_number
                for index, version in enumerate(history.versions)
                if index >= min(begun.version, history.told) and version.value is not None
            ]
            need(effective in standing, "a regression names a number that DIS has")
