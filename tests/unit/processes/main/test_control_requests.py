"""What control asks for is done and answered once, whatever becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from rempart.domain.errors import ModelUnavailable
from rempart.domain.models import ModelStatus, RunnerState
from rempart.processes.main.control_requests import LINES_MAX, WAITING_MAX, ControlRequests
from rempart.processes.messages import Answer, Ask
from rempart.runners.supervisor import Supervisor


class StandInSupervisor:
    """Does what it is asked when ``may_go`` is set; ``failure`` is raised instead."""

    def __init__(self) -> None:
        self.acts: list[tuple[str, str]] = []
        self.counts: list[int] = []
        self.failure: Exception | None = None
        self.may_go = asyncio.Event()
        self.may_go.set()

    def statuses(self) -> list[ModelStatus]:
        return [ModelStatus(name="demo", kind="llama_cpp", state=RunnerState.READY)]

    def log_lines(self, model: str, count: int) -> list[str]:
        self.counts.append(count)
        return [f"{model} {number}" for number in range(min(count, 3))]

    async def _act(self, act: str, model: str) -> None:
        await self.may_go.wait()
        if self.failure is not None:
            raise self.failure
        self.acts.append((act, model))

    async def load(self, model: str) -> None:
        await self._act("load", model)

    async def unload(self, model: str) -> None:
        await self._act("unload", model)

    async def restart(self, model: str) -> None:
        await self._act("restart", model)


class Asked:
    """Requests of control, and the answers by number."""

    def __init__(self) -> None:
        self.supervisor = StandInSupervisor()
        self.requests = ControlRequests(cast(Supervisor, self.supervisor))
        self.answers: dict[int, list[Answer]] = {}
        self.number = 0

    def ask(self, act: str, model: str = "demo", count: int = 0) -> int:
        self.number += 1
        found = self.answers.setdefault(self.number, [])
        self.requests.ask(Ask(number=self.number, act=act, model=model, count=count), found.append)
        return self.number

    async def answer(self, number: int) -> Answer:
        async with asyncio.timeout(5):
            while not self.answers[number]:
                await asyncio.sleep(0)
        (answer,) = self.answers[number]
        assert answer.number == number
        return answer


def run(body: Callable[[Asked], Awaitable[None]]) -> None:
    """Run a scenario beside the requests' own loop, which must not end by itself."""

    async def scenario() -> None:
        asked = Asked()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(asked.requests.run())
            await body(asked)
            assert not serving.done()
            serving.cancel()

    asyncio.run(scenario())


def test_each_act_is_done_and_answered() -> None:
    async def body(asked: Asked) -> None:
        for act in ("load", "unload", "restart"):
            assert await asked.answer(asked.ask(act)) == Answer(number=asked.number)
        assert asked.supervisor.acts == [("load", "demo"), ("unload", "demo"), ("restart", "demo")]

    run(body)


def test_log_lines_come_as_many_as_asked_for_within_the_bound() -> None:
    async def body(asked: Asked) -> None:
        assert (await asked.answer(asked.ask("logs", count=2))).lines == ["demo 0", "demo 1"]
        await asked.answer(asked.ask("logs", count=10**9))
        assert asked.supervisor.counts == [2, LINES_MAX]

    run(body)


@pytest.mark.parametrize(
    ("act", "model", "failure", "code", "says"),
    [
        ("load", "none", None, "model_not_found", "'none'"),
        ("dance", "demo", None, "invalid_request", "'dance'"),
        ("load", "demo", ModelUnavailable(model="demo", reason="it crashed"), "model_unavailable", "it crashed"),
        ("load", "demo", RuntimeError("a bug"), "internal_error", "RuntimeError: a bug"),
    ],
)  # fmt: skip
def test_what_fails_is_answered_with_its_code_and_the_next_is_done(
    act: str, model: str, failure: Any, code: str, says: str
) -> None:
    async def body(asked: Asked) -> None:
        asked.supervisor.failure = failure
        answer = await asked.answer(asked.ask(act, model))
        assert answer.error_code == code
        assert says in answer.reason
        asked.supervisor.failure = None
        assert (await asked.answer(asked.ask("load"))).error_code == ""

    run(body)


def test_a_load_that_takes_long_holds_up_nobody() -> None:
    async def body(asked: Asked) -> None:
        asked.supervisor.may_go.clear()
        loading = asked.ask("load")
        assert (await asked.answer(asked.ask("logs", count=1))).lines
        assert asked.answers[loading] == []
        asked.supervisor.may_go.set()
        assert (await asked.answer(loading)).error_code == ""

    run(body)


def test_no_more_than_the_bound_are_under_way() -> None:
    """Also once they have left the inbox: each of them waits for a runner."""

    async def body(asked: Asked) -> None:
        asked.supervisor.may_go.clear()
        numbers = []
        for _ in range(WAITING_MAX):
            numbers.append(asked.ask("load"))
            await asyncio.sleep(0)
        assert (await asked.answer(asked.ask("load"))).error_code == "overloaded"
        asked.supervisor.may_go.set()
        for number in numbers:
            assert (await asked.answer(number)).error_code == ""
        assert (await asked.answer(asked.ask("load"))).error_code == ""

    run(body)
