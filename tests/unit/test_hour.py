"""What the simulated hour is for, on a few minutes of it: little load in trouble, a steady pace, a short way back."""

from __future__ import annotations

from statistics import mean

import pytest

from bench.sim.dis import Trouble, Way
from bench.sim.hour import DEMAND, Hour, run

START = 30


def gateway(trouble: Trouble, calm_afterwards: int = 60) -> Hour:
    return run(trouble, "dis-gateway", int(trouble.end) + calm_afterwards + 60)


def rates(hour: Hour, start: float, seconds: int) -> list[float]:
    """Calls a second that reached DIS, as means of so many seconds."""
    return [mean(hour.sent[at : at + seconds]) for at in range(int(start), int(hour.trouble.end), seconds)]


def test_the_consumers_get_all_they_want_where_nothing_is_wrong() -> None:
    hour = gateway(Trouble(Way.LIMITED, START, START))
    assert hour.done == hour.due
    assert not any(hour.failed)
    assert mean(hour.sent[10:]) == pytest.approx(DEMAND, rel=0.02)


@pytest.mark.parametrize("blacklists", [False, True])
def test_while_credentials_are_wrong_at_most_three_calls_a_minute_reach_dis(blacklists: bool) -> None:
    hour = gateway(Trouble(Way.REJECTING, START, START + 190, blacklists=blacklists))
    after_the_first = hour.sent[START + 1 : START + 190]
    assert sum(after_the_first) <= 3 * 190 / 60
    assert hour.back is not None
    assert hour.back <= 20


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_while_dis_throttles_the_rate_settles_near_the_limit(share: float) -> None:
    limit = share * DEMAND
    hour = gateway(Trouble(Way.LIMITED, START, START + 180, limit=limit))
    settled = rates(hour, START + 30, 10)
    assert min(settled) > 0.8 * limit
    assert max(settled) < 1.25 * limit
    assert sum(hour.failed[START + 30 :]) < 0.1 * sum(hour.sent[START + 30 : START + 180])
    assert hour.back is not None
    assert hour.back <= 20


def test_throttled_it_gets_more_done_than_clients_that_send_all() -> None:
    trouble = Trouble(Way.LIMITED, START, START + 120, limit=DEMAND / 2)
    ours, theirs = gateway(trouble), run(trouble, "huaweicloudsdkdis", START + 180)
    during = slice(START, START + 120)
    assert sum(ours.done[during]) > 1.1 * sum(theirs.done[during])
    assert sum(ours.failed[during]) < 0.15 * sum(theirs.failed[during])


def test_throttled_hard_it_gets_no_less_done_and_does_not_let_all_wait_until_they_are_late() -> None:
    trouble = Trouble(Way.LIMITED, START, START + 180, limit=DEMAND / 4)
    ours, theirs = gateway(trouble), run(trouble, "huaweicloudsdkdis", START + 240)
    settled = slice(START + 30, START + 180)
    assert sum(ours.done[settled]) > 0.95 * sum(theirs.done[settled])


@pytest.mark.parametrize(
    ("way", "seconds"),
    # while answers are slow, the probe under way takes its ten seconds before the next one
    [(Way.REFUSING, 5), (Way.BREAKING, 6), (Way.SLOW, 16)],
)
@pytest.mark.parametrize("lasts", [61, 63, 65])
def test_down_it_only_probes_and_is_back_soon(way: Way, seconds: int, lasts: int) -> None:
    hour = gateway(Trouble(way, START, START + lasts))
    assert (
        sum(hour.sent[START + 12 : START + lasts]) <= 2 * (lasts - 12) / 5 + 2
    )  # one circuit for reads, one for writes
    assert hour.back is not None
    assert hour.back <= seconds


def test_flapping_costs_no_more_than_a_probe_is_apart() -> None:
    trouble = Trouble(Way.REFUSING, START, START + 300, period=60)
    ours, theirs = gateway(trouble), run(trouble, "huaweicloudsdkdis", START + 420)
    assert sum(ours.done) >= sum(theirs.done) - 5 * 5 * DEMAND
    assert sum(ours.failed) < 0.1 * sum(theirs.failed)


def test_the_same_seed_gives_the_same_hour() -> None:
    trouble = Trouble(Way.LIMITED, START, START + 60, limit=DEMAND / 2)
    assert gateway(trouble) == gateway(trouble)
    assert gateway(trouble) != run(trouble, "dis-gateway", START + 180, seed=2)
