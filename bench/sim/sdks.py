"""What the published SDKs do when a call fails; ``tests/contract/test_sdk_retries.py`` holds this against them."""

from __future__ import annotations

from collections.abc import Callable

from bench.sim.clock import Clock
from bench.sim.dis import Dis, Outcome


class HuaweicloudSdkDis:
    """``huaweicloudsdkdis`` 3.1.219 as it comes: a call is sent once, and fails with what DIS says.

    Its core can retry (``HttpConfig.retry_times``, ``with_retry`` of an invoker), but both are off unless a program
    turns them on. It waits 120 seconds for an answer.
    """

    READ_TIMEOUT = 120.0

    def __init__(self, clock: Clock, dis: Dis, trusted: Callable[[], bool]) -> None:
        self._dis = dis
        self._trusted = trusted

    def commit(self, key: str, number: int, deadline: float) -> bool:
        """Whether it was stored. The SDK knows no deadline."""
        return self._send()

    def read(self, key: str, number: int, deadline: float) -> bool:
        """Whether it was answered."""
        return self._send()

    def _send(self) -> bool:
        return self._dis.ask(timeout=self.READ_TIMEOUT, trusted=self._trusted()) is Outcome.OK


class DisSdkPython:
    """``dis_sdk_python`` (``huaweicloud-python-sdk-dis`` 2.0.4): 10 more attempts, after 50 ms and then twice as long.

    It does so after any HTTP 5xx, be it a read or a commit, after a connection that timed out, and after a read whose
    answer did not come in 60 seconds. Not after a refused connection, nor after what has a status below 500: DIS
    throttles with 400.
    """

    READ_TIMEOUT = 60.0
    RETRIES = 10
    FIRST_WAIT = 0.05

    def __init__(self, clock: Clock, dis: Dis, trusted: Callable[[], bool]) -> None:
        self._clock = clock
        self._dis = dis
        self._trusted = trusted

    def commit(self, key: str, number: int, deadline: float) -> bool:
        """Whether it was stored. The SDK knows no deadline."""
        return self._send({Outcome.BROKEN})

    def read(self, key: str, number: int, deadline: float) -> bool:
        """Whether it was answered."""
        return self._send({Outcome.BROKEN, Outcome.TIMED_OUT})

    def _send(self, passing: set[Outcome]) -> bool:
        wait = self.FIRST_WAIT
        for _ in range(self.RETRIES):
            outcome = self._dis.ask(timeout=self.READ_TIMEOUT, trusted=self._trusted())
            if outcome not in passing:
                return outcome is Outcome.OK
            self._clock.sleep(wait)
            wait *= 2
        return self._dis.ask(timeout=self.READ_TIMEOUT, trusted=self._trusted()) is Outcome.OK
