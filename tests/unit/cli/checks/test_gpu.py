"""GPUs and their driver; with a library that fails as the real one does after an update."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rempart.cli.checks.gpu import gpus
from rempart.cli.checks.probe import ProbeFailed

LIBRARY = """
const char *nvmlErrorString(int code) { return code == 18 ? "Driver/library version mismatch" : "?"; }
int nvmlInitWithFlags(unsigned int flags) { return 18; }
int nvmlInit_v2(void) { return 18; }
int nvmlShutdown(void) { return 0; }
"""


def answering(gpu_rows: list[dict[str, Any]], fault: str = "") -> Any:
    return lambda: {"gpus": gpu_rows, "fault": fault}


def test_no_gpu_is_a_note(tmp_path: Path) -> None:
    (finding,) = gpus(tmp_path, answering([]))
    assert (finding.level, finding.remedy) == ("note", "")


@pytest.mark.requirement("gpu")
def test_each_gpu_is_named_with_its_memory(tmp_path: Path) -> None:
    rows = [
        {"name": "H100", "memory_total_bytes": 80 * 1024**3},
        {"name": "old", "memory_total_bytes": None},
    ]
    assert [finding.found for finding in gpus(tmp_path, answering(rows))] == [
        "H100, 80.0 GiB",
        "old",
    ]


def test_a_device_without_its_library_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "nvidia0").write_text("")
    (finding,) = gpus(tmp_path, answering([]))
    assert (finding.level, "libnvidia-ml.so.1" in finding.found) == ("warning", True)


def test_a_fault_is_told_beside_the_gpus_that_work(tmp_path: Path) -> None:
    findings = gpus(tmp_path, answering([{"name": "H100"}], "GPU 1: GPU is lost"))
    assert [(finding.level, finding.found) for finding in findings] == [
        ("ok", "H100"),
        ("warning", "GPU 1: GPU is lost"),
    ]


def test_a_driver_that_kills_or_hangs_who_asks_is_a_warning(tmp_path: Path) -> None:
    def dies() -> Any:
        raise ProbeFailed("it died of signal 11", signal=11)

    (finding,) = gpus(tmp_path, dies)
    assert (finding.level, "it died of signal 11" in finding.found) == ("warning", True)


def test_a_driver_of_another_version_than_its_library_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = shutil.which("cc")
    assert compiler
    (tmp_path / "nvml.c").write_text(LIBRARY)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    (finding,) = gpus(tmp_path)
    assert finding.level == "warning"
    assert "mismatch" in finding.found
    assert "restart the machine" in finding.remedy


def test_this_machine_can_be_asked() -> None:
    assert gpus()
