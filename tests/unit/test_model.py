"""The values of the model: canonical from birth, and impossible to make wrong."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from copy import copy, deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidField
from gateway.model import (
    MAX_SEQUENCE_NUMBER,
    Checkpoint,
    CheckpointKey,
    Membership,
    SequenceNumber,
    canonical_partition,
    check_name,
)

KEY = CheckpointKey("stream", "app", "0")
_PARTITION = re.compile(r"shardId-[0-9]{10}|0|[1-9][0-9]{0,9}", re.ASCII)
"""What the DIS API reference takes."""


@given(st.integers(0, 9_999_999_999))
def test_both_spellings_of_a_partition_make_one_key(number: int) -> None:
    short, long = str(number), f"shardId-{number:010d}"
    assert canonical_partition(short) == long
    assert canonical_partition(long) == long
    assert CheckpointKey("s", "a", short) == CheckpointKey("s", "a", long)
    assert hash(CheckpointKey("s", "a", short)) == hash(CheckpointKey("s", "a", long))


@pytest.mark.parametrize(
    "partition",
    ["", "00", "01", "shardId-1", "shardId-", "shardId-00000000001", "-1", "abc", "00000000001", "10000000000", " 0"]
    + ["0 ", "0\n", "+0", "٣", "shardid-0000000000", "shardId-000000000٣", "0.0", "0x1", "shardId-0000000000\n"]
    + ["shardId-abcdefghij", "shardId-000000000x", "shardId--000000001", "shardId-000000000\n"],
)
def test_any_other_spelling_of_a_partition_is_refused(partition: str) -> None:
    with pytest.raises(InvalidField) as caught:
        CheckpointKey("s", "a", partition)
    assert caught.value.field == "partition_id"


@given(
    st.text("019\n x٣²", min_size=1, max_size=11)
    | st.text("0189ax-\n٣²", min_size=9, max_size=11).map("shardId-".__add__)
    | st.from_regex(_PARTITION, fullmatch=True)
)
def test_a_partition_is_taken_if_dis_would_take_it(value: str) -> None:
    if _PARTITION.fullmatch(value):
        assert canonical_partition(value) == f"shardId-{value.removeprefix('shardId-'):0>10}"
    else:
        with pytest.raises(InvalidField):
            canonical_partition(value)


@given(st.integers(0, MAX_SEQUENCE_NUMBER))
def test_a_sequence_number_is_read_and_written_the_same(number: int) -> None:
    assert str(SequenceNumber.parse(str(number))) == str(number)


def test_sequence_numbers_compare_as_integers() -> None:
    assert SequenceNumber.parse("9") < SequenceNumber.parse("10")
    assert SequenceNumber.parse("010") == SequenceNumber.parse("10")
    assert str(SequenceNumber.parse("010")) == "10"


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1.5", " 10", "10 ", "٣", "+1", "1e3", "0x10", "1_000", "10\n", "9223372036854775808", "9" * 20]
    + ["0" * 20, "ten", "१"],
)
def test_anything_but_digits_within_64_bits_is_no_sequence_number(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        SequenceNumber.parse(text)
    assert caught.value.field == "sequence_number"


def test_the_largest_sequence_number_is_taken() -> None:
    assert SequenceNumber.parse("9223372036854775807") == 2**63 - 1


def test_a_sequence_number_out_of_range_cannot_be_made() -> None:
    for value in (-1, 2**63):
        with pytest.raises(InvalidField):
            SequenceNumber(value)


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a/b", "ä", "a.b", "a\n", "a\x00"])
def test_a_stream_name_that_dis_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(InvalidField) as caught:
        CheckpointKey(name, "app", "0")
    assert caught.value.field == "stream_name"


def test_names_of_the_longest_length_are_taken() -> None:
    assert check_name("stream_name", "a" * 64, 64)
    assert CheckpointKey("a" * 64, "b" * 50, "0").app_name == "b" * 50


def test_another_checkpoint_type_is_refused() -> None:
    with pytest.raises(InvalidField) as caught:
        CheckpointKey("s", "a", "0", "LATEST")
    assert caught.value.field == "checkpoint_type"


def test_metadata_is_counted_in_code_points() -> None:
    assert len(Checkpoint(KEY, SequenceNumber(1), "😀" * 1000).metadata) == 1000
    with pytest.raises(InvalidField) as caught:
        Checkpoint(KEY, SequenceNumber(1), "a" * 1001)
    assert caught.value.field == "metadata"


@pytest.mark.parametrize(("field", "values"), [("client_id", ("a\n", "")), ("generation_id", ("", "9" * 257))])
def test_membership_that_cannot_be_passed_on_is_refused(field: str, values: tuple[str, str]) -> None:
    with pytest.raises(InvalidField) as caught:
        Membership(*values)
    assert caught.value.field == field


@pytest.mark.parametrize("copied", [copy, deepcopy, lambda key: pickle.loads(pickle.dumps(key))])
def test_a_key_can_be_copied_and_shows_what_it_names(copied: Callable[[CheckpointKey], CheckpointKey]) -> None:
    same = copied(KEY)
    assert type(same) is CheckpointKey
    assert same == KEY
    assert repr(same) == "CheckpointKey('stream', 'app', 'shardId-0000000000')"
