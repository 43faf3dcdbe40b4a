"""The memory of a runner is that of all it has forked."""

import asyncio
import os

from lab.runner_processes import fake_launch, until_async
from rempart.runners.memory_use import tree_bytes
from rempart.runners.process import RunnerProcess

MIB = 1024 * 1024


def grown(*switches: str) -> int:
    """What a fake runner uses that eats 60 MiB."""

    async def run() -> int:
        process = RunnerProcess.start(
            fake_launch("--eat-mib", "60", *switches),
            stop_s=1,
            environment={"PATH": os.environ["PATH"]},
            on_output=lambda data: None,
            on_status=lambda data: None,
        )
        try:
            await until_async(lambda: tree_bytes(process.pid) > 60 * MIB, "it has grown")
            return tree_bytes(process.pid)
        finally:
            process.kill()
            await process.wait()

    return asyncio.run(run())


def test_a_runners_own_memory_counts() -> None:
    assert 60 * MIB < grown() < 120 * MIB


def test_what_a_child_eats_counts() -> None:
    """As with vLLM, whose engine is a child of the program that was started."""
    assert 60 * MIB < grown("--eat-in-child", "--fork", "daemon") < 180 * MIB


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert tree_bytes(2**22 + 5) == 0
