"""What one signed read of DIS costs in CPU: the gateway's client beside the published SDKs and the bare libraries.

All are called in this process, in turns, so that noise hits all alike; DIS is another process, which answers at once.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import requests
import urllib3
from requests.adapters import HTTPAdapter

from bench.parts import Contest, Figure, Pace, dis, gateway, spread
from gateway import wiring
from gateway.config import Config
from gateway.dis.client import DisClient, checkpoint_query
from gateway.dis.credentials import KeyPair, StaticCredentials
from gateway.dis.signer import DisEndpoint, RequestSigner, SignedBy
from gateway.dis.signing import SigningScope
from gateway.dis.transport import RequestsTransport, TransportSettings
from gateway.model import CheckpointKey

CALLS = 200
SDK = "`huaweicloudsdkdis`"
PROJECT = "0" * 32
KEY = CheckpointKey("stream", "app", "0")
KEYS = KeyPair("ACCESS", "secret")
SCOPE = SigningScope("bench", "dis")
Call = Callable[[], object]


def figures(pace: Pace) -> list[Figure]:
    """Microseconds of CPU for each call, and what that is of a read by ``huaweicloudsdkdis``."""
    with dis() as url:
        calls = {
            SDK: _sdk(url),
            "`dis_sdk_python`": _older_sdk(url),
            "`requests.Session`, not signed": _session(url),
            "`urllib3`, not signed": _urllib3(url),
            "an adapter of `requests` with a ready request": _adapter(url),
            "the gateway's client": _gateway(url),
        }
        times = _measured(calls, pace)
        whole = _whole(url, pace)
    result = []
    for name, values in times.items():
        ratios = [value / base for value, base in zip(values, times[SDK], strict=True)]
        goal = 0.4 if name == "the gateway's client" else None
        of = "itself" if name == SDK else SDK
        micro, ratio = statistics.median(values), statistics.median(ratios)
        result.append(
            Figure(name, micro, "µs", ratio, of, goal, at_most=True, spread=spread(ratios),
                   row="miss" if goal else "")
        )  # fmt: skip
    sdk, micro = statistics.median(times[SDK]), statistics.median(whole)
    what = "a read that misses, in the whole gateway, 16 callers"
    return [*result, Figure(what, micro, "µs", micro / sdk, SDK, spread=spread(whole))]


def _whole(url: str, pace: Pace) -> list[float]:
    """CPU of a gateway that caches nothing for each read, in µs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        gateway(url, f"unix://{folder}/g.sock", cache__ttl_seconds="0") as server,
    ):
        contest = Contest({"gateway": server}).run(pace, "-callers", "16", filled=True)
    return [seconds * 1e6 for seconds in contest.cpu["gateway"]]


def _measured(calls: dict[str, Call], pace: Pace) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()  # connect
    for _ in range(2 * pace.rounds):
        for name, call in calls.items():
            began = time.process_time()
            for _ in range(CALLS):
                call()
            times[name].append((time.process_time() - began) / CALLS * 1e6)
    return times


def _urllib3(url: str) -> Call:
    pool = urllib3.PoolManager()
    query = dict(checkpoint_query(KEY))
    return lambda: pool.request("GET", f"{url}/v2/{PROJECT}/checkpoints", fields=query).json()


def _gateway(url: str) -> Call:
    endpoint = DisEndpoint(url, PROJECT, SCOPE)
    transport = RequestsTransport(TransportSettings())
    client = DisClient(endpoint, StaticCredentials(KEYS), transport, wiring.utc, wiring.resilience(Config()))
    until = math.inf
    return lambda: client.read(KEY, lambda: until)


def _sdk(url: str) -> Call:
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.region.region import Region
    from huaweicloudsdkdis.v2 import DisClient as Sdk
    from huaweicloudsdkdis.v2 import ShowCheckpointRequest

    credentials = BasicCredentials(KEYS.access_key, KEYS.secret_key, PROJECT)
    client = Sdk.new_builder().with_credentials(credentials).with_region(Region("bench", url)).build()
    request = ShowCheckpointRequest(stream_name="stream", app_name="app", partition_id="0", checkpoint_type="LAST_READ")
    return lambda: client.show_checkpoint(request)


def _older_sdk(url: str) -> Call:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        from dis_sdk_python.com.huaweicloud.dis.sdk.python.client import disclient
        from dis_sdk_python.com.huaweicloud.dis.sdk.python.models import disauth
    disauth.quote = quote  # its test of Python's version compares strings
    client: Any = disclient.disclient(url, KEYS.access_key, KEYS.secret_key, PROJECT, "bench")
    return lambda: client.getCheckpoint("stream", "app", "0")


def _session(url: str) -> Call:
    session = requests.Session()
    query = dict(checkpoint_query(KEY))
    return lambda: session.get(f"{url}/v2/{PROJECT}/checkpoints", params=query).json()


def _adapter(url: str) -> Call:
    signer = RequestSigner(DisEndpoint(url, PROJECT, SCOPE), lambda: datetime.now(UTC))
    signed = signer.sign(SignedBy(KEYS), "GET", f"/v2/{PROJECT}/checkpoints", checkpoint_query(KEY), b"")
    ready = requests.Request(signed.method, signed.url, headers=dict(signed.headers)).prepare()
    adapter = HTTPAdapter()
    return lambda: adapter.send(ready).content
