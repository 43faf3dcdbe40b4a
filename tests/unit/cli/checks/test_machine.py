"""The machine, or what a container leaves of it."""

from pathlib import Path

from rempart.cli.checks.machine import Machine, descriptors, measure, size

GIB = 1024**3


def test_the_bounds_of_a_container_count(tmp_path: Path) -> None:
    whole = measure(tmp_path)
    assert whole.cores >= 1
    assert whole.memory_bytes > 0
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1048576\n")
    assert measure(tmp_path) == Machine(cores=0.5, memory_bytes=1048576)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert measure(tmp_path) == whole


def test_a_small_machine_is_warned_of() -> None:
    assert [finding.level for finding in size(Machine(cores=1, memory_bytes=GIB // 2))] == [
        "warning",
        "warning",
    ]
    assert [finding.level for finding in size(Machine(cores=2, memory_bytes=GIB))] == ["ok", "ok"]


def test_too_few_open_files_are_told_with_what_they_allow() -> None:
    finding = descriptors(1024, 10000)
    assert finding.level == "warning"
    assert "480 connections per worker" in finding.found
    assert "Raise it to 20064" in finding.remedy
    assert descriptors(20064, 10000).level == "ok"
    assert descriptors(-1, 10000).level == "ok"
    assert descriptors(100, 10).level == "error"
