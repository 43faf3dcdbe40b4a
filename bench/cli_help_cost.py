"""CPU seconds of ``rempart --help``: what every command costs before it does anything.

python bench/cli_help_cost.py [RUNS]      prints the median of RUNS (default 9) and the bound
"""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

BOUND_S = 0.3


def cpu_s(*command: str) -> float:
    """User and system seconds of one run of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> int:
    """Exit code 1 when the median is above the bound."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    program = str(Path(sys.executable).with_name("rempart"))
    bare_s = statistics.median(cpu_s(sys.executable, "-c", "pass") for _ in range(runs))
    cpu_s(program, "--help")  # once for the compiled files
    help_s = statistics.median(cpu_s(program, "--help") for _ in range(runs))
    print(
        f"rempart --help: {help_s:.2f} s of CPU (median of {runs}; the interpreter alone {bare_s:.2f} s)"
    )
    print(f"bound: {BOUND_S} s")
    return int(help_s > BOUND_S)


if __name__ == "__main__":
    sys.exit(main())
