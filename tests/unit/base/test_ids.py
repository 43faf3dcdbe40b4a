"""Ids are UUIDs of version 7 and sort by the moment they were made."""

import uuid
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from rempart.base.ids import Ids


class WallClock:
    """A clock that stands at a moment."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


@given(st.floats(0, 4e9), st.binary(min_size=1280, max_size=1280))
def test_an_id_is_a_uuid_of_version_7_with_its_moment(seconds: float, random: bytes) -> None:
    clock = WallClock(seconds)
    text = Ids(clock, lambda count: random[:count]).uuid7()
    found = uuid.UUID(text)
    assert str(found) == text
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == int(clock.wall().timestamp() * 1000)


def test_ids_of_later_milliseconds_sort_later() -> None:
    clock = WallClock(1_700_000_000.0)
    ids = Ids(clock)
    made = []
    for number in range(300):
        clock.seconds = 1_700_000_000.0005 + number / 1000  # in the middle of its millisecond
        made.append(ids.uuid7())
    assert made == sorted(made)


def test_no_two_ids_are_equal_also_where_the_stock_of_chance_is_renewed() -> None:
    ids = Ids(WallClock(1_700_000_000.0))
    assert len({ids.uuid7() for _ in range(1000)}) == 1000


def test_every_random_byte_is_used_once() -> None:
    """A byte drawn twice would make ids guessable from others."""
    drawn: list[bytes] = []

    def random(count: int) -> bytes:
        block = b"".join(
            number.to_bytes(2, "big")
            for number in range(len(drawn) * count // 2, (len(drawn) + 1) * count // 2)
        )
        drawn.append(block)
        return block

    ids = Ids(WallClock(1.0), random)
    tails = [ids.uuid7()[24:] for _ in range(256)]
    assert len(set(tails)) == 256
    assert len(drawn) == 2
