"""``/api/limits``."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from rempart.control.actions import limits
from rempart.control.registry import Registry
from rempart.domain.errors import InvalidRequest
from rempart.settings.model import Settings
from rempart.state.shared.limits.interface import LimitStore


class LimitStanding(BaseModel):
    """One limit as it stands at this moment."""

    subject: str = Field(description="`key:ID`, `project:ID`, `model:NAME` or `server`")
    limit_name: str
    limit: float
    used: float = Field(description="taken within the window, reservations of running requests too")
    remaining: float
    window_seconds: int = Field(description="0: what is taken at one time")
    full_in_seconds: float = Field(
        description="until all of it is there again, if nothing more is taken"
    )


class LimitStandings(BaseModel):
    """How limits stand."""

    items: list[LimitStanding]
    next: None = None


def router(registry: Registry, store: LimitStore, settings: Settings) -> APIRouter:
    """The routes of this noun."""
    routes = APIRouter(prefix="/api/limits", tags=["limits"])

    @routes.get(
        "", summary="Show how limits stand: of a key, of a project, or of server and models"
    )
    async def show(
        key: Annotated[str, Query(max_length=64, description="A key's id.")] = "",
        project: Annotated[str, Query(max_length=128, description="A project's id or name.")] = "",
    ) -> LimitStandings:
        if key and project:
            raise InvalidRequest(param="project", reason="project: must not be given beside key.")
        if key:
            found = await limits.of_key(registry, store, settings, key)
        elif project:
            found = await limits.of_project(registry, store, project)
        else:
            found = limits.of_server(registry, store, settings)
        return LimitStandings(items=[LimitStanding(**one._asdict()) for one in found])

    return routes
