"""GPU figures through NVML: every value may be missing, and a GPU that is lost is told, not fatal."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.fake_nvml import build
from rempart.telemetry.gpu import GpuReader

READER = """
import json, sys
from pathlib import Path
import msgspec
from rempart.telemetry.gpu import GpuReader

reader = GpuReader()
for script in sys.argv[2:]:
    Path(sys.argv[1]).write_text(script)
    gpus, fault = reader.read()
    print(json.dumps([msgspec.to_builtins(gpus), fault]))
"""
NORMAL = {
    "index": 0,
    "name": "Fake GPU 0",
    "memory_total_bytes": 80 * 2**30,
    "memory_used_bytes": 20 * 2**30,
    "utilization_percent": 75.0,
    "temperature_celsius": 55.0,
}
Read = Callable[..., list[tuple[list[dict[str, Any]], str]]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library."""
    folder = tmp_path_factory.mktemp("nvml")
    build(folder)
    return folder


@pytest.fixture
def read(library: Path) -> Read:
    """What one reader finds while the driver behaves by one script after the other."""

    def go(*scripts: str, folder: Path = library) -> list[tuple[list[dict[str, Any]], str]]:
        ended = subprocess.run(
            [sys.executable, "-c", READER, str(folder / "script"), *scripts],
            env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        return [tuple(json.loads(line)) for line in ended.stdout.splitlines()]

    return go


def test_every_gpu_is_told_with_all_its_figures(read: Read) -> None:
    ((gpus, fault),) = read("count 2")
    assert fault == ""
    assert gpus == [NORMAL, NORMAL | {"index": 1, "name": "Fake GPU 1"}]


def test_a_value_that_a_gpu_does_not_tell_is_missing_and_no_other(read: Read) -> None:
    """Not supported, not permitted or not known: a slice of a GPU (MIG), an old card or driver, a container."""
    fields_of = {
        "memory": ["memory_total_bytes", "memory_used_bytes"],
        "utilization": ["utilization_percent"],
        "temperature": ["temperature_celsius"],
    }
    scripts = [(value, f"{value} {code}") for value in fields_of for code in (3, 4, 13)]
    found = read(*(script for _, script in scripts))
    for (value, script), (gpus, fault) in zip(scripts, found, strict=True):
        assert (gpus, fault) == ([NORMAL | dict.fromkeys(fields_of[value])], ""), script


def test_a_gpu_without_a_name_that_can_be_read_is_told_all_the_same(read: Read) -> None:
    for gpus, fault in read("name 3", "bad_name 1"):
        assert fault == ""
        assert gpus == [NORMAL | {"name": "unknown"}]


def test_a_gpu_that_fell_off_the_bus_is_told_and_the_others_go_on(read: Read) -> None:
    """At whichever call it is noticed."""
    calls = ["handle", "memory", "utilization", "temperature", "name"]
    for gpus, fault in read(*(f"count 3\n{call}@1 15" for call in calls)):
        assert [gpu["index"] for gpu in gpus] == [0, 2]
        assert fault.startswith("GPU 1: ")
        assert "lost" in fault.lower()


def test_all_gpus_lost_are_all_told(read: Read) -> None:
    ((gpus, fault),) = read("count 2\nhandle 15")
    assert gpus == []
    assert [one[:6] for one in fault.split("; ")] == ["GPU 0:", "GPU 1:"]


@pytest.mark.parametrize(("code", "says"), [(18, "mismatch"), (9, "driver"), (999, "unknown")])
def test_a_driver_that_does_not_answer_is_told_and_asked_again(
    read: Read, code: int, says: str
) -> None:
    broken, mended = read(f"init {code}", "init 0")
    assert broken[0] == []
    assert broken[1].startswith("NVML: ")
    assert says in broken[1].lower()
    assert mended == ([NORMAL], "")


def test_a_driver_that_was_taken_away_meanwhile_is_opened_again(read: Read) -> None:
    before, gone, back = read("", "unload 1\ninit 9", "")
    assert before == back == ([NORMAL], "")
    assert gone[0] == []
    assert gone[1]


def test_a_machine_without_a_driver_has_no_gpus_and_no_fault(read: Read, tmp_path: Path) -> None:
    assert read("", folder=tmp_path) == [([], "")]


def test_in_this_very_process_too() -> None:
    """No library, or a real one: whatever it is, it is read without an exception."""
    gpus, fault = GpuReader().read()
    assert isinstance(gpus, list)
    assert isinstance(fault, str)
