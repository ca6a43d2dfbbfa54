"""The older published SDK (``huaweicloud-python-sdk-dis``) against the emulator.

It is unmodified but for one thing: on Python 3.10 and later its test of the version compares strings, and so it never
imports ``quote``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from gateway.emulator import Emulator
from tests.support import ACCESS_KEY, PROJECT, REGION, SECRET_KEY

SECURITY_TOKEN = "temporary/token+with=chars"


@pytest.fixture(scope="module")
def sdk() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        from dis_sdk_python.com.huaweicloud.dis.sdk.python.client import disclient
        from dis_sdk_python.com.huaweicloud.dis.sdk.python.models import disauth
    disauth.quote = quote
    return disclient


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(access_key=ACCESS_KEY, secret_key=SECRET_KEY, project=PROJECT, region=REGION) as running:
        yield running


def test_it_makes_a_stream_and_an_app_and_commits_reads_and_deletes(sdk: Any, emulator: Emulator) -> None:
    dis = sdk.disclient(emulator.endpoint, ACCESS_KEY, SECRET_KEY, PROJECT, REGION)
    assert dis.createStream("s", 2, "BLOB", "COMMON").statusCode == 201
    assert dis.createApp("a").statusCode == 201
    assert dis.listStream().stream_names == ["s"]
    assert len(dis.describeStream("s").partitions) == 2
    assert [app["app_name"] for app in dis.listApp("").apps] == ["a"]

    assert dis.getCheckpoint("s", "a", "0").seqNumber == "-1"
    assert dis.commitCheckpoint("s", "a", "shardId-0000000000", "41", "ü").statusCode == 201
    assert dis.getCheckpoint("s", "a", "0").seqNumber == "41"
    assert emulator.checkpoint("s", "a", 0) == ("41", "ü")
    dis.commitCheckpoint("s", "a", "1", "42")
    states = dis.streamConsume("s", "a").partition_consuming_states  # it asks for those after partition 0
    assert [one["sequence_number"] for one in states] == ["42"]

    assert dis.deleteCheckpoint("s", "a").statusCode == 204  # of every partition: it can say no other thing
    assert (emulator.checkpoint("s", "a", 0), emulator.checkpoint("s", "a", 1)) == (None, None)
    assert dis.deleteApp("a").statusCode == 204
    assert dis.deleteStream("s").statusCode == 204
    assert all("/sdk_request, " in one.authorization for one in emulator.requests())  # all were signed as scoped


def test_its_security_token_is_not_signed_and_taken(sdk: Any) -> None:
    with Emulator(access_key=ACCESS_KEY, secret_key=SECRET_KEY, security_token=SECURITY_TOKEN) as emulator:
        dis = sdk.disclient(emulator.endpoint, ACCESS_KEY, SECRET_KEY, PROJECT, REGION)
        assert dis.listStream(xSecrityToken=SECURITY_TOKEN).statusCode == 200
        with pytest.raises(Exception, match=r"DIS\.4107"):
            dis.listStream()


def test_it_understands_the_errors(sdk: Any, emulator: Emulator) -> None:
    dis = sdk.disclient(emulator.endpoint, ACCESS_KEY, SECRET_KEY, PROJECT, REGION)
    with pytest.raises(Exception, match=r"DIS\.4301"):
        dis.describeStream("nowhere")
    with pytest.raises(Exception, match=r"DIS\.4100"):
        sdk.disclient(emulator.endpoint, ACCESS_KEY, "wrong", PROJECT, REGION).listStream()
