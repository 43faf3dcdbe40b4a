"""A model fetched with its progress shown."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rempart.cli.failure import CommandFailed
from rempart.cli.pull import progress_line, pull


class StepClock:
    """Moves when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


def test_progress_is_said_now_and_then_and_at_the_end() -> None:
    clock, lines = StepClock(), []
    progress = progress_line("x.gguf", clock, False, lines.append)
    progress(0, 4096)
    clock.seconds = 2.5
    progress(1024, 4096)
    clock.seconds = 3.0
    progress(2048, 4096)
    progress(4096, 4096)
    assert lines == ["x.gguf: 1.0 KiB of 4.0 KiB (25 %)", "x.gguf: 4.0 KiB of 4.0 KiB (100 %)"]


def test_what_is_quick_says_nothing_and_an_unknown_size_is_left_out() -> None:
    clock, lines = StepClock(), []
    progress = progress_line("x", clock, True, lines.append)
    progress(10, 10)
    assert lines == []
    clock.seconds = 9.0
    progress(2048, None)
    clock.seconds = 19.0
    progress(4096, None)
    assert lines == ["x: 2.0 KiB", "\x1b[1A\x1b[2Kx: 4.0 KiB"]


def test_what_cannot_be_fetched_is_a_failed_command(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="there is no such file"):
        pull("none.gguf", tmp_path)
