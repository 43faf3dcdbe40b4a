"""What needs no key: the probe, and the API's own description."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from rempart.control.api.shapes import Liveness
from rempart.wire.docs_page import DOCS_HEADERS, docs_page


def router() -> APIRouter:
    """The public routes."""
    routes = APIRouter()

    @routes.get("/livez", summary="Whether this process answers", tags=["probes"])
    async def livez() -> Liveness:
        return Liveness(status="healthy", reasons=[])

    @routes.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        page = docs_page(request.app.openapi())
        return Response(page, media_type="text/html", headers=DOCS_HEADERS)

    return routes
