"""A task group whose life is an object's, not a block's."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class _Ending(Exception):
    """Tells the task group that its block is over and its tasks are to be cancelled."""


class TaskOwner:
    """Owns tasks from ``open`` to ``close``; whoever has one must close it.

    The tasks must not raise: one that does ends the others, as in any task group.
    """

    __slots__ = ("_group",)

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None

    async def open(self) -> None:
        """Begins to take tasks; does nothing when it is open."""
        if self._group is None:
            group = self._group = asyncio.TaskGroup()
            await group.__aenter__()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a task that is ended by ``close`` at the latest.

        Raises:
            RuntimeError: it is not open.
        """
        if self._group is None:
            coroutine.close()
            raise RuntimeError("tasks are started between open and close")
        return self._group.create_task(coroutine)

    async def close(self) -> None:
        """Cancels what is left and waits for its end.

        Raises:
            BaseExceptionGroup: what tasks have raised.
        """
        group, self._group = self._group, None
        if group is None:
            return
        try:
            await group.__aexit__(_Ending, _Ending(), None)
        except BaseExceptionGroup as raised:
            _, others = raised.split(_Ending)
            if others is not None:
                raise others from None
