"""A runner's process as main sees it: its environment, descriptors, output, and its end."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lab.runner_processes import fake_launch, is_alive, pids_in, until_async
from rempart.runners import process as process_module
from rempart.runners.kinds.interface import Launch
from rempart.runners.kinds.programs import search_path
from rempart.runners.log_ring import LogRing
from rempart.runners.process import (
    ALWAYS,
    PASSED_ON,
    RunnerProcess,
    exit_reason,
    minimal_environment,
)

OURS = {
    "PATH": os.environ["PATH"],
    "HOME": "/home/of-ours",
    "REMPART_ADMIN_KEY": "a-secret-of-ours",
    "AWS_SECRET_ACCESS_KEY": "another-secret",
    "LD_PRELOAD": "",
}


class Heard:
    """What came from a runner."""

    def __init__(self) -> None:
        self.ring = LogRing()
        self.status = b""

    def output(self, data: bytes) -> None:
        self.ring.feed(data)

    def on_status(self, data: bytes) -> None:
        self.status += data

    def line(self, start: str) -> str:
        return next((one for one in self.ring.lines(1000) if one.startswith(start)), "")


def start(launch: Launch, heard: Heard, *, stop_s: float = 0.5) -> RunnerProcess:
    return RunnerProcess.start(
        launch,
        stop_s=stop_s,
        environment=OURS,
        on_output=heard.output,
        on_status=heard.on_status,
    )


def with_runner(
    launch: Launch, body: Callable[[RunnerProcess, Heard], Awaitable[None]], *, stop_s: float = 0.5
) -> Heard:
    """Run the body with a started runner, which is ended afterwards."""
    heard = Heard()

    async def run() -> None:
        process = start(launch, heard, stop_s=stop_s)
        try:
            await body(process, heard)
        finally:
            process.kill()
            await process.wait()

    asyncio.run(run())
    return heard


async def listening(heard: Heard) -> None:
    await until_async(lambda: heard.line("fake runner") != "", "the runner listens")


def test_its_environment_is_small_and_holds_none_of_our_secrets() -> None:
    async def body(process: RunnerProcess, heard: Heard) -> None:
        await listening(heard)

    launch = fake_launch("--print-environment", environment={"MINE": "1", "HOME": "/elsewhere"})
    heard = with_runner(launch, body)
    seen = json.loads(heard.line("environment ").removeprefix("environment "))
    seen.pop("LC_CTYPE", None)  # Python sets it for itself
    path = search_path(OURS["PATH"])
    assert seen == {"PATH": path, "HOME": "/elsewhere", "MINE": "1", **ALWAYS}


def test_a_status_pipe_is_descriptor_3_and_the_environment_names_it() -> None:
    async def body(process: RunnerProcess, heard: Heard) -> None:
        await until_async(lambda: b"ready" in heard.status, "the runner reports")

    launch = fake_launch(
        "--print-descriptors", "--print-environment", "--slots", "2", has_status_pipe=True
    )
    heard = with_runner(launch, body)
    assert '"REMPART_STATUS_FD": "3"' in heard.line("environment ")
    # The fourth is the listing's own.
    assert heard.line("descriptors ") == "descriptors [0, 1, 2, 3, 4]"


def test_no_descriptor_but_the_meant_ones_reaches_the_runner() -> None:
    """An inheritable one of ours, such as a listening socket for workers, stays with us."""

    async def body(process: RunnerProcess, heard: Heard) -> None:
        await listening(heard)

    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        heard = with_runner(fake_launch("--print-descriptors"), body)
    finally:
        os.close(read)
        os.close(write)
    assert heard.line("descriptors ") == "descriptors [0, 1, 2, 3]"


def test_an_exit_gives_the_status_and_the_last_words() -> None:
    async def body(process: RunnerProcess, heard: Heard) -> None:
        assert await process.wait() == 4
        assert not process.is_running
        assert heard.ring.lines(1) == ["fake runner exits at once"]

    with_runner(fake_launch("--exit-at-once", "4"), body)


def test_a_willing_runner_ends_by_itself() -> None:
    async def body(process: RunnerProcess, heard: Heard) -> None:
        await listening(heard)
        assert await process.stop() == 0
        assert heard.line("fake runner ends by itself")

    with_runner(fake_launch(), body, stop_s=20)


def test_a_deaf_runner_is_killed_after_its_time() -> None:
    async def body(process: RunnerProcess, heard: Heard) -> None:
        await listening(heard)
        assert await process.stop() == 128 + signal.SIGKILL

    with_runner(fake_launch("--deaf"), body, stop_s=0.2)


def test_kill_does_not_wait_for_a_deaf_runners_time(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def body(process: RunnerProcess, heard: Heard) -> None:
        await listening(heard)
        process.kill()
        assert await process.wait() == 128 + signal.SIGKILL
        assert not any(is_alive(pid) for pid in pids_in(pids))

    with_runner(fake_launch("--deaf", "--fork", "daemon", "--pids", pids), body, stop_s=600)


def test_a_kill_hastens_a_stop_that_is_under_way() -> None:
    async def body(process: RunnerProcess, heard: Heard) -> None:
        await listening(heard)
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(process.stop())
            await asyncio.sleep(0)
            process.kill()
        assert stopping.result() == 128 + signal.SIGKILL

    with_runner(fake_launch("--deaf"), body, stop_s=600)


def test_a_killed_shim_is_told_apart_from_a_killed_runner() -> None:
    async def body(process: RunnerProcess, heard: Heard) -> None:
        await listening(heard)
        os.kill(process.pid, signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL

    with_runner(fake_launch(), body)


def test_a_frozen_shim_does_not_hold_up_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be asked, so it is killed; the runner has its death signal."""

    async def body(process: RunnerProcess, heard: Heard) -> None:
        await listening(heard)
        monkeypatch.setattr(process_module, "STOP_MARGIN_S", 0.1)
        os.kill(process.pid, signal.SIGSTOP)
        assert await process.stop() == -signal.SIGKILL

    with_runner(fake_launch(), body, stop_s=0.1)


def test_abandoned_it_ends_by_itself(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def run() -> int:
        heard = Heard()
        process = start(fake_launch("--pids", pids), heard)
        await listening(heard)
        process.abandon()
        process.kill()
        await process.stop()
        return process.pid

    pid = asyncio.run(run())
    os.waitpid(pid, 0)
    assert not is_alive(pids_in(pids)[0])


def test_starts_leave_no_descriptor() -> None:
    async def run() -> tuple[int, int]:
        counts = []
        for _ in range(9):
            process = start(fake_launch("--exit-at-once", "0", has_status_pipe=True), Heard())
            await process.wait()
            counts.append(len(os.listdir("/proc/self/fd")))
        return counts[0], counts[-1]

    first, last = asyncio.run(run())
    assert first == last


def test_a_start_that_fails_leaves_no_descriptor() -> None:
    async def run() -> tuple[int, int]:
        before = len(os.listdir("/proc/self/fd"))
        launch = fake_launch(environment={"BAD\0NAME": "x"}, has_status_pipe=True)
        with contextlib.suppress(ValueError):
            start(launch, Heard())
        return before, len(os.listdir("/proc/self/fd"))

    before, after = asyncio.run(run())
    assert before == after


def test_how_it_ended_reads_as_a_sentence() -> None:
    assert exit_reason(3) == "it exited with status 3"
    assert exit_reason(128 + signal.SIGSEGV) == "it was ended by SIGSEGV"
    assert "memory runs out" in exit_reason(128 + signal.SIGKILL)
    assert "could not be started" in exit_reason(127)
    assert exit_reason(-9) == "its guard was ended by SIGKILL"
    assert exit_reason(255) == "it exited with status 255"


def test_only_what_is_listed_is_passed_on() -> None:
    made = minimal_environment(dict.fromkeys((*PASSED_ON, "REMPART_ADMIN_KEY", "HF_TOKEN"), "x"))
    assert set(made) == {*PASSED_ON, *ALWAYS}
