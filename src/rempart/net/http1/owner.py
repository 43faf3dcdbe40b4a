"""A task group whose life is an object's, not a block's."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class TaskOwner:
    """Owns tasks from ``open`` to ``close``; whoever has one must close it.

    The tasks must not raise: one that does ends the others, as in any task group.
    """

    __slots__ = ("_group", "_tasks")

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def count(self) -> int:
        """Tasks that have not ended."""
        return len(self._tasks)

    async def open(self) -> None:
        """Begins to take tasks; does nothing when it is open."""
        if self._group is None:
            group = asyncio.TaskGroup()
            await group.__aenter__()
            self._group = group

    def start(
        self, coroutine: Coroutine[Any, Any, None], *, name: str | None = None
    ) -> asyncio.Task[None]:
        """Starts a task that is ended by ``close`` at the latest."""
        if self._group is None:
            coroutine.close()
            raise RuntimeError("not open")
        task = self._group.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancels what is left and waits for its end."""
        group, self._group = self._group, None
        if group is not None:
            for task in tuple(self._tasks):
                task.cancel()
            await group.__aexit__(None, None, None)
