"""One hour of one script with one kind of client."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bench.sim.clock import Clock
from bench.sim.consumers import Consumer, Tally
from bench.sim.dis import HOUR, Dis, Trouble, Way
from bench.sim.gateway import Gateway
from bench.sim.sdks import DisSdkPython, HuaweicloudSdkDis

CONSUMERS = 32
COMMIT_EVERY = 1.0
READ_EVERY = 10.0
DEMAND = CONSUMERS * (1 / COMMIT_EVERY + 1 / READ_EVERY)
"""Calls a second that the consumers want."""
CLIENTS = ("dis-gateway", "huaweicloudsdkdis", "dis_sdk_python")
_AFTERWARDS = 200.0
"""Seconds after the last call falls due in which it may still end."""


@dataclass(frozen=True)
class Hour:
    """What one hour was like, by second."""

    trouble: Trouble
    sent: list[int]
    failed: list[int]
    due: list[int]
    done: list[int]
    errors: list[int]

    @property
    def back(self) -> int | None:
        """Seconds after the end of the trouble from which on all that fell due was done in time; None: never."""
        end = int(self.trouble.end)
        late = [second for second in range(end, len(self.due)) if self.done[second] < self.due[second]]
        if not late:
            return 0
        return None if late[-1] >= len(self.due) - 60 else late[-1] + 1 - end


def run(trouble: Trouble, client: str, seconds: int = HOUR, seed: int = 1) -> Hour:
    """Simulate it. The same arguments give the same hour."""
    rng = random.Random(seed)
    clock = Clock()
    dis = Dis(clock, trouble, rng, seconds)
    tally = Tally(seconds)

    def trusted() -> bool:
        return trouble.at(clock.now) is not Way.REJECTING

    used: Gateway | HuaweicloudSdkDis | DisSdkPython
    if client == "dis-gateway":
        used = Gateway(clock, dis, trusted, rng)
    elif client == "huaweicloudsdkdis":
        used = HuaweicloudSdkDis(clock, dis, trusted)
    else:
        used = DisSdkPython(clock, dis, trusted)
    for number in range(CONSUMERS):
        # the first call is alone until it is answered: a breaker that has seen no answer yet makes the others wait
        first = 1.0 + rng.random() if number else 0.0
        clock.spawn(Consumer(clock, str(number), used.commit, first, COMMIT_EVERY, tally).work)
        first = 2.0 + rng.uniform(0.0, READ_EVERY)
        clock.spawn(Consumer(clock, str(number), used.read, first, READ_EVERY, tally).work)
    clock.run(seconds + _AFTERWARDS)
    return Hour(trouble, dis.sent, dis.failed, tally.due, tally.done, tally.errors)
