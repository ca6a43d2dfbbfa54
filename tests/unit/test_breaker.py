"""When DIS is asked, and when it is left in peace."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.dis.breaker import ALL, SOONEST, WINDOW, Breaker, BreakerSettings, Kind, State
from gateway.errors import CircuitOpen, CommitOutcomeUnknown, GatewayError, Status, UpstreamError, UpstreamUnavailable
from tests.support import wait_until

READ, WRITE = Kind.READ, Kind.WRITE
DOWN = UpstreamUnavailable("down")
REJECTED = UpstreamError("no", status=Status.FAILED_PRECONDITION, reason="UPSTREAM_CREDENTIALS_REJECTED")
BLACKLISTED = UpstreamError("no", status=Status.UNAVAILABLE, reason="UPSTREAM_BLACKLISTED")
THROTTLED = UpstreamError("slow", status=Status.RESOURCE_EXHAUSTED, reason="UPSTREAM_THROTTLED")


class Rig:
    def __init__(self, patience: float = 60.0) -> None:
        self.now = 100.0
        self.breaker = Breaker(BreakerSettings(), lambda: self.now, patience)

    def call(self, error: GatewayError | None = None, kind: Kind = WRITE) -> bool:
        """Whether a call that ends like this is let through."""
        try:
            self.breaker.enter(kind)
        except CircuitOpen:
            return False
        self.breaker.leave(kind, error)
        return True


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    assert rig.call()
    return rig


def test_a_row_of_failures_opens_it_and_one_probe_closes_it(rig: Rig) -> None:
    assert [rig.call(DOWN) for _ in range(12)] == [True] * 10 + [False] * 2
    assert rig.breaker.states() == {ALL: State.CLOSED, "read": State.CLOSED, "write": State.OPEN}
    assert rig.call(kind=READ)  # reads go on
    rig.now += 5
    rig.breaker.enter(WRITE)  # the probe is under way
    assert rig.breaker.states()[WRITE] is State.PROBING
    assert not rig.call()
    rig.breaker.leave(WRITE, None)
    assert rig.call()
    assert rig.breaker.states()[WRITE] is State.CLOSED


def test_a_probe_that_fails_opens_it_again(rig: Rig) -> None:
    for _ in range(10):
        rig.call(CommitOutcomeUnknown("cut"))
    rig.now += 5
    assert [rig.call(DOWN), rig.call()] == [True, False]
    rig.now += 5
    assert rig.call()


def test_an_answer_of_dis_ends_a_row_of_failures_even_if_it_is_an_error(rig: Rig) -> None:
    for _ in range(5):
        assert all(rig.call(DOWN) for _ in range(4))
        assert rig.call(THROTTLED)


def test_a_share_of_failures_opens_it_too(rig: Rig) -> None:
    results = [rig.call(DOWN if number % 2 else None) for number in range(WINDOW + 1)]
    assert results[: WINDOW - 1] == [True] * (WINDOW - 1)
    assert rig.breaker.states()[WRITE] is State.OPEN


@pytest.mark.parametrize(("error", "seconds"), [(REJECTED, 60), (BLACKLISTED, 300)])
def test_what_dis_counts_against_an_address_opens_it_at_once_and_for_long(
    rig: Rig, error: GatewayError, seconds: int
) -> None:
    assert rig.call(error)
    assert rig.breaker.shut_out == error.reason
    rig.now += seconds - 0.1
    assert not rig.call()
    assert not rig.call(kind=READ)
    rig.now += 0.1
    assert rig.call(error)
    assert not rig.call()


def test_while_credentials_are_wrong_at_most_three_calls_a_minute_are_sent(rig: Rig) -> None:
    sent = 0
    for _ in range(6000):  # ten minutes of ten calls a second
        sent += rig.call(REJECTED)
        rig.now += 0.1
    assert sent <= 11


def test_other_credentials_than_the_rejected_ones_are_tried_soon_but_no_more_than_three_times_a_minute(
    rig: Rig,
) -> None:
    rig.call(REJECTED)
    rig.breaker.credentials_replaced()
    rig.now += SOONEST - 0.1
    assert not rig.call()
    rig.now += 0.1
    assert rig.call()
    sent = 0
    for _ in range(6000):  # ten minutes in which they are replaced, by others that are wrong, with every call
        sent += rig.call(REJECTED)
        rig.breaker.credentials_replaced()
        rig.now += 0.1
    assert 25 <= sent <= 31


def test_other_credentials_do_not_end_what_is_not_about_them(rig: Rig) -> None:
    rig.call(BLACKLISTED)
    rig.breaker.credentials_replaced()
    rig.now += 299
    assert not rig.call()


def test_a_call_that_was_under_way_when_it_opened_neither_closes_nor_shortens_it(rig: Rig) -> None:
    rig.breaker.enter(WRITE)
    rig.breaker.enter(WRITE)
    rig.call(BLACKLISTED)
    rig.breaker.leave(WRITE, None)
    rig.breaker.leave(WRITE, REJECTED)
    rig.now += 299
    assert not rig.call()


def test_a_probe_that_finds_nobody_leaves_all_calls_shut_out_for_as_long_again(rig: Rig) -> None:
    rig.call(REJECTED)
    rig.now += 60
    assert rig.call(DOWN)
    rig.now += 59
    assert not rig.call()
    rig.now += 1
    assert rig.call()
    assert rig.breaker.shut_out == ""


def test_the_refusal_says_why_and_when(rig: Rig) -> None:
    rig.call(BLACKLISTED)
    rig.now += 100
    with pytest.raises(CircuitOpen) as caught:
        rig.breaker.enter(WRITE)
    assert caught.value.retry_after == 200
    assert caught.value.metadata == {"cause": "UPSTREAM_BLACKLISTED"}


@pytest.mark.parametrize(("error", "sent"), [(REJECTED, 1), (DOWN, 1), (None, 20)])
def test_until_a_call_was_answered_one_is_sent_at_a_time(error: GatewayError | None, sent: int) -> None:
    rig, let_go, calls = Rig(), threading.Event(), []

    def call() -> bool:
        try:
            rig.breaker.enter(WRITE)
        except CircuitOpen:
            return False
        calls.append(1)
        assert let_go.wait(30)
        rig.breaker.leave(WRITE, error)
        return True

    with ThreadPoolExecutor(20) as pool:
        pending = [pool.submit(call) for _ in range(20)]
        wait_until(lambda: len(rig.breaker._changed._waiters) == 19)
        assert len(calls) == 1
        let_go.set()
        assert sum(one.result(30) for one in pending) == sent


def test_a_first_call_that_takes_long_does_not_hold_up_the_others() -> None:
    rig = Rig(patience=0.01)
    rig.breaker.enter(WRITE)
    assert rig.call()
    assert rig.call()
