"""What control asks main to do with runners, and the answers."""

import asyncio
from collections.abc import Callable

from rempart.domain.errors import InternalError, InvalidRequest, ModelNotFound, RempartError
from rempart.processes.messages import Answer, Ask
from rempart.runners.supervisor import Supervisor

WAITING_MAX = 64
"""Requests of control under way; further ones are answered ``overloaded``."""
LINES_MAX = 2000


class ControlRequests:
    """Carries out acts, each in a task of its own group, so that a load does not hold up a look at a log."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._inbox: asyncio.Queue[tuple[Ask, Callable[[Answer], None]]] = asyncio.Queue(
            maxsize=WAITING_MAX
        )
        self._under_way = 0

    def ask(self, ask: Ask, answer: Callable[[Answer], None]) -> None:
        """Take a request; ``answer`` is called once, later."""
        if self._under_way >= WAITING_MAX:
            reason = "too many requests of control are under way"
            answer(Answer(number=ask.number, error_code="overloaded", reason=reason))
            return
        self._under_way += 1
        self._inbox.put_nowait((ask, answer))

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
        except Exception as error:  # a bug in one act must not end main
            reason = f"{type(error).__name__}: {error}"
            answer(Answer(number=ask.number, error_code=InternalError.code, reason=reason))
        finally:
            self._under_way -= 1

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
            case _:
                raise InvalidRequest(reason=f"There is no act {ask.act!r}.")
        return Answer(number=ask.number)
