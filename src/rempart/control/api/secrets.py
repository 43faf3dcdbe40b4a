"""``/api/secrets``."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from rempart.control.actions import secrets
from rempart.control.actions.secrets import PepperFile
from rempart.control.api.who import Who
from rempart.control.registry import Registry


class PepperStanding(BaseModel):
    """How it stands with peppers, the secret keys of the digests that are stored of keys."""

    pepper_id: str = Field(description="under which secrets are stored from here on")
    pepper_ids: list[str] = Field(description="all that are in use, newest first")
    keys_waiting: int = Field(
        description="keys stored under an older one; each is stored anew when it is next used"
    )


def router(registry: Registry, file: PepperFile) -> APIRouter:
    """The routes of this noun."""
    routes = APIRouter(prefix="/api/secrets", tags=["secrets"])

    @routes.post(
        "/rotate", summary="Store keys' digests under a new pepper; every key goes on working"
    )
    async def rotate(who: Who) -> PepperStanding:
        return PepperStanding(**(await secrets.rotate(registry, who, file))._asdict())

    @routes.post("/drop-unused", summary="Forget the peppers that no key needs any more")
    async def drop_unused(who: Who) -> PepperStanding:
        return PepperStanding(**(await secrets.drop_unused(registry, who, file))._asdict())

    return routes
