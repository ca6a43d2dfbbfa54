"""What becomes of a call to DIS that fails: sent again or not, when, how often, and how fast."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from gateway.dis.breaker import Breaker, BreakerSettings
from gateway.dis.client import DisClient
from gateway.dis.credentials import AuthToken, CredentialsProvider, KeyPair, StaticCredentials
from gateway.dis.http import AnswerLost, HttpAnswer, HttpRequest, NotSent
from gateway.dis.pace import FORGOTTEN, HELD, Pace
from gateway.dis.resilience import Resilience, RetrySettings
from gateway.dis.signer import DisEndpoint
from gateway.dis.signing import SigningScope
from gateway.errors import (
    CircuitOpen,
    CommitOutcomeUnknown,
    CredentialsUnavailable,
    DeadlineTooShort,
    GatewayError,
    UpstreamError,
    UpstreamUnavailable,
)
from gateway.model import Checkpoint, CheckpointKey, Commit, SequenceNumber

KEY = CheckpointKey("stream", "app", "0")
KEYS = StaticCredentials(KeyPair("access", "secret"))
COMMIT = Commit.of(Checkpoint(KEY, SequenceNumber(7)))
FOUND = HttpAnswer(200, {}, b'{"sequence_number":"7","metadata":""}')
CREATED = HttpAnswer(201, {}, b"")
Outcome = HttpAnswer | Exception


def error(code: str, status: int = 400, **headers: str) -> HttpAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(status, named, json.dumps({"errorCode": code, "message": "no"}).encode())


THROTTLED = error("DIS.4303")
BROKEN = error("DIS.5000", 500)
REFUSED = NotSent("no connection to DIS (Connection refused)")
CUT = AnswerLost("the connection to DIS broke")


class Rig:
    """A client before a DIS that follows a script, on a clock that only sleeping moves."""

    def __init__(
        self,
        *script: Outcome,
        credentials: CredentialsProvider = KEYS,
        failures: int = 1_000_000,
        **settings: float,
    ) -> None:
        self.now = 1000.0
        self.script = list(script)
        self.requests: list[HttpRequest] = []
        self.times: list[float] = []
        self.slept: list[float] = []
        self.pace = Pace(lambda: self.now)
        never = BreakerSettings(failures=failures, failure_share=2.0)
        self.breaker = Breaker(never, lambda: self.now)
        self.resilience = Resilience(
            self.breaker,
            self.pace,
            RetrySettings(**settings),  # type: ignore[arg-type]
            lambda: self.now,
            uniform=lambda low, high: high,
        )
        self.client = DisClient(
            DisEndpoint("https://dis.example.com", "0" * 32, SigningScope("eu-de", "dis")),
            credentials,
            self,
            lambda: datetime.fromtimestamp(self.now, UTC),
            self.resilience,
            self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def send(self, request: HttpRequest, deadline: float) -> HttpAnswer:
        self.requests.append(request)
        self.times.append(self.now)
        outcome = self.script.pop(0) if self.script else CREATED if request.method == "POST" else FOUND
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def pauses(self) -> list[float]:
        """Between the requests."""
        return [round(after - before, 6) for before, after in pairwise(self.times)]

    def read(self, seconds: float = math.inf) -> object:
        return self.client.read(KEY, lambda until=self.now + seconds: until)

    def commit(self, seconds: float = math.inf) -> None:
        self.client.commit(COMMIT, lambda until=self.now + seconds: until)


@pytest.mark.parametrize("outcome", [THROTTLED, BROKEN, REFUSED, CUT, error("", 503), error("APIGW.0308", 429)])
def test_a_read_that_failed_for_the_moment_is_sent_again(outcome: Outcome) -> None:
    rig = Rig(outcome, outcome)
    assert rig.read() is not None
    assert len(rig.requests) == 3
    assert rig.pauses == [0.1, 0.2]


@pytest.mark.parametrize("outcome", [THROTTLED, REFUSED, error("APIGW.0308", 429)])
def test_a_write_is_sent_again_where_dis_has_certainly_not_applied_it(outcome: Outcome) -> None:
    rig = Rig(outcome)
    rig.commit()
    assert len(rig.requests) == 2


@pytest.mark.parametrize("outcome", [BROKEN, CUT, error("APIGW.0201", 504)])
def test_a_write_whose_fate_is_unknown_is_never_sent_again(outcome: Outcome) -> None:
    rig = Rig(outcome)
    with pytest.raises(CommitOutcomeUnknown):
        rig.commit()
    assert len(rig.requests) == 1


@pytest.mark.parametrize("code", ["DIS.4301", "DIS.4702", "DIS.4308", "DIS.4200", "DIS.4116"])
def test_what_will_not_pass_is_not_sent_again(code: str) -> None:
    for call in (Rig.read, Rig.commit):
        rig = Rig(error(code))
        with pytest.raises(UpstreamError):
            call(rig)
        assert len(rig.requests) == 1


def test_attempts_are_bounded_and_the_last_failure_is_told() -> None:
    rig = Rig(*[THROTTLED] * 3, BROKEN, attempts=4)
    with pytest.raises(UpstreamError) as caught:
        rig.read()
    assert caught.value.metadata["dis_error_code"] == "DIS.5000"
    assert len(rig.requests) == 4


def test_the_wait_doubles_up_to_its_bound() -> None:
    rig = Rig(*[CUT] * 6, attempts=7, max_seconds=0.5)
    rig.read()
    assert rig.pauses == [0.1, 0.2, 0.4, 0.5, 0.5, 0.5]


def test_what_dis_asks_for_is_waited_for() -> None:
    rig = Rig(error("APIGW.0308", 429, Retry_After="3"))
    rig.commit()
    assert rig.pauses == [3.1]


def test_what_dis_asks_for_is_told_to_the_caller_where_it_is_long() -> None:
    rig = Rig(error("APIGW.0308", 429, Retry_After="6"))
    with pytest.raises(UpstreamError) as caught:
        rig.commit()
    assert (caught.value.retry_after, rig.slept) == (6, [])


def test_nothing_is_sent_for_those_who_have_left() -> None:
    rig = Rig()
    with pytest.raises(DeadlineTooShort):
        rig.client.commit(COMMIT, lambda: 0.0)
    assert rig.requests == []
    rig.commit()  # and it keeps nobody else back
    assert len(rig.requests) == 1


def test_a_pause_ends_when_everybody_has_left() -> None:
    rig, begin = Rig(error("APIGW.0308", 429, Retry_After="4")), 1000.0
    with pytest.raises(UpstreamError) as caught:
        rig.client.commit(COMMIT, lambda: math.inf if rig.now < begin + 1 else 0.0)
    assert caught.value.metadata["dis_error_code"] == "APIGW.0308"
    assert rig.now < begin + 2
    assert len(rig.requests) == 1


def test_what_dis_said_is_told_if_the_breaker_opens_before_the_next_attempt() -> None:
    rig = Rig(BROKEN, failures=1)
    with pytest.raises(UpstreamError) as caught:
        rig.read()
    assert caught.value.metadata["dis_error_code"] == "DIS.5000"


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "soon", "1 Jan 2026"]
)
def test_a_date_that_no_clock_has_is_not_learned_and_holds_nothing_up(date: str) -> None:
    rig = Rig(error("DIS.4105", 441, Date=date))
    with pytest.raises(UpstreamError):
        rig.read()
    assert rig.client.clock_offset == timedelta()
    rig.now += 60
    assert rig.read() is not None
    assert rig.breaker.states()["all"] == "closed"


@pytest.mark.parametrize("minutes", [-40, 40])
def test_each_of_the_calls_under_way_when_the_clock_has_jumped_is_sent_again(minutes: int) -> None:
    rig = Rig()
    date = format_datetime(datetime.fromtimestamp(rig.now, UTC) + timedelta(minutes=minutes), usegmt=True)
    skewed = error("DIS.4105", 441, Date=date)
    rig.read()
    answered = iter([skewed, FOUND, skewed, FOUND])  # of the second call, then of the first
    others: list[object] = []

    def send(request: HttpRequest, deadline: float) -> HttpAnswer:
        if not others:
            others.append("begun")
            others.append(rig.read())  # while the first is under way, signed with the old clock
        return next(answered)

    rig.send = send  # type: ignore[method-assign]
    assert rig.read() is not None
    assert others[1] is not None
    assert rig.breaker.states()["all"] == "closed"


@pytest.mark.parametrize("seconds", [0.09, 0.1])
def test_no_attempt_begins_after_the_deadline_of_those_who_wait(seconds: float) -> None:
    rig = Rig(THROTTLED)
    with pytest.raises(UpstreamError):
        rig.commit(seconds)
    assert (len(rig.requests), rig.slept) == (1, [])


def test_each_attempt_is_signed_anew() -> None:
    rig = Rig(THROTTLED, base_seconds=2.0)
    rig.commit()
    first, second = rig.requests
    assert first.body == second.body
    assert first.headers["X-Sdk-Date"] != second.headers["X-Sdk-Date"]
    assert first.headers["Authorization"] != second.headers["Authorization"]


def test_retries_are_a_share_of_calls() -> None:
    rig = Rig(budget_share=0.1)
    rig.script = [FOUND]
    rig.read()
    rig.script = [error("DIS.4301"), *[CUT] * 100_000]
    with pytest.raises(UpstreamError):
        rig.read()
    before = len(rig.requests)
    failed = 0
    for _ in range(1000):
        with pytest.raises(UpstreamUnavailable):
            rig.read()
        failed += 1
    retries = len(rig.requests) - before - failed
    assert 90 <= retries <= 110


def test_without_a_share_nothing_is_sent_again() -> None:
    rig = Rig(THROTTLED, budget_share=0.0)
    with pytest.raises(UpstreamError):
        rig.commit()
    assert len(rig.requests) == 1


def test_an_open_breaker_is_not_waited_for() -> None:
    rig = Rig(error("DIS.4309"))
    with pytest.raises(GatewayError):
        rig.read()
    with pytest.raises(CircuitOpen):
        rig.read()
    assert (len(rig.requests), rig.slept) == (1, [])


class Replaceable:
    """Credentials that a test replaces."""

    def __init__(self) -> None:
        self.now: AuthToken | CredentialsUnavailable = AuthToken("first")

    def snapshot(self) -> AuthToken:
        if isinstance(self.now, CredentialsUnavailable):
            raise self.now
        return self.now

    def reload(self, rejected: object) -> AuthToken:
        return self.snapshot()


def test_while_rejected_credentials_shut_calls_out_replaced_ones_are_tried_before_the_minute_is_over() -> None:
    credentials = Replaceable()
    rig = Rig(error("DIS.4114", 441), credentials=credentials)
    with pytest.raises(UpstreamError):
        rig.read()
    with pytest.raises(CircuitOpen):
        rig.read()  # they are the same
    credentials.now = CredentialsUnavailable("none now")
    with pytest.raises(CredentialsUnavailable):
        rig.read()
    credentials.now = AuthToken("second")
    assert rig.read() == Checkpoint(KEY, SequenceNumber(7))
    assert len(rig.requests) == 2


class Paced:
    def __init__(self, most: float = math.inf) -> None:
        self.now = 500.0
        self.pace = Pace(lambda: self.now, most)

    def run(self, seconds: float, wanted: float, allowed: float = math.inf) -> tuple[int, int]:
        """Callers that want so many calls a second, and a DIS that allows so many: how many it answered and refused."""
        answered = refused = 0
        second, in_second = math.floor(self.now), 0
        end = self.now + seconds
        while self.now < end:
            step = 1.0 / wanted
            wait = self.pace.reserve(math.inf)
            self.now += max(wait, step)
            if math.floor(self.now) != second:
                second, in_second = math.floor(self.now), 0
            in_second += 1
            if in_second > allowed:
                refused += 1
                self.pace.throttled()
            else:
                answered += 1
        return answered, refused


def test_nothing_is_held_back_where_nothing_is_throttled() -> None:
    rig = Paced()
    assert all(rig.pace.reserve(rig.now) == 0.0 for _ in range(10_000))
    assert rig.pace.limit == math.inf


def test_a_configured_rate_is_kept() -> None:
    rig = Paced(most=50)
    answered, _ = rig.run(20, wanted=1000)
    assert 980 <= answered <= 1020


def test_a_throttled_upstream_settles_instead_of_being_hit_again_and_again() -> None:
    rig = Paced()
    rig.run(20, wanted=400, allowed=100)
    answered, refused = rig.run(60, wanted=400, allowed=100)
    assert answered >= 0.8 * 60 * 100
    assert refused <= 0.05 * answered


def test_calls_that_were_under_way_when_it_throttled_are_one_throttling() -> None:
    rig = Paced()
    rig.run(3, wanted=100)
    for _ in range(50):
        rig.pace.throttled()
    assert 70 <= rig.pace.limit <= 100


def test_calls_that_got_their_place_before_it_was_cut_do_not_cut_it_again() -> None:
    rig = Paced()
    rig.run(3, wanted=100)
    rig.pace.throttled()
    cut = rig.pace.limit
    for _ in range(2 * math.floor(cut)):
        rig.pace.reserve(math.inf)  # two seconds' worth of places, more than a cut is held
    rig.now += HELD
    rig.pace.throttled()  # what was under way before that
    again = rig.pace.limit
    assert again < cut
    rig.now += HELD
    rig.pace.throttled()  # one of those that had their place already
    assert rig.pace.limit > again
    rig.now += HELD
    rig.pace.throttled()  # one that was sent at the new rate
    assert rig.pace.limit < again


def test_the_rate_comes_back_and_is_free_again() -> None:
    rig = Paced()
    rig.run(3, wanted=100)
    rig.pace.throttled()
    low = rig.pace.limit
    rig.now += 10
    assert rig.pace.limit > 1.2 * low
    rig.now += FORGOTTEN
    assert rig.pace.limit == math.inf


def test_after_a_long_time_without_throttling_the_rate_comes_back_ever_faster() -> None:
    rig = Paced()
    rig.run(3, wanted=100)
    for _ in range(20):  # down to the least
        rig.pace.throttled()
        rig.now += 2 * HELD
    rig.pace.throttled()
    low = rig.pace.limit
    rig.now += 10
    first = rig.pace.limit - low
    assert first < low + 5  # it feels its way, as the limit may be near
    rig.now += 30
    assert rig.pace.limit - low > 10 * first


def test_nobody_waits_for_more_than_half_of_its_time() -> None:
    rig = Paced(most=1)
    assert rig.pace.reserve(rig.now + 10) == 0.0
    assert [rig.pace.reserve(rig.now + 10) for _ in range(5)] == pytest.approx([0.75, 1.75, 2.75, 3.75, 4.75])
    with pytest.raises(UpstreamError, match="too late"):
        rig.pace.reserve(rig.now + 10)
    assert rig.pace.reserve(rig.now + 12) == pytest.approx(5.75)


def test_a_turn_that_comes_too_late_is_refused_and_stays_free() -> None:
    rig = Paced(most=1)
    assert rig.pace.reserve(rig.now) == 0.0
    for _ in range(3):
        with pytest.raises(UpstreamError, match="nothing was sent") as caught:
            rig.pace.reserve(rig.now + 0.5)
    assert (caught.value.reason, caught.value.retry_after) == ("UPSTREAM_THROTTLED", 1.0)
    assert rig.pace.reserve(rig.now + 1.5) == pytest.approx(0.75)


def test_a_client_that_is_throttled_slows_all_its_calls() -> None:
    rig = Rig(*[CREATED] * 5, THROTTLED)
    for _ in range(20):
        rig.commit()
    assert rig.pace.limit < 20
    assert sum(rig.slept) > 1.0
