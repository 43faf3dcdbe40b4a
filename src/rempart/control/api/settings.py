"""``/api/settings``."""

from typing import Any

from fastapi import APIRouter

from rempart.control.actions import settings as actions
from rempart.settings.model import Settings


def router(settings: Settings) -> APIRouter:
    """The routes of this noun."""
    routes = APIRouter(prefix="/api/settings", tags=["settings"])

    @routes.get("", summary="Show every setting as it takes effect; secrets are masked")
    async def show() -> dict[str, Any]:
        return actions.show(settings)

    return routes
