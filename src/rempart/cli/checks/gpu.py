"""GPUs, as NVML shows them. The same reader serves /health; here it runs in a child process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rempart.base.quantities import bytes_text
from rempart.cli.checks.finding import Finding, note, ok, warning
from rempart.cli.checks.probe import ProbeFailed, ask_child

DEVICES = Path("/dev")
_READ = """
import json
from dataclasses import asdict, is_dataclass
import msgspec
from rempart.telemetry.gpu import GpuReader
gpus, fault = GpuReader().read()
rows = [asdict(gpu) if is_dataclass(gpu) else msgspec.to_builtins(gpu) for gpu in gpus]
print(json.dumps({"gpus": rows, "fault": fault}))
"""


def gpus(
    devices: Path = DEVICES, read: Callable[[], Any] = lambda: ask_child(_READ)
) -> list[Finding]:
    """Which GPUs there are, and what is wrong with their driver.

    Args:
        devices: where the kernel shows its devices.
        read: gives ``{"gpus": [...], "fault": "..."}``; raises ProbeFailed.
    """
    try:
        answer = read()
    except ProbeFailed as failed:
        return [
            warning(
                "gpu",
                f"the GPU driver could not be asked: {failed}",
                "Try nvidia-smi; restart the machine or install the driver anew if it fails too.",
            )
        ]
    findings = [ok("gpu", _text(gpu)) for gpu in answer["gpus"]]
    if answer["fault"]:
        remedy = "Try nvidia-smi. After an update of the driver, restart the machine."
        findings.append(warning("gpu", answer["fault"], remedy))
    elif not findings and any(devices.glob("nvidia[0-9]*")):
        findings.append(
            warning(
                "gpu",
                "there is an NVIDIA device, but no NVML library (libnvidia-ml.so.1)",
                "Install the driver's library; in a container, the NVIDIA container toolkit.",
            )
        )
    return findings or [note("gpu", "no NVIDIA GPU: models run on the CPU")]


def _text(gpu: dict[str, Any]) -> str:
    total = gpu.get("memory_total_bytes")
    return f"{gpu['name']}" + (f", {bytes_text(total)}" if total else "")
