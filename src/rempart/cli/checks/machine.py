"""The machine, or the part of it that a container gives us: cores, memory, open files."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from rempart.base.quantities import bytes_text
from rempart.cli.checks.finding import Finding, error, ok, warning

CORES_MIN = 2
MEMORY_BYTES_MIN = 1024**3
DESCRIPTORS_PER_CONNECTION = 2
DESCRIPTORS_SPARE = 64
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What we may use.

    Args:
        cores: may be a part of one, in a container.
    """

    cores: float
    memory_bytes: int


def measure(cgroup: Path = CGROUP) -> Machine:
    """Cores and memory of the machine, or of the container's bounds where they are lower (cgroup v2)."""
    cores = float(len(os.sched_getaffinity(0)))
    memory_bytes = psutil.virtual_memory().total
    quota = _words(cgroup / "cpu.max")
    if len(quota) == 2 and quota[0].isdigit():
        cores = min(cores, int(quota[0]) / int(quota[1]))
    bound = _words(cgroup / "memory.max")
    if bound and bound[0].isdigit():
        memory_bytes = min(memory_bytes, int(bound[0]))
    return Machine(cores=cores, memory_bytes=memory_bytes)


def size(machine: Machine) -> list[Finding]:
    """Whether there is enough of it for any model."""
    cores = ok("cores", f"{machine.cores:g} cores")
    if machine.cores < CORES_MIN:
        cores = warning(
            "cores",
            f"{machine.cores:g} cores: a model that computes leaves none to the gateway",
            "Give it two cores or more.",
        )
    text = bytes_text(machine.memory_bytes)
    memory = ok("memory", f"{text} of memory")
    if machine.memory_bytes < MEMORY_BYTES_MIN:
        memory = warning("memory", f"{text} of memory", "Give it 1 GiB or more.")
    return [cores, memory]


def descriptors(hard: int, connections_max: int) -> Finding:
    """Whether a worker may open as many files as its connections need; main raises the soft bound.

    Args:
        hard: the hard bound of RLIMIT_NOFILE; -1 is none.
    """
    needed = connections_max * DESCRIPTORS_PER_CONNECTION + DESCRIPTORS_SPARE
    if 0 <= hard < DESCRIPTORS_SPARE * 2:
        return error(
            "open_files",
            f"at most {hard} open files",
            "Raise it: ulimit -Hn 65536, or LimitNOFILE= in systemd.",
        )
    if 0 <= hard < needed:
        fitting = (hard - DESCRIPTORS_SPARE) // DESCRIPTORS_PER_CONNECTION
        return warning(
            "open_files",
            f"at most {hard} open files: {fitting} connections per worker, while "
            f"server.connections_max is {connections_max}",
            f"Raise it to {needed} (LimitNOFILE= in systemd, ulimit -Hn), or lower connections_max.",
        )
    return ok("open_files", "no bound on open files" if hard < 0 else f"at most {hard} open files")


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
