"""What an operator can do with models."""

from collections.abc import Awaitable, Callable

from rempart.control.link import Link
from rempart.domain.errors import InvalidRequest, ModelNotFound
from rempart.domain.models import ModelStatus

Act = Callable[[Link, str], Awaitable[None]]
"""``load``, ``unload`` or ``restart``."""


def page(link: Link, limit: int, cursor: str) -> tuple[list[ModelStatus], str | None]:
    """Some of the models, in the order of the configuration, and the cursor after which it goes on.

    Args:
        cursor: the name of the last model of the page before; empty for the first page.
    Raises:
        InvalidRequest: the cursor is not one that was given out, or its model is gone.
    """
    statuses = link.statuses()
    start = 0
    if cursor:
        names = [status.name for status in statuses]
        if cursor not in names:
            reason = "cursor must be the next of a page before, and its model still there. Begin anew without it."
            raise InvalidRequest(param="cursor", reason=reason)
        start = names.index(cursor) + 1
    chosen = statuses[start : start + limit]
    is_more = start + limit < len(statuses)
    return chosen, chosen[-1].name if is_more and chosen else None


def find(link: Link, name: str) -> ModelStatus:
    """One model.

    Raises:
        ModelNotFound: there is none of that name.
    """
    for status in link.statuses():
        if status.name == name:
            return status
    raise ModelNotFound(model=name)


async def log_lines(link: Link, name: str, count: int) -> list[str]:
    """The last lines of its runner's log.

    Raises:
        ModelNotFound: there is none of that name.
    """
    find(link, name)
    return await link.log_lines(name, count)


async def load(link: Link, name: str) -> None:
    """Load it; returns when it is ready.

    Raises:
        ModelNotFound, ModelUnavailable, InsufficientMemory.
    """
    find(link, name)
    await link.load(name)


async def unload(link: Link, name: str) -> None:
    """Unload it; returns when its process is gone.

    Raises:
        ModelNotFound, ModelUnavailable.
    """
    find(link, name)
    await link.unload(name)


async def restart(link: Link, name: str) -> None:
    """Restart it, also when it had been given up; returns when it is ready.

    Raises:
        ModelNotFound, ModelUnavailable, InsufficientMemory.
    """
    find(link, name)
    await link.restart(name)
