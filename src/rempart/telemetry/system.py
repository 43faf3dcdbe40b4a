"""The machine's figures, sampled by control and read by everyone from one small file.

Sampling may hang (a GPU that falls off the bus), so that it is done where no request waits for it;
readers get the last sample, of whatever age.
"""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import psutil

SAMPLE_S = 2.0
FILE = "system.json"
GB = 1e9


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU; a value that the driver does not tell is None."""

    index: int
    name: str
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilization_percent: float | None = None
    temperature_celsius: float | None = None


class SystemSample(msgspec.Struct, frozen=True, kw_only=True):
    """The machine at one moment (monotonic seconds)."""

    at_s: float
    memory_total_bytes: int
    memory_used_bytes: int
    disk_total_bytes: int
    disk_used_bytes: int
    cpu_percent: float
    gpus: list[Gpu] = []
    gpu_error: str = ""

    def document(self) -> dict[str, Any]:
        """The ``system`` member of /health, in the seed's shape."""
        return {
            "memory": _share(self.memory_total_bytes, self.memory_used_bytes),
            "disk": _share(self.disk_total_bytes, self.disk_used_bytes),
            "cpu_percent": round(self.cpu_percent, 1),
        }


def _share(total: int, used: int) -> dict[str, float]:
    return {
        "total_gb": round(total / GB, 2),
        "used_gb": round(used / GB, 2),
        "percent_used": round(100 * used / total, 1) if total else 0.0,
    }


def sample(
    data_dir: Path, now: float, gpus: list[Gpu] | None = None, gpu_error: str = ""
) -> SystemSample:
    """Look at the machine; takes under a millisecond, GPUs left out."""
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(data_dir)
    return SystemSample(
        at_s=now,
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.total - memory.available,
        disk_total_bytes=disk.total,
        disk_used_bytes=disk.used,
        cpu_percent=psutil.cpu_percent(interval=None),
        gpus=gpus or [],
        gpu_error=gpu_error,
    )


def write(run_dir: Path, found: SystemSample) -> None:
    """Publish a sample, whole or not at all."""
    temporary = run_dir / f"{FILE}.new"
    temporary.write_bytes(msgspec.json.encode(found))
    temporary.replace(run_dir / FILE)


def read(run_dir: Path) -> SystemSample | None:
    """The last published sample, or None before the first."""
    try:
        return msgspec.json.decode((run_dir / FILE).read_bytes(), type=SystemSample)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
