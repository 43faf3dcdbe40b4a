"""What control's API asks of main, over the channel: the models' states, and acts on their runners."""

import asyncio
from itertools import count

from rempart import __version__
from rempart.domain import errors
from rempart.domain.models import ModelStatus
from rempart.processes.arguments import Link
from rempart.processes.messages import Answer, Ask, Published

ANSWER_S_MAX = 900.0
"""Loading a large model takes minutes; main has its own bound, this one is behind it."""


class OperatorLink:
    """The API's collaborator."""

    def __init__(self, link: Link, started_at_s: float) -> None:
        self._link = link
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._statuses: list[ModelStatus] = []
        self.started_at = started_at_s
        """Monotonic seconds at which the server started."""
        self.version = __version__

    def statuses(self) -> list[ModelStatus]:
        """All models, as main last told."""
        return self._statuses

    async def log_lines(self, model: str, n: int) -> list[str]:
        """The last lines that a model's runner wrote."""
        return (await self._ask("logs", model, n)).lines

    async def load(self, model: str) -> None:
        """Load a model; returns when it is ready."""
        await self._ask("load", model)

    async def unload(self, model: str) -> None:
        """Unload a model; returns when its process is gone."""
        await self._ask("unload", model)

    async def restart(self, model: str) -> None:
        """Restart a model's runner, also one that was given up."""
        await self._ask("restart", model)

    async def renew_peppers(self) -> None:
        """Have main read the peppers anew and tell every process.

        Raises:
            StateUnavailable: main cannot read them.
        """
        await self._ask("peppers", "")

    def published(self, message: Published) -> None:
        """Main has new states."""
        self._statuses = message.models

    def answered(self, message: Answer) -> None:
        """Main has done what was asked, or says why not."""
        asked = self._asked.pop(message.number, None)
        if asked is not None and not asked.done():
            asked.set_result(message)

    async def _ask(self, act: str, model: str, lines: int = 0) -> Answer:
        number = next(self._numbers)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._link.send(Ask(number=number, act=act, model=model, count=lines))
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                answer = await future
        except TimeoutError as error:
            raise errors.TimedOut(clock="total", limit_s=ANSWER_S_MAX) from error
        finally:
            self._asked.pop(number, None)
        if answer.error_code:
            raise _error(answer, model)
        return answer


def _error(answer: Answer, model: str) -> errors.RempartError:
    match answer.error_code:
        case "model_not_found":
            return errors.ModelNotFound(model=model)
        case "overloaded":
            return errors.Overloaded(message=answer.reason, retry_after_s=1.0)
        case "insufficient_memory":
            return errors.InsufficientMemory(reason=answer.reason)
        case "state_unavailable":
            return errors.StateUnavailable(reason=answer.reason, retry_after_s=1.0)
        case "invalid_request":
            return errors.InvalidRequest(reason=answer.reason)
        case _:
            return errors.ModelUnavailable(model=model, reason=answer.reason, retry_after_s=1.0)
