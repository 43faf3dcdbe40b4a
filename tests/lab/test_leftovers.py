"""The fixture that runs after every test sees what a test leaves behind."""

import asyncio
import os
import subprocess
import sys

import pytest

from lab import leftovers
from lab.leftovers import held, left_over, loose_tasks


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "SETTLE_S", 0.1)


def test_a_running_child_is_seen() -> None:
    before = held()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert any(f"child process {child.pid}:" in line for line in left_over(before))
        child.communicate(b"\n")
    assert left_over(before) == []


def test_a_child_that_ended_and_was_not_waited_for_is_seen() -> None:
    before = held()
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still to be waited for
    assert left_over(before) == [f"child process {child.pid}: (ended, not waited for)"]
    child.wait()


def test_an_open_descriptor_is_named_by_what_it_is_open_on() -> None:
    before = held()
    number = os.open(os.devnull, os.O_RDONLY)
    assert left_over(before) == [f"descriptor {number}: {os.devnull}"]
    os.close(number)
    assert left_over(before) == []


def test_a_task_that_nobody_waits_for_is_seen_though_asyncio_run_cancels_it() -> None:
    async def main() -> None:
        task = asyncio.get_running_loop().create_task(asyncio.Event().wait(), name="forgotten")
        await asyncio.sleep(0)
        assert not task.done()

    with loose_tasks() as loose:
        asyncio.run(main())
    assert len(loose.lines) == 1
    assert loose.lines[0].startswith("task forgotten:")


def test_a_task_group_leaves_nothing() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))

    with loose_tasks() as loose:
        asyncio.run(main())
    assert loose.lines == []
