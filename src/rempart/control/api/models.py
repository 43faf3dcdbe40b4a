"""``/api/models``."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Path, Query, Response

from rempart.base.clock import Clock
from rempart.control.actions import models
from rempart.control.api.shapes import Lines, Model, Models
from rempart.control.link import Link
from rempart.domain.errors import RempartError

LINES_MAX = 2000

Limit = Annotated[int, Query(ge=1, le=1000, description="Entries at most.")]
Cursor = Annotated[str, Query(max_length=512, description="`next` of the page before.")]
Name = Annotated[str, Path(description="The model's name; it may hold slashes.")]
Wait = Annotated[bool, Query(description="Whether to answer only when it is done.")]


def router(link: Link, clock: Clock) -> APIRouter:
    """The routes of this noun."""
    routes = APIRouter(prefix="/api/models", tags=["models"])

    @routes.get("", summary="List models")
    async def list_models(limit: Limit = 100, cursor: Cursor = "") -> Models:
        statuses, following = models.page(link, limit, cursor)
        now = clock.now()
        return Models(items=[Model.of(status, now) for status in statuses], next=following)

    @routes.get("/{name:path}/logs", summary="Read the end of a model's log")
    async def logs(
        name: Name, n: Annotated[int, Query(ge=1, le=LINES_MAX, description="Lines at most.")] = 100
    ) -> Lines:
        return Lines(items=await models.log_lines(link, name, n))

    # Last of the GETs, since its pattern takes every path.
    @routes.get("/{name:path}", summary="Show a model")
    async def show(name: Name) -> Model:
        return Model.of(models.find(link, name), clock.now())

    async def act(
        name: str, wait: bool, response: Response, later: BackgroundTasks, doing: models.Act
    ) -> Model:
        if wait:
            await doing(link, name)
        else:
            models.find(link, name)
            response.status_code = 202
            # After the answer, in the same request's task: it has an owner and an end.
            later.add_task(_quietly, link, name, doing)
        return Model.of(models.find(link, name), clock.now())

    @routes.post("/{name:path}/load", summary="Load a model")
    async def load(
        name: Name, response: Response, later: BackgroundTasks, wait: Wait = True
    ) -> Model:
        return await act(name, wait, response, later, models.load)

    @routes.post("/{name:path}/unload", summary="Unload a model")
    async def unload(
        name: Name, response: Response, later: BackgroundTasks, wait: Wait = True
    ) -> Model:
        return await act(name, wait, response, later, models.unload)

    @routes.post("/{name:path}/restart", summary="Restart a model's runner")
    async def restart(
        name: Name, response: Response, later: BackgroundTasks, wait: Wait = True
    ) -> Model:
        return await act(name, wait, response, later, models.restart)

    return routes


async def _quietly(link: Link, name: str, doing: models.Act) -> None:
    """An act that nobody waits for: how it ended is told by the model's state."""
    try:
        await doing(link, name)
    except RempartError:
        return
