"""What control asks main to do with runners, and the answers."""

import asyncio
from collections.abc import Callable

from rempart.domain.errors import ModelNotFound, RempartError
from rempart.processes.messages import Answer, Ask
from rempart.runners.supervisor import Supervisor

WAITING_MAX = 64
"""Requests of control under way; further ones are answered ``overloaded``."""
LINES_MAX = 2000


class ControlRequests:
    """Carries out acts one after the other per request, each in a task of its own group."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._inbox: asyncio.Queue[tuple[Ask, Callable[[Answer], None]]] = asyncio.Queue(
            maxsize=WAITING_MAX
        )

    def ask(self, ask: Ask, answer: Callable[[Answer], None]) -> None:
        """Take a request; ``answer`` is called once, later."""
        try:
            self._inbox.put_nowait((ask, answer))
        except asyncio.QueueFull:
            answer(
                Answer(
                    number=ask.number,
                    error_code="overloaded",
                    reason="too many requests of control are under way",
                )
            )

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                ask, answer = await self._inbox.get()
                tasks.create_task(self._serve(ask, answer))

    async def _serve(self, ask: Ask, answer: Callable[[Answer], None]) -> None:
        try:
            answer(await self._do(ask))
        except RempartError as error:
            answer(Answer(number=ask.number, error_code=error.code, reason=error.message))

    async def _do(self, ask: Ask) -> Answer:
        if ask.model not in {status.name for status in self._supervisor.statuses()}:
            raise ModelNotFound(model=ask.model)
        match ask.act:
            case "logs":
                lines = self._supervisor.log_lines(ask.model, min(ask.count, LINES_MAX))
                return Answer(number=ask.number, lines=lines)
            case "load":
                await self._supervisor.load(ask.model)
            case "unload":
                await self._supervisor.unload(ask.model)
            case "restart":
                await self._supervisor.restart(ask.model)
        return Answer(number=ask.number)
