"""The core under ten thousand schedules: whatever the order of things and the faults, what is promised holds."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from gateway.checkpoints.work import Event
from tests.simulation.world import Violation, World

SCHEDULES = int(os.environ.get("SCHEDULES", "10000"))
FIRST = int(os.environ.get("SEED", "0"))
BATCHES = 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_schedule_keeps_the_promises(batch: int) -> None:
    for seed in range(FIRST + batch, FIRST + SCHEDULES, BATCHES):
        world = World(seed)
        try:
            world.run()
        except Exception as error:  # noqa: BLE001
            story = "\n".join(world.log[-60:])
            pytest.fail(f"{error}\nreplay: SEED={seed} SCHEDULES=1 pytest tests/simulation\n{story}", pytrace=False)


def test_the_schedules_reach_everything_that_the_core_decides() -> None:
    seen: Counter[Event] = Counter()
    lingered = unwanted = 0
    for seed in range(1500):
        world = World(seed)
        world.run()
        seen.update(world.events)
        lingered += world.lingered
        unwanted += world.unwanted
    unreached = {event for event in Event if not seen[event]} - {Event.REGRESSION_ALLOWED}  # another policy
    assert not unreached
    assert lingered > 20
    assert unwanted > 20


def test_a_schedule_is_the_same_each_time() -> None:
    def story(seed: int) -> list[str]:
        world = World(seed)
        world.run()
        return world.log

    assert story(7) == story(7)
    assert issubclass(Violation, AssertionError)
