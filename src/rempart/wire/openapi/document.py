"""The paths of the data plane, and the whole document."""

from collections.abc import Iterable
from typing import Any

from rempart import __version__
from rempart.wire.openapi.schemas import TEXT, Schema, all_schemas, ref

JSON = "application/json"
EVENTS = "text/event-stream"
ERROR_STATUSES = {
    400: "The request is wrong",
    401: "No key, or not a valid one",
    403: "The key may not do this",
    404: "There is no such thing",
    405: "Not with this method",
    408: "The request came too slowly",
    413: "The body is too large",
    414: "The target is too long",
    415: "The body is not JSON",
    429: "A limit was reached",
    431: "The headers are too large",
    500: "A bug of ours",
    501: "Not implemented",
    502: "The model's process or server failed",
    503: "No room, or not ready",
    504: "A clock of the request ran out",
    505: "Not this version of HTTP",
}
REQUEST_TIMEOUT = {
    "name": "X-Request-Timeout",
    "in": "header",
    "required": False,
    "description": "Lowers the time that the request may take, in seconds.",
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 86400},
}
LIMIT_HEADERS = {
    name: {"required": False, "description": text, "schema": {"type": "string"}}
    for name, text in (
        ("RateLimit-Policy", 'The limits of requests: `"rpm";q=60;w=60`.'),
        ("RateLimit", 'The limit nearest to its end: `"rpm";r=59;t=60`.'),
        ("x-ratelimit-limit-requests", "Requests in the window of that limit."),
        ("x-ratelimit-remaining-requests", "Requests left of it."),
        ("x-ratelimit-reset-requests", "Until all are there again: `1m0s`."),
        ("x-ratelimit-limit-tokens", "Tokens, where a limit counts them."),
        ("x-ratelimit-remaining-tokens", "Tokens left of it."),
        ("x-ratelimit-reset-tokens", "Until all are there again."),
    )
}
RETRY_HEADERS = {
    "Retry-After": {
        "required": False,
        "description": "Seconds after which to come again.",
        "schema": {"type": "integer"},
    },
    "retry-after-ms": {
        "required": False,
        "description": "The same in milliseconds, exactly.",
        "schema": {"type": "integer"},
    },
}
INFERENCE = (
    ("/v1/chat/completions", "Chat", "ChatRequest", "Completion", True),
    ("/v1/completions", "Text completion", "CompletionRequest", "Completion", True),
    ("/v1/embeddings", "Embeddings", "EmbeddingsRequest", "Embeddings", False),
    ("/v1/rerank", "Order documents by how well they answer", "RerankRequest", "Ranking", False),
    ("/v1/responses", "Response (stateless)", "ResponsesRequest", "Response", True),
    (
        "/v1/responses/input_tokens",
        "Tokens of a response's prompt",
        "ResponsesRequest",
        "InputTokens",
        False,
    ),
    ("/v1/messages", "Message (Anthropic)", "MessagesRequest", "Message", True),
    (
        "/v1/messages/count_tokens",
        "Tokens of a message's prompt",
        "CountTokensRequest",
        "InputTokens",
        False,
    ),
    ("/v1/tokenize", "Tokens of a text", "TokenizeRequest", "TokenizeAnswer", False),
)


def openapi_document(
    base_path: str, custom: Iterable[tuple[str, tuple[str, ...]]]
) -> dict[str, Any]:
    """The document.

    Args:
        base_path: prefix of all paths.
        custom: the configured routes, path and methods.
    """
    paths: dict[str, Any] = {
        path: {"post": _inference(path, summary, body, answer, streams=streams)}
        for path, summary, body, answer, streams in INFERENCE
    }
    paths["/v1/models"] = {"get": _reading("Models that this key may use", ref("ModelList"))}
    name = {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    paths["/v1/models/{id}"] = {"get": _reading("One model", ref("Model")) | {"parameters": [name]}}
    paths["/metrics"] = {
        "get": _reading("Figures in Prometheus' text format", TEXT, media="text/plain")
    }
    for path, summary, shape in (
        ("/livez", "Whether the process lives", "Probe"),
        ("/readyz", "Whether requests are served", "Probe"),
        ("/health", "State of server, models and machine", "Health"),
    ):
        answers = {"200": _content("It is", ref(shape)), "503": _content("It is not", ref(shape))}
        paths[path] = {"get": _operation(summary, answers, public=True, tags=["Server"])}
    page = {"200": _content("The page", TEXT, "text/html")}
    paths["/docs"] = {
        "get": _operation("This description, for people", page, public=True, tags=["Server"])
    }
    described = {"200": _content("The document", {"type": "object"})}
    paths["/openapi.json"] = {
        "get": _operation("This description", described, public=True, tags=["Server"])
    }
    for path, methods in custom:
        found = paths.setdefault(path, {})
        for method in methods:
            answer = {
                "200": {"description": "What the runner answers"},
                "default": _error("ErrorAnswer", "An error"),
            }
            found[method.lower()] = _operation(
                "A route of this server's own", answer, tags=["Own routes"]
            )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rempart",
            "version": __version__,
            "description": "Language models behind the OpenAI and Anthropic protocols.",
        },
        "servers": [{"url": base_path or "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": all_schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _operation(
    summary: str, responses: dict[str, Any], *, public: bool = False, **more: Any
) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": responses,
        **({"security": []} if public else {}),
        **more,
    }


def _content(description: str, schema: Schema, media: str = JSON) -> dict[str, Any]:
    return {"description": description, "content": {media: {"schema": schema}}}


def _error(shape: str, description: str) -> dict[str, Any]:
    return _content(description, ref(shape))


def _errors(shape: str) -> dict[str, Any]:
    found = {str(status): _error(shape, text) for status, text in ERROR_STATUSES.items()}
    for status in ("429", "503"):
        found[status]["headers"] = RETRY_HEADERS
    return found


def _reading(summary: str, schema: Schema, media: str = JSON) -> dict[str, Any]:
    responses = {"200": _content(summary, schema, media), **_errors("ErrorAnswer")}
    return _operation(summary, responses, tags=["Server" if media != JSON else "Models"])


def _inference(path: str, summary: str, body: str, answer: str, *, streams: bool) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": ref(answer)}}
    if streams:
        content[EVENTS] = {
            "schema": {"description": "Server-sent events, in the protocol's own form."}
        }
    is_messages = path.startswith("/v1/messages")
    responses: dict[str, Any] = {
        "200": {"description": summary, "content": content, "headers": LIMIT_HEADERS}
    }
    responses |= _errors("MessagesErrorAnswer" if is_messages else "ErrorAnswer")
    if is_messages:
        responses["529"] = _error("MessagesErrorAnswer", "No room")
    return _operation(
        summary,
        responses,
        tags=["Inference"],
        requestBody={"required": True, "content": {JSON: {"schema": ref(body)}}},
        parameters=[REQUEST_TIMEOUT],
    )
