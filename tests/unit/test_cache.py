"""What stays in the cache, and what goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.checkpoints.cache import CheckpointCache, Known
from gateway.model import CheckpointKey


def key(number: int) -> CheckpointKey:
    return CheckpointKey("stream", "app", str(number))


def filled(count: int) -> CheckpointCache:
    cache = CheckpointCache(count)
    for number in range(count):
        cache.put(key(number), Known(1, 1, 0.0))
    return cache


def left(cache: CheckpointCache) -> set[int]:
    """Looked at so that nothing is used by it."""
    return {int(one.partition_id[-10:]) for one, _ in cache.latest(1000)}


@given(
    steps=st.lists(st.tuples(st.sampled_from(["get", "put", "put", "latest"]), st.integers(0, 9)), max_size=60),
    room=st.integers(1, 5),
)
def test_it_is_bounded_and_gives_what_was_put_last_or_nothing(steps: list[tuple[str, int]], room: int) -> None:
    cache = CheckpointCache(room)
    last: dict[int, Known] = {}
    for what, number in steps:
        if what == "put":
            before = last.get(number)
            last[number] = Known(1, 1, 0.0)
            cache.put(key(number), last[number])
            assert before is None or not before.current
            assert cache.get(key(number)) is last[number]
        elif what == "get":
            found = cache.get(key(number))
            assert found is (last[number] if number in last and last[number].current else None)
        else:
            assert all(known.current for _, known in cache.latest(room))
        assert len(cache) == sum(known.current for known in last.values()) <= room


def test_what_was_not_used_goes_before_what_was() -> None:
    cache = filled(10)
    for number in range(0, 10, 2):
        cache.get(key(number))
    for number in range(10, 15):
        cache.put(key(number), Known(1, 1, 0.0))
    assert left(cache) == {0, 2, 4, 6, 8, *range(10, 15)}


def test_one_that_was_not_used_is_found_behind_many_that_were() -> None:
    cache = filled(100)
    for number in range(90):
        cache.get(key(number))
    cache.put(key(100), Known(1, 1, 0.0))
    assert left(cache) == {*range(101)} - {90}


def test_what_is_committed_again_and_again_is_used() -> None:
    cache = filled(10)
    cache.put(key(0), Known(2, 2, 1.0))
    cache.put(key(10), Known(1, 1, 0.0))
    assert left(cache) == {0, *range(2, 11)}


def test_looking_at_the_latest_is_no_use() -> None:
    cache = filled(10)
    cache.get(key(0))
    assert len(cache.latest(10)) == 10
    cache.put(key(10), Known(1, 1, 0.0))
    assert left(cache) == {0, *range(2, 11)}


def test_a_use_counts_until_its_turn_and_no_longer() -> None:
    cache = filled(3)
    cache.get(key(0))
    for number in range(3, 6):
        cache.put(key(number), Known(1, 1, 0.0))
    assert 0 not in left(cache)


def test_where_all_are_used_one_goes_before_all_were_looked_at() -> None:
    cache = filled(1000)
    known = [cache.get(key(number)) for number in range(1000)]
    cache.put(key(1000), Known(1, 1, 0.0))
    assert len(cache) == 1000
    assert [one.current for one in known if one is not None].count(False) == 1
    assert sum(one.used for one in known if one is not None) >= 850
