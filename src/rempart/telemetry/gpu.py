"""GPU figures through NVML. Every value may be missing; a GPU that is lost is told, not fatal."""

from collections.abc import Callable
from typing import Any

import pynvml

from rempart.telemetry.system import Gpu


class GpuReader:
    """Reads all GPUs; opens NVML when first asked and again after it failed."""

    def __init__(self) -> None:
        self._is_open = False

    def read(self) -> tuple[list[Gpu], str]:
        """The GPUs, and what is wrong with the driver or with some of them (empty: nothing).

        No NVIDIA driver on the machine is nothing wrong: the list is empty then.
        """
        try:
            if not self._is_open:
                pynvml.nvmlInit()
                self._is_open = True
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError_LibraryNotFound:
            return [], ""
        except pynvml.NVMLError as error:
            self._is_open = False
            return [], f"NVML: {error}"
        gpus: list[Gpu] = []
        faults: list[str] = []
        for index in range(count):
            try:
                gpus.append(_read_one(index))
            except pynvml.NVMLError as error:
                faults.append(f"GPU {index}: {error}")
        return gpus, "; ".join(faults)


def _read_one(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = _optional(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    rates = _optional(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
    name = _optional(lambda: pynvml.nvmlDeviceGetName(handle)) or "unknown"
    return Gpu(
        index=index,
        name=str(name),
        memory_total_bytes=memory.total if memory is not None else None,
        memory_used_bytes=memory.used if memory is not None else None,
        utilization_percent=float(rates.gpu) if rates is not None else None,
        temperature_celsius=_optional(
            lambda: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
        ),
    )


def _optional(read: Callable[[], Any]) -> Any:
    """A value, or None where this GPU (MIG, old cards) or its driver does not tell it; a lost GPU still raises."""
    try:
        return read()
    except (
        pynvml.NVMLError_NotSupported,
        pynvml.NVMLError_NoPermission,
        pynvml.NVMLError_FunctionNotFound,
        UnicodeDecodeError,  # a name; the figures beside it are as good as ever
    ):
        return None
