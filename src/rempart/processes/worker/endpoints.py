"""Every endpoint of a worker: the operations with what they are built from, and their rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from rempart.base.clock import Clock
from rempart.gateway.authentication.step import Authentication
from rempart.gateway.exchange import Models, Operation, Route
from rempart.gateway.operations.chat import ChatCompletions
from rempart.gateway.operations.completions import Completions
from rempart.gateway.operations.custom import CustomRoute
from rempart.gateway.operations.embeddings import WholeDocuments
from rempart.gateway.operations.health import Health, Probe, Readiness
from rempart.gateway.operations.messages import CountTokens, Messages
from rempart.gateway.operations.metrics import ShowMetrics
from rempart.gateway.operations.models import ListModels, ShowModel
from rempart.gateway.operations.openapi import OpenApi
from rempart.gateway.operations.responses import InputTokens, Responses
from rempart.gateway.operations.tokenize import TokenCounter, Tokenize
from rempart.gateway.routes import table
from rempart.settings.model import Settings
from rempart.wire import chat_request
from rempart.wire.docs_page import docs_page
from rempart.wire.openapi import openapi_document

LOOPBACK = ("127.", "::1", "localhost")


def endpoints(
    settings: Settings,
    *,
    clock: Clock,
    models: Models,
    counter: TokenCounter,
    authentication: Authentication,
    has_keys: Callable[[], bool],
    key_age_s: Callable[[], float],
    run_dir: Path,
    started_at_s: float,
) -> list[Route]:
    """The rows of the table of routes, those of ``[[routes]]`` behind our own.

    Args:
        has_keys: whether requests with a key can be answered.
        key_age_s: seconds since the published keys were confirmed.
        run_dir: of this start, where the processes count.
        started_at_s: of the server, monotonic.
    """
    created = int(clock.wall().timestamp())
    shared: dict[str, Any] = {"models": models, "settings": settings}
    generating = shared | {"counter": counter}
    detail = settings.health.detail or (
        "all" if settings.server.host.startswith(LOOPBACK) else "key"
    )
    operations: dict[str, Operation] = {
        "livez": Probe(),
        "readyz": Readiness(
            models=models,
            has_models=bool(settings.models),
            has_keys=has_keys,
            key_age_s=key_age_s,
        ),
        "health": Health(
            clock=clock,
            models=models,
            authentication=authentication,
            run_dir=run_dir,
            data_dir=Path(settings.data_dir),
            started_at_s=started_at_s,
            default_model=settings.models[0].name if settings.models else "",
            hides_detail=detail == "key",
        ),
        "metrics": ShowMetrics(folder=run_dir / "metrics"),
        "models": ListModels(models=models, created=created),
        "model": ShowModel(models=models, created=created),
        "chat": ChatCompletions(**generating),
        "completions": Completions(**generating),
        "embeddings": WholeDocuments(
            name="embeddings",
            endpoint="/embeddings",
            faults=chat_request.validate_embeddings,
            known=chat_request.KNOWN_FIELDS_EMBEDDINGS,
            **generating,
        ),
        "rerank": WholeDocuments(
            name="rerank",
            endpoint="/rerank",
            faults=chat_request.validate_rerank,
            known=chat_request.KNOWN_FIELDS_RERANK,
            **generating,
        ),
        "messages": Messages(**generating),
        "messages_count_tokens": CountTokens(**generating),
        "responses": Responses(**generating),
        "responses_input_tokens": InputTokens(**generating),
        "tokenize": Tokenize(**generating),
    }
    custom = [
        Route(
            path=route.path,
            methods=tuple(method.upper() for method in route.methods),
            scope="inference",
            operation=CustomRoute(route=route, **shared),
        )
        for route in settings.routes
    ]
    document = openapi_document(
        settings.server.base_path, [(route.path, route.methods) for route in custom]
    )
    operations["openapi"] = OpenApi(
        body=msgspec.json.encode(document), content_type=b"application/json"
    )
    operations["docs"] = OpenApi(
        name="docs",
        body=docs_page(document),
        content_type=b"text/html; charset=utf-8",
        is_page=True,
    )
    return [*table(operations, metrics_open=settings.health.metrics_open), *custom]
