"""Signing, stage by stage, against vectors made with the published signers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.dis import signing
from gateway.dis.signing import SigningDialect, SigningScope

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "signing_vectors.json").read_text())
CASES = [
    pytest.param(vector, SigningDialect(dialect), id=f"{vector['name']}-{dialect}")
    for vector in VECTORS
    for dialect in vector["expect"]
]


def stages(vector: dict[str, Any], dialect: SigningDialect) -> dict[str, str]:
    request, keys = vector["request"], vector["credentials"]
    scope = SigningScope(keys["region"], keys["service"])
    date = vector["date"]
    headers = {**request["headers"], "Host": request["host"], "X-Sdk-Date": date}
    canonical = signing.canonical_request(
        request["method"], request["path"], [tuple(p) for p in request["query"]], headers, request["body"].encode()
    )
    to_sign = signing.string_to_sign(canonical, date, scope, dialect)
    signed = signing.signature(signing.signing_key(keys["ak"], keys["sk"], date, scope, dialect), to_sign)
    names = signing.signed_headers(headers)
    return {
        "canonical_request": canonical,
        "string_to_sign": to_sign,
        "signature": signed,
        "authorization": signing.authorization(keys["ak"], date, scope, dialect, names, signed),
    }


def test_there_are_nine_vectors_with_all_three_dialects() -> None:
    assert len(VECTORS) == 9
    assert len(CASES) == 27


@pytest.mark.parametrize(("vector", "dialect"), CASES)
def test_every_stage_is_what_the_published_signer_makes(vector: dict[str, Any], dialect: SigningDialect) -> None:
    expected = vector["expect"][dialect.value]
    made = stages(vector, dialect)
    assert {stage: made[stage] for stage in expected} == expected


def test_a_path_is_encoded_segment_by_segment_and_ends_in_a_slash() -> None:
    assert signing.canonical_uri("/v2/a b/ü~_-.") == "/v2/a%20b/%C3%BC~_-./"


def test_query_pairs_are_encoded_before_they_are_sorted() -> None:
    assert signing.canonical_query([("b", "2"), ("a", "x y"), ("a", "A/")]) == "a=A%2F&a=x%20y&b=2"
