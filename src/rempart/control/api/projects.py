"""``/api/projects``."""

from typing import Annotated

from fastapi import APIRouter, Path

from rempart.control.actions import projects
from rempart.control.actions.fields import NewProject, ProjectChanges
from rempart.control.api.key_shapes import Project, Projects
from rempart.control.api.keys import Cursor, Limit
from rempart.control.api.who import Who
from rempart.control.registry import Registry
from rempart.state.durable.interface import ProjectRow

Id = Annotated[str, Path(max_length=128, description="The project's id or name.")]


def router(registry: Registry) -> APIRouter:
    """The routes of this noun."""
    routes = APIRouter(prefix="/api/projects", tags=["projects"])

    def shown(row: ProjectRow) -> Project:
        return Project(**projects.document(row))

    @routes.get("", summary="List projects, newest first")
    async def list_projects(limit: Limit = 100, cursor: Cursor = "") -> Projects:
        rows, following = await projects.page(registry, limit=limit, cursor=cursor)
        return Projects(items=[shown(row) for row in rows], next=following)

    @routes.post("", summary="Make a project", status_code=201)
    async def create(wanted: NewProject, who: Who) -> Project:
        return shown(await projects.create(registry, who, wanted))

    @routes.get("/{id}", summary="Show a project")
    async def show(id: Id) -> Project:
        return shown(await projects.find(registry, id))

    @routes.patch("/{id}", summary="Change a project; what is not given stays")
    async def update(id: Id, changes: ProjectChanges, who: Who) -> Project:
        return shown(await projects.update(registry, who, id, changes))

    return routes
