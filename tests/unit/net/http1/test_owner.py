"""Tasks that live as long as an object."""

import asyncio

import pytest

from rempart.net.http1.owner import TaskOwner


def test_closing_cancels_what_runs_and_waits_for_it() -> None:
    """After ``close`` no task is left, and each had the chance to clean up."""
    ended = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    async def main() -> None:
        owner = TaskOwner()
        await owner.open()
        tasks = [owner.start(work(number)) for number in range(3)]
        await asyncio.sleep(0)
        await owner.close()
        assert all(task.cancelled() for task in tasks)

    asyncio.run(main())
    assert sorted(ended) == [0, 1, 2]


def test_it_may_be_closed_by_another_task_than_opened_it() -> None:
    """A pool is opened by its first call, whose task has ended long before the pool is closed."""

    async def main() -> None:
        owner = TaskOwner()
        async with asyncio.TaskGroup() as group:
            group.create_task(owner.open())
        task = owner.start(asyncio.sleep(60))
        async with asyncio.TaskGroup() as group:
            group.create_task(owner.close())
        assert task.cancelled()

    asyncio.run(main())


def test_closing_twice_or_unopened_does_nothing() -> None:
    async def main() -> None:
        owner = TaskOwner()
        await owner.close()
        await owner.open()
        await owner.open()
        await owner.close()
        await owner.close()

    asyncio.run(main())


def test_a_task_is_not_started_when_nobody_would_end_it() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="between open and close"):
            TaskOwner().start(asyncio.sleep(1))

    asyncio.run(main())


def test_what_a_task_raised_is_not_lost() -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    async def main() -> None:
        owner = TaskOwner()
        async with asyncio.TaskGroup() as group:  # the failing task cancels who opened
            group.create_task(owner.open())
        owner.start(fail())
        await asyncio.sleep(0)
        with pytest.raises(ExceptionGroup) as raised:
            await owner.close()
        assert raised.group_contains(ValueError, match="a bug")

    asyncio.run(main())
