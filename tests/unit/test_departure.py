"""When a gateway that was asked to stop may stop."""

from __future__ import annotations

import pytest

from gateway.rpc.departure import Departure, Farewell


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_waits_for_clients_to_leave(clock: Clock) -> None:
    departure = Departure(25.0, 1.0, clock)
    clock.now += 20
    assert departure.over(3) is None
    clock.now += 0.9
    assert departure.over(0) is None
    clock.now += 0.1
    assert departure.over(0) is Farewell.CLIENTS_LEFT


def test_a_client_that_connects_anew_is_waited_for_again(clock: Clock) -> None:
    departure = Departure(25.0, 1.0, clock)
    clock.now += 0.9
    assert departure.over(1) is None
    clock.now += 0.9
    assert departure.over(0) is None
    clock.now += 0.2
    assert departure.over(0) is Farewell.CLIENTS_LEFT


def test_it_waits_no_longer_than_the_grace_period(clock: Clock) -> None:
    departure = Departure(25.0, 1.0, clock)
    clock.now += 24.9
    assert departure.over(1) is None
    clock.now += 0.1
    assert departure.over(1) is Farewell.GRACE_OVER


def test_without_grace_it_goes_at_once(clock: Clock) -> None:
    assert Departure(0.0, 1.0, clock).over(1) is Farewell.GRACE_OVER
    assert Departure(25.0, 0.0, clock).over(0) is Farewell.CLIENTS_LEFT
