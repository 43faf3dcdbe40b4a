"""Plays main for the tests of orphans: starts one runner, sweeps what shims leave, and waits.

    python -m lab.fake_main STOP_S COMMAND...

Prints the shim's process id, then, if it gets so far, the runner's exit status.
"""

import asyncio
import contextlib
import os
import sys

from rempart.domain.models import Replica
from rempart.runners.kinds.interface import Launch
from rempart.runners.process import RunnerProcess
from rempart.runners.shim_sweep import become_subreaper, sweep_orphans


async def run(stop_s: float, command: tuple[str, ...]) -> None:
    become_subreaper()
    launch = Launch(replicas=(Replica(id="r", url="http://127.0.0.1:1"),), command=command)
    process = RunnerProcess.start(
        launch,
        stop_s=stop_s,
        environment=dict(os.environ),
        on_output=lambda data: None,
        on_status=lambda data: None,
    )
    print(process.pid, flush=True)
    while process.is_running:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await process.wait()
        sweep_orphans({process.pid} if process.is_running else set())
    print(await process.wait(), flush=True)
    while True:  # as main would, whose other children live on
        await asyncio.sleep(0.05)
        sweep_orphans(set())


if __name__ == "__main__":
    asyncio.run(run(float(sys.argv[1]), tuple(sys.argv[2:])))
