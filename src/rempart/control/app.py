"""The control API as one ASGI application; ``build_app`` is the map of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from rempart.base.clock import Clock, iso_utc
from rempart.base.ids import Ids
from rempart.control.access import PUBLIC, Authenticate
from rempart.control.actions.fields import wrong_fields_of
from rempart.control.actions.secrets import PepperFile
from rempart.control.answers import Answers, App, error_body
from rempart.control.api import audit, keys, limits, models, projects, public, secrets, settings
from rempart.control.api.shapes import ErrorAnswer
from rempart.control.link import Link
from rempart.control.registry import Registry
from rempart.domain.errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RempartError,
)
from rempart.settings.model import Settings
from rempart.state.durable.checkpoints import Checkpoints
from rempart.state.shared.limits.interface import LimitStore
from rempart.wire import envelope

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "A parameter is wrong"},
    401: {"model": ErrorAnswer, "description": "No key, or an unknown one"},
    403: {"model": ErrorAnswer, "description": "The key lacks the scope"},
    404: {"model": ErrorAnswer, "description": "There is no such thing"},
    503: {"model": ErrorAnswer, "description": "It cannot be done at this moment"},
}


class ControlState(NamedTuple):
    """The state that operators work on."""

    registry: Registry
    limits: LimitStore
    peppers: PepperFile
    checkpoints: Checkpoints | None = None
    """Of the audit log; None: it is not signed (tests)."""


def build_app(
    *,
    link: Link,
    state: ControlState | None,
    settings: Settings,
    authenticate: Authenticate,
    clock: Clock,
    report: Callable[[Exception, str], None] = lambda bug, request_id: None,
) -> App:
    """The application.

    Args:
        authenticate: who a request comes from, by its headers.
        report: told of bugs, with the request's id.
    """
    api = api_of(link, state, settings, clock)
    return Answers(api, authenticate=authenticate, clock=clock, ids=Ids(clock), report=report)


def api_of(
    link: Link,
    state: ControlState | None,
    shown: Settings,
    clock: Clock,
) -> FastAPI:
    """The routes and their description, without what stands around them."""
    api = FastAPI(
        title="Rempart control API",
        version=link.version,
        description=(
            "What operators do with a running server. Send a key that has the scope `admin:read` "
            "(to read) or `admin:write` (all else) as `Authorization: Bearer KEY`; on the Unix "
            "socket none is needed."
        ),
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        responses=ERRORS,
    )
    api.include_router(public.router())
    if state is not None:
        api.include_router(audit.router(state.registry, state.checkpoints))
        for noun in (keys, projects):
            api.include_router(noun.router(state.registry))
        api.include_router(limits.router(state.registry, state.limits, shown))
        api.include_router(secrets.router(state.registry, state.peppers))
    api.include_router(models.router(link, clock))
    api.include_router(settings.router(shown))
    _answer_errors(api, clock)
    api.openapi = lambda: _described(api)  # type: ignore[method-assign]  # FastAPI's documented way
    return api


def _answer_errors(api: FastAPI, clock: Clock) -> None:
    """Everything that goes wrong inside FastAPI, and all that it would answer by itself."""

    async def answer(request: Request, error: Exception) -> Response:
        return error_response(_as_ours(request, error), request.state.request_id, clock)

    # The last one is for bugs: FastAPI raises them again after the answer, so that they are reported.
    for kind in (RempartError, HTTPException, RequestValidationError, Exception):
        api.add_exception_handler(kind, answer)


def error_response(error: RempartError, request_id: str, clock: Clock) -> Response:
    """The answer in the one shape for errors."""
    body = error_body(error, request_id, iso_utc(clock.wall()))
    response = Response(body, error.answer_status, media_type="application/json")
    response.raw_headers += envelope.headers(error)
    return response


def _as_ours(request: Request, error: Exception) -> RempartError:
    path = request.url.path
    if isinstance(error, RempartError):
        return error
    if isinstance(error, RequestValidationError):
        return wrong_fields_of(list(error.errors()), skip=1)  # the first is "body" or "query"
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return MethodNotAllowed(path=path, method=request.method, allowed=allowed)
    if isinstance(error, HTTPException) and error.status_code == 404:
        return NotFound(path=path)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return InvalidRequest(reason=str(error.detail))
    return InternalError()


def _described(api: FastAPI) -> dict[str, Any]:
    """FastAPI's description, with the key that every route but the public ones needs."""
    if api.openapi_schema is None:
        schema = FastAPI.openapi(api)
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["key"] = {"type": "http", "scheme": "bearer"}
        schema["security"] = [{"key": []}]
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                operation["responses"].pop("422", None)  # wrong parameters are answered 400
                if path in PUBLIC:
                    operation["security"] = []
    return FastAPI.openapi(api)
