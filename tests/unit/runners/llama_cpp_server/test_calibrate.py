"""A batch is short first and fast second, and is measured within a bound."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.runners.llama_cpp_server.calibrate import (
    BATCH_MS_MAX,
    BUDGET_MS,
    ENTRIES_MAX,
    SIZES,
    SPEED_RATIO_MIN,
    Measured,
    Remembered,
    choose,
    fingerprint,
    idle_ms,
    measure,
    size_min,
)


def machine(fixed_ms: float, per_token_ms: float) -> Callable[[int], float]:
    return lambda tokens: fixed_ms + per_token_ms * tokens


@pytest.mark.parametrize(
    ("wall_ms", "cpu_ms", "threads", "expected"),
    [(100, 101, 1, 100), (300, 105, 1, 105), (60, 180, 4, 60), (400, 180, 4, 45)],
)
def test_waiting_for_others_does_not_count(
    wall_ms: float, cpu_ms: float, threads: int, expected: float
) -> None:
    assert idle_ms(wall_ms, cpu_ms, threads) == expected


def test_the_smallest_batch_that_is_fast_enough_is_chosen() -> None:
    found = [Measured(8, 66), Measured(16, 120), Measured(32, 250), Measured(64, 490)]
    assert choose(found).tokens == 8
    slow_when_small = [Measured(8, 100), Measured(16, 120), Measured(32, 250)]
    assert choose(slow_when_small).tokens == 16


def test_in_time_comes_before_fast() -> None:
    assert choose([Measured(8, 100), Measured(16, 140), Measured(64, 200)]).tokens == 16


def test_where_nothing_is_in_time_the_smallest_is_chosen() -> None:
    assert choose([Measured(8, 800), Measured(16, 1500)]).tokens == 8


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        choose([])


@given(
    times=st.lists(st.floats(0.1, 3000), min_size=1, max_size=len(SIZES)),
)
def test_the_choice_is_the_best_there_is(times: list[float]) -> None:
    found = [Measured(size, ms) for size, ms in zip(SIZES, times, strict=False)]
    choice = choose(found)
    assert choice in found
    best = max(m.tokens_per_s for m in found)
    for other in found:
        is_good = other.ms <= BATCH_MS_MAX and other.tokens_per_s >= SPEED_RATIO_MIN * best
        if is_good:
            assert choice.ms <= BATCH_MS_MAX
            assert choice.tokens_per_s >= SPEED_RATIO_MIN * best
            assert choice.tokens <= other.tokens
        elif other.ms <= BATCH_MS_MAX:
            assert choice.ms <= BATCH_MS_MAX


@pytest.mark.parametrize(
    ("per_token_ms", "least", "most"),
    [(0.01, 512, 512), (8, 64, 128), (100, 8, 16), (1000, 8, 8)],
)
def test_sizes_are_measured_as_far_as_they_matter(
    per_token_ms: float, least: int, most: int
) -> None:
    found = measure(machine(1, per_token_ms), slots=4, tokens_max=2000)
    assert found[0].tokens == 8
    assert least <= found[-1].tokens <= most


@given(fixed=st.floats(0.1, 400), per_token=st.floats(0.001, 300), slots=st.integers(1, 64))
def test_measuring_takes_about_its_budget_at_most(
    fixed: float, per_token: float, slots: int
) -> None:
    spent: list[float] = []

    def run(tokens: int) -> float:
        spent.append(fixed + per_token * tokens)
        return spent[-1]

    found = measure(run, slots=slots, tokens_max=4096)
    first = fixed + per_token * size_min(slots)
    assert sum(spent) <= max(BUDGET_MS, first) + 160 * 3
    assert all(m.tokens >= 2 * slots for m in found)


def test_no_batch_is_larger_than_what_fits_a_slot() -> None:
    assert [m.tokens for m in measure(machine(1, 0.1), slots=1, tokens_max=63)] == [8, 16, 32]
    assert measure(machine(1, 0.1), slots=1, tokens_max=4) == []


def test_half_a_batch_is_left_for_prompts() -> None:
    assert [size_min(slots) for slots in (1, 4, 5, 8, 256, 400)] == [8, 8, 16, 16, 512, 800]


def test_choices_are_remembered_and_the_oldest_dropped(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "c.json")
    assert remembered.get("0") is None
    for number in range(ENTRIES_MAX + 2):
        remembered.put(str(number), Measured(8, number))
    again = Remembered(tmp_path / "c.json")
    assert again.get("1") is None
    assert again.get("2") == Measured(8, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', "\xff"])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(content, encoding="latin-1")
    remembered = Remembered(file)
    assert remembered.get("a") is None
    remembered.put("a", Measured(8, 1.0))
    assert json.loads(file.read_text()) == {"a": [8, 1.0]}


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remembered = Remembered(tmp_path / "file" / "c.json")
    remembered.put("a", Measured(8, 1.0))
    assert remembered.get("a") is None


def test_another_file_or_setting_has_another_fingerprint(tmp_path: Path) -> None:
    model = tmp_path / "m"
    model.write_bytes(b"a" * 200_000)
    first = fingerprint(model, 1, 4)
    assert fingerprint(model, 1, 4) == first
    assert fingerprint(model, 2, 4) != first
    model.write_bytes(b"a" * 199_999 + b"b")
    assert fingerprint(model, 1, 4) != first
