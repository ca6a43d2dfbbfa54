"""The scripts of the hour: what goes wrong from minute 20 on."""

from __future__ import annotations

from dataclasses import dataclass

from bench.sim.dis import Dis, Trouble, Way
from bench.sim.hour import DEMAND

_START = 1200.0
# Odd ends, so that no probe of the gateway happens to come just when the trouble is over.
_TEN_MINUTES = _START + 603
_FIFTEEN_MINUTES = _START + 910
_TWENTY_MINUTES = _START + 1200


@dataclass(frozen=True)
class Scenario:
    """``name`` is that of its picture."""

    name: str
    title: str
    story: str
    trouble: Trouble


SCENARIOS = (
    Scenario(
        "throttled",
        "Throttled: half of what is wanted, for 20 minutes",
        f"DIS takes {DEMAND / 2:.1f} calls a second of the {DEMAND:.1f} that are wanted, and answers the others with "
        "`DIS.4303`.",
        Trouble(Way.LIMITED, _START, _TWENTY_MINUTES, limit=DEMAND / 2),
    ),
    Scenario(
        "throttled-hard",
        "Throttled hard: a quarter of what is wanted, for 20 minutes",
        f"DIS takes {DEMAND / 4:.1f} calls a second: that is not enough for all, whoever asks.",
        Trouble(Way.LIMITED, _START, _TWENTY_MINUTES, limit=DEMAND / 4),
    ),
    Scenario(
        "refused",
        "Down: connections are refused, for 10 minutes",
        "Nobody listens at the address of DIS.",
        Trouble(Way.REFUSING, _START, _TEN_MINUTES),
    ),
    Scenario(
        "broken",
        "Broken: HTTP 500, for 10 minutes",
        "Every call is answered with `DIS.5000`. Whether a commit was stored is not known then.",
        Trouble(Way.BREAKING, _START, _TEN_MINUTES),
    ),
    Scenario(
        "slow",
        f"Slow: every answer takes {Dis.SLOW:.0f} seconds, for 10 minutes",
        "What arrives in these minutes is done, but answered late.",
        Trouble(Way.SLOW, _START, _TEN_MINUTES),
    ),
    Scenario(
        "flapping",
        "Flapping: 30 seconds down, 30 seconds up, for 20 minutes",
        "Down means refused connections.",
        Trouble(Way.REFUSING, _START, _TWENTY_MINUTES, period=60),
    ),
    Scenario(
        "credentials",
        "Wrong credentials, for 15 minutes",
        "Somebody rolls out wrong credentials, and the right ones a quarter of an hour later. All clients are taken to "
        "use new ones at once, which most programs can only by being started anew.",
        Trouble(Way.REJECTING, _START, _FIFTEEN_MINUTES),
    ),
    Scenario(
        "blacklisted",
        "Wrong credentials, for 15 minutes, before a DIS that blocks the address",
        "The same, but the address is blocked (`DIS.4309`) for 5 minutes after 100 rejected calls in a minute, and "
        "each call in that time begins the 5 minutes anew. That DIS does so is documented; these numbers are assumed.",
        Trouble(Way.REJECTING, _START, _FIFTEEN_MINUTES, blacklists=True),
    ),
)
