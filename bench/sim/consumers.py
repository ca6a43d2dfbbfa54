"""Consumers that want to commit, and to read, at fixed times; and the count of what they got."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.sim.clock import Clock
from bench.sim.dis import HOUR

IN_TIME = 5.0
"""Seconds that a consumer gives a call, and within which it counts as done."""

Call = Callable[[str, int, float], bool]


@dataclass
class Tally:
    """By second: what was due then, what of it was done in time, and how many errors consumers saw."""

    seconds: int = HOUR
    due: list[int] = field(init=False)
    done: list[int] = field(init=False)
    errors: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.due, self.done, self.errors = ([0] * self.seconds for _ in range(3))


@dataclass(frozen=True)
class Consumer:
    """Makes a call every ``period`` seconds, from ``first`` on, one at a time.

    While one takes long others fall due; then it goes on with the newest, which does for those before it: a checkpoint
    holds one number. After an error it waits for the next one to fall due.
    """

    clock: Clock
    key: str
    call: Call
    first: float
    period: float
    tally: Tally

    def work(self) -> None:
        """To be spawned; ends with the last call that falls due."""
        clock, waiting, number = self.clock, [], 0
        while (due := self.first + number * self.period) < self.tally.seconds:
            clock.sleep(max(0.0, due - clock.now))
            while due <= clock.now and due < self.tally.seconds:
                self.tally.due[int(due)] += 1
                waiting.append(due)
                number += 1
                due = self.first + number * self.period
            if self.call(self.key, number, clock.now + IN_TIME):
                for due in waiting:
                    self.tally.done[int(due)] += clock.now - due <= IN_TIME
                waiting.clear()
            elif clock.now < self.tally.seconds:
                self.tally.errors[int(clock.now)] += 1
