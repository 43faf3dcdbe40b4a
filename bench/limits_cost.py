"""CPU time of a decision over four limits in LMDB, in 1, 2 and 4 processes at once; run by hand.

    python -m bench.limits_cost [--decisions N]

Each decision takes a request, a request of the hour, tokens and a place at a time of one of many keys, and is settled.
Beside it stands the CPU time of a bare LMDB write transaction of the same run; the wait is wall time beyond the
decision's own CPU time: for the lock, and for a core where there are more processes than cores.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rempart.base.clock import SystemClock
from rempart.domain.limits import Unit
from rempart.settings.model import Settings
from rempart.state.open import open_shared
from rempart.state.shared.limits.interface import Demand

KEYS = 1000
ROWS = (
    ("requests_per_minute", Unit.REQUESTS, 60, 1, 60),
    ("requests_per_hour", Unit.REQUESTS, 3600, 1, 1000),
    ("tokens_per_minute", Unit.TOKENS, 60, 100, 10**6),
    ("concurrent_requests", Unit.AT_A_TIME, 0, 1, 100),
)


def demands(key: str) -> list[Demand]:
    """Four limits of one key."""
    return [
        Demand(
            subject=f"key:{key}",
            name=name,
            unit=unit,
            window_s=window_s,
            amount=amount,
            amount_max=amount_max,
        )
        for name, unit, window_s, amount, amount_max in ROWS
    ]


def work(folder: Path, name: str, decisions: int) -> None:
    """One process: prints CPU-µs per decision and per settlement, per bare transaction, and the p99 of waits in µs."""
    shared = open_shared(Settings(data_dir=str(folder)), folder, clock=SystemClock())
    environment = shared.environment
    assert environment is not None
    asked = [demands(f"{name}{number}") for number in range(KEYS)]
    start_ms = int(datetime.now(UTC).timestamp() * 1000)
    taken_us, settled_us, waits = 0.0, 0.0, []
    for number in range(decisions):
        now_ms = start_ms + number
        one = f"{name}-{number}"
        wall, cpu = time.perf_counter(), time.process_time()
        shared.limits.take(asked[number % KEYS], reservation=one, owner=name, now_ms=now_ms)
        own = time.process_time() - cpu
        waits.append(time.perf_counter() - wall - own)
        taken_us += own
        cpu = time.process_time()
        shared.limits.settle(one, {Unit.TOKENS: 50}, now_ms)
        settled_us += time.process_time() - cpu
    cpu = time.process_time()
    for _ in range(decisions):
        with environment.transaction(write=True):
            pass
    bare_us = time.process_time() - cpu
    waits.sort()
    figures = (taken_us, settled_us, bare_us)
    print(
        *(f"{figure / decisions * 1e6:.1f}" for figure in figures),
        f"{waits[int(len(waits) * 0.99)] * 1e6:.0f}",
    )
    shared.close()


def main() -> None:
    """Take and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=5000)
    parser.add_argument("--work", nargs=2, metavar=("FOLDER", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(Path(options.work[0]), options.work[1], options.decisions)
        return
    print("processes: take, settle, bare transaction (CPU-us), p99 of waiting (us); least of all")
    for count in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "bench.limits_cost"]
            command += ["--decisions", str(options.decisions), "--work", folder]
            running = [
                subprocess.Popen([*command, f"p{number}-"], stdout=subprocess.PIPE, text=True)
                for number in range(count)
            ]
            lines = [process.communicate(timeout=120)[0].split() for process in running]
        print(f"{count}:", *(min(column, key=float) for column in zip(*lines, strict=True)))


if __name__ == "__main__":
    main()
