"""When DIS is asked, and when it is left in peace."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dis.breaker import ALL, WINDOW, Breaker, BreakerSettings, Kind, State, Ticket
from gateway.errors import CircuitOpen, CommitOutcomeUnknown, GatewayError, Status, UpstreamError, UpstreamUnavailable

READ, WRITE = Kind.READ, Kind.WRITE
DOWN = UpstreamUnavailable("down")
REJECTED = UpstreamError("no", status=Status.FAILED_PRECONDITION, reason="UPSTREAM_CREDENTIALS_REJECTED")
BLACKLISTED = UpstreamError("no", status=Status.UNAVAILABLE, reason="UPSTREAM_BLACKLISTED")
THROTTLED = UpstreamError("slow", status=Status.RESOURCE_EXHAUSTED, reason="UPSTREAM_THROTTLED")


class Rig:
    """A breaker, and calls that are signed by somebody: a text stands for credentials and clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.breaker = Breaker(BreakerSettings(), lambda: self.now)

    def enter(self, kind: Kind = WRITE, by: str = "keys") -> Ticket | None:
        """None where it is refused, or has to wait."""
        try:
            return self.breaker.enter(kind, by)
        except CircuitOpen:
            return None

    def entered(self, kind: Kind = WRITE, by: str = "keys") -> Ticket:
        ticket = self.enter(kind, by)
        assert ticket is not None
        return ticket

    def call(self, error: GatewayError | None = None, kind: Kind = WRITE, by: str = "keys") -> bool:
        """Whether a call that ends like this is let through."""
        ticket = self.enter(kind, by)
        if ticket is not None:
            self.breaker.leave(ticket, error)
        return ticket is not None


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
    probe = rig.entered()
    assert rig.breaker.states()[WRITE] is State.PROBING
    assert not rig.call()
    rig.breaker.leave(probe, None)
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


def most_in_a_minute(times: list[float]) -> int:
    return max((sum(1 for other in times if 0 <= other - one < 60) for one in times), default=0)


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("mended", [False, True])
@pytest.mark.parametrize("answers_after", [0.0, 0.3, 4.0, 9.0])
def test_while_credentials_are_wrong_at_most_three_calls_a_minute_are_sent(
    answers_after: float, mended: bool, replaced: bool
) -> None:
    """Whatever the callers do, however slow DIS is, and if the credentials are replaced by other wrong ones."""
    rig, sent, under_way = Rig(), [], []
    for step in range(6000):  # ten minutes of ten times twenty callers a second
        for began, ticket in [*under_way]:
            if rig.now - began >= answers_after:
                under_way.remove((began, ticket))
                if mended and step % 2:
                    rig.breaker.withdraw(ticket, rejected=True)
                else:
                    rig.breaker.leave(ticket, REJECTED)
        for _ in range(20):
            ticket = rig.enter(by=f"keys {step // 7}" if replaced else "keys")
            if ticket is not None:
                sent.append(rig.now)
                under_way.append((rig.now, ticket))
        rig.now += 0.1
    assert most_in_a_minute(sent) <= 3
    assert len(sent) >= 10  # it goes on trying


def test_calls_that_were_under_way_when_keys_were_revoked_do_not_keep_new_ones_from_being_tried(rig: Rig) -> None:
    under_way = [rig.entered() for _ in range(64)]
    for ticket in under_way[:32]:
        rig.breaker.withdraw(ticket, rejected=True)  # each is sent again, signed with the new ones
    first = rig.entered(by="new")
    assert rig.enter(by="new") is None  # which one call proves
    rig.breaker.leave(first, None)
    for ticket in under_way[32:]:
        rig.breaker.leave(ticket, REJECTED)  # late, and of the old ones
    assert rig.call(by="new")
    assert rig.breaker.shut_out == ""


def test_others_in_place_of_rejected_credentials_are_tried_at_once(rig: Rig) -> None:
    assert rig.call(REJECTED)
    assert not rig.call()
    probe = rig.entered(by="new")
    assert rig.enter(by="new") is None
    rig.breaker.leave(probe, None)
    assert rig.call(by="new")
    assert rig.call(kind=READ, by="new")


def test_nothing_is_tried_early_while_the_address_is_blacklisted(rig: Rig) -> None:
    rig.call(BLACKLISTED)
    assert not rig.call(by="new")


def test_a_call_that_was_under_way_when_it_opened_neither_closes_nor_shortens_it(rig: Rig) -> None:
    first, second = rig.entered(), rig.entered()
    rig.call(BLACKLISTED)
    rig.breaker.leave(first, None)
    rig.breaker.leave(second, REJECTED)
    rig.now += 299
    assert not rig.call()


def test_what_was_sent_before_a_probe_says_nothing_of_it(rig: Rig) -> None:
    late = [rig.entered() for _ in range(3)]
    for _ in range(10):
        rig.call(DOWN)
    rig.now += 5
    probe = rig.entered()
    for ticket, error in zip(late, (None, DOWN, THROTTLED), strict=True):
        rig.breaker.leave(ticket, error)
        assert rig.breaker.states()[WRITE] is State.PROBING
    rig.breaker.leave(probe, None)
    assert rig.breaker.states()[WRITE] is State.CLOSED


def test_a_probe_that_was_not_sent_leaves_the_next_call_to_be_one(rig: Rig) -> None:
    rig.call(REJECTED)
    rig.now += 60
    rig.breaker.withdraw(rig.entered())
    assert rig.call()
    assert rig.breaker.states()[ALL] is State.CLOSED


def test_who_is_shut_out_is_wanted_again_when_a_probe_is_due(rig: Rig) -> None:
    rig.call(REJECTED)
    assert rig.breaker.shut_out == "UPSTREAM_CREDENTIALS_REJECTED"
    rig.now += 60
    assert rig.breaker.shut_out == ""  # else calls that follow readiness would never come, and so no probe


def test_who_finds_writes_impossible_is_told_why_and_wanted_again_when_a_probe_is_due(rig: Rig) -> None:
    for _ in range(10):
        rig.call(DOWN)
    assert rig.breaker.shut_out == "UPSTREAM_UNAVAILABLE"  # a consumer reads once, and then commits
    assert rig.breaker.causes() == {"write": "UPSTREAM_UNAVAILABLE"}
    assert rig.breaker.states()["write"] is State.OPEN
    rig.now += 5
    assert rig.breaker.shut_out == ""
    assert rig.breaker.states()["write"] is State.PROBING  # the next call is one: nothing is kept from DIS


def test_a_probe_of_reads_is_not_lost_when_the_keys_are_revoked_meanwhile(rig: Rig) -> None:
    for _ in range(10):
        rig.call(DOWN, READ)
    rig.now += 5
    probe, write = rig.entered(READ), rig.entered()
    rig.breaker.leave(write, REJECTED)
    rig.breaker.leave(probe, REJECTED)
    rig.now += 60
    assert rig.call()
    assert rig.call(kind=READ)
    assert set(rig.breaker.states().values()) == {State.CLOSED}


ENDS = st.sampled_from([None, DOWN, REJECTED, BLACKLISTED, THROTTLED, CommitOutcomeUnknown("cut"), "withdrawn"])


@given(
    st.lists(
        st.tuples(st.sampled_from(Kind), st.sampled_from(["one", "two"]), ENDS, st.sampled_from([0.0, 1.0, 5.0, 60.0])),
        max_size=60,
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_comes_no_probe_is_left_behind_and_it_recovers(
    steps: list[tuple[Kind, str, GatewayError | str | None, float]], chance: Random
) -> None:
    rig = Rig()
    under_way: list[tuple[Ticket, GatewayError | str | None]] = []

    def end() -> None:
        ticket, error = under_way.pop(chance.randrange(len(under_way)))
        if isinstance(error, str):
            rig.breaker.withdraw(ticket, rejected=chance.random() < 0.5)
        else:
            rig.breaker.leave(ticket, error)

    for kind, by, error, seconds in steps:
        if (ticket := rig.enter(kind, by)) is not None:
            under_way.append((ticket, error))
        if under_way and chance.random() < 0.5:
            end()
        rig.now += seconds
    while under_way:
        end()
    rig.now += 1000
    assert all(rig.call(kind=kind, by="three") for kind in (*Kind, *Kind))
    assert set(rig.breaker.states().values()) == {State.CLOSED}


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
        rig.breaker.enter(WRITE, "keys")
    assert caught.value.retry_after == 200
    assert caught.value.metadata == {"cause": "UPSTREAM_BLACKLISTED"}


def test_until_a_call_was_answered_one_is_sent_at_a_time() -> None:
    rig = Rig()
    for _ in range(3):
        first = rig.entered()
        assert [rig.enter() for _ in range(20)] == [None] * 20
        rig.breaker.leave(first, DOWN)
    rig.breaker.leave(rig.entered(), THROTTLED)  # which says nothing of the credentials
    first = rig.entered()
    assert rig.enter() is None
    rig.breaker.leave(first, None)
    assert all(rig.enter() for _ in range(20))


def test_beside_a_first_call_that_takes_long_one_other_is_sent() -> None:
    rig = Rig()
    first = rig.entered()
    rig.now += 0.9
    assert rig.enter() is None
    rig.now += 0.1
    assert rig.enter() is not None
    rig.now += 100
    assert rig.enter() is None
    rig.breaker.leave(first, None)
    assert rig.enter() is not None
