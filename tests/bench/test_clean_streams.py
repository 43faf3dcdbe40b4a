"""The search for the largest number of clean streams, and what counts as clean."""

import asyncio

import pytest

from bench.clean_streams import LENGTH_S, PAUSE_S_MAX, judge, search
from bench.load import Sample

SHARE = 0.06


@pytest.mark.parametrize("limit", [0, 1, 5, 31, 32, 33, 100, 500, 1999])
def test_the_search_finds_the_limit_to_its_share(limit: int) -> None:
    tried: list[int] = []

    async def is_clean(streams: int) -> bool:
        tried.append(streams)
        return streams <= limit

    found = asyncio.run(search(is_clean, SHARE, first=32, most=4096))
    assert found <= limit
    assert limit - found <= max(1, SHARE * (limit + 1))
    assert len(tried) < 20


def test_the_search_ends_where_everything_is_clean() -> None:
    async def is_clean(streams: int) -> bool:
        return True

    assert asyncio.run(search(is_clean, SHARE, first=32, most=100)) == 100


def sample(*, error: str = "", pause_s: float = 0.02, late_s: float = 0.0) -> Sample:
    return Sample(error, 0.0, 1.0, 1.0 + LENGTH_S + late_s, 66, pause_s, b"")


def test_whole_streams_without_pauses_are_clean() -> None:
    assert judge(2, [sample(), sample(pause_s=PAUSE_S_MAX)]).is_clean


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (sample(error="time-out"), "time-out"),
        (sample(pause_s=PAUSE_S_MAX + 0.01), "a pause of 210 ms"),
        (sample(late_s=PAUSE_S_MAX + 0.05), "a stream 250 ms longer than it should be"),
    ],
)
def test_one_bad_stream_of_many_is_enough(bad: Sample, reason: str) -> None:
    verdict = judge(3, [sample(), bad, sample()])
    assert not verdict.is_clean
    assert verdict.reason == reason
