"""One start of a runner: the gate, what it says of itself, and ends at awkward moments."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from lab.runner_places import place
from lab.runner_processes import fake_command, until_async
from rempart.base.clock import SystemClock
from rempart.domain.models import Facts
from rempart.runners.kinds.command import Command
from rempart.runners.kinds.interface import Launch
from rempart.runners.lifecycle import Event
from rempart.runners.places import free_port
from rempart.runners.running import Ears, Running
from rempart.settings.model import Model


class Start:
    """A fake runner's start with everything it tells."""

    def __init__(
        self, folder: Path, *switches: str, gate: asyncio.Lock | None = None, **more: object
    ) -> None:
        command = list(fake_command("--port", "{port}", *switches))
        self.model = Model(name="m", kind="command", command=command, stop_s=0.5)
        launch = Command().launch(self.model, place(folder, free_port()))
        self.launch: Launch = replace(launch, **more)  # type: ignore[arg-type]
        self.told: list[tuple[Event, str]] = []
        self.output = b""
        self.started: list[int] = []
        self.running = Running(
            self.launch,
            self.model,
            clock=SystemClock(),
            environment={"PATH": os.environ["PATH"]},
            own_environment={"MINE": "1"},
            start_gate=gate or asyncio.Lock(),
            ears=Ears(
                tell=lambda event, reason: self.told.append((event, reason)),
                output=self.on_output,
                status=lambda data: None,
                is_busy=lambda: False,
            ),
        )

    def on_output(self, data: bytes) -> None:
        self.output += data

    async def run(self) -> str:
        return await self.running.run(self.started.append)


def test_it_tells_when_it_is_healthy_and_how_it_ended(tmp_path: Path) -> None:
    async def run() -> None:
        start = Start(tmp_path)
        async with asyncio.TaskGroup() as tasks:
            life = tasks.create_task(start.run())
            await until_async(lambda: start.told == [(Event.HEALTHY, "")], "it is healthy")
            assert start.running.pid == start.started[0]
            assert start.running.facts.context_length == 512
            assert (start.running.facts.load_s or 0) > 0
            await start.running.end()
        assert life.result() == "it exited with status 0"
        assert start.running.pid is None

    asyncio.run(run())


def test_one_that_says_ready_is_not_healthy_before_it_has(tmp_path: Path) -> None:
    async def run() -> None:
        start = Start(tmp_path, says_ready=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(start.run())
            await until_async(lambda: b"listens" in start.output, "it listens")
            await asyncio.sleep(0.1)
            assert start.told == []
            start.running.said_ready(Facts(context_length=99, supports_tools=True))
            await until_async(lambda: bool(start.told), "it is healthy")
            facts = start.running.facts
            assert (facts.context_length, facts.supports_tools) == (99, True)
            start.running.kill()

    asyncio.run(run())


def test_what_the_runner_says_is_put_over_what_was_known(tmp_path: Path) -> None:
    start = Start(tmp_path, facts=Facts(context_length=7, embeds=True))
    start.running.said_ready(Facts(batch_tokens=64))
    facts = start.running.facts
    assert (facts.context_length, facts.embeds, facts.batch_tokens) == (7, True, 64)


def test_of_those_that_start_alone_one_starts_at_a_time(tmp_path: Path) -> None:
    async def run() -> None:
        gate = asyncio.Lock()
        first = Start(tmp_path, "--loading-s", "2", gate=gate, starts_alone=True)
        second = Start(tmp_path, gate=gate, starts_alone=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(first.run())
            tasks.create_task(second.run())
            await until_async(lambda: bool(first.started), "the first is started")
            assert second.started == []
            await until_async(lambda: bool(second.started), "the second is started")
            assert first.told == [(Event.HEALTHY, "")]
            first.running.kill()
            second.running.kill()
        assert not gate.locked()

    asyncio.run(run())


def test_one_that_is_ended_while_it_waits_for_its_turn_never_starts(tmp_path: Path) -> None:
    async def run() -> None:
        gate = asyncio.Lock()
        await gate.acquire()
        for end_at_once in (False, True):
            start = Start(tmp_path, gate=gate, starts_alone=True)
            async with asyncio.TaskGroup() as tasks:
                life = tasks.create_task(start.run())
                await asyncio.sleep(0)
                if end_at_once:
                    start.running.kill()
                else:
                    await start.running.end()
            assert life.result() == "it was ended before it started"
            assert start.started == []
        gate.release()

    asyncio.run(run())


def test_one_that_cannot_be_started_says_why_and_leaves_no_file(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "run").mkdir()
        good, bad = tmp_path / "run" / "a", tmp_path / "missing" / "b"
        start = Start(tmp_path, files={good: "x", bad: "y"})
        reason = await start.run()
        assert reason == "it could not be started: No such file or directory"
        assert list((tmp_path / "run").iterdir()) == []

    asyncio.run(run())


def test_cancelled_it_abandons_the_process_which_then_ends_by_itself(tmp_path: Path) -> None:
    async def run() -> int:
        start = Start(tmp_path)
        async with asyncio.TaskGroup() as tasks:
            life = tasks.create_task(start.run())
            await until_async(lambda: bool(start.told), "it is healthy")
            life.cancel()
        return start.started[0]

    pid = asyncio.run(run())
    os.waitpid(pid, 0)
