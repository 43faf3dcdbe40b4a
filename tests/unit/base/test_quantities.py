"""Sizes and lengths of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.base.quantities import bytes_text, duration_s, share_or_size_bytes, size_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1024", 1024),
        ("500MiB", 500 * 1024**2),
        ("2GiB", 2 * 1024**3),
        ("2G", 2 * 1024**3),
        ("1.5 KiB", 1536),
        ("3MB", 3_000_000),
        ("1tib", 1024**4),
        ("7B", 7),
    ],
)
def test_sizes_are_read_with_binary_and_decimal_units(text: str, count: int) -> None:
    assert size_bytes(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1XB", "1e3", "80%", "six"])
def test_what_is_no_size_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="such as 500MiB"):
        size_bytes(text)


def test_a_share_is_of_the_whole() -> None:
    assert share_or_size_bytes("80%", 1000) == 800
    assert share_or_size_bytes("12.5 %", 1000) == 125
    assert share_or_size_bytes("2KiB", 1000) == 2048
    for text in ("0%", "101%", "lots"):
        with pytest.raises(ValueError, match="such as 80%"):
            share_or_size_bytes(text, 1000)


@pytest.mark.parametrize(
    ("text", "seconds"), [("3s", 3), ("5m", 300), ("2h", 7200), ("90d", 7776000), ("250ms", 0.25)]
)
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "3", "3 weeks", "-3s"])
def test_what_is_no_length_of_time_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="such as 3s"):
        duration_s(text)


@given(st.integers(0, 2**50))
def test_a_size_shown_is_the_size_read_within_its_last_digit(count: int) -> None:
    assert size_bytes(bytes_text(count)) == pytest.approx(count, rel=0.06, abs=1)
