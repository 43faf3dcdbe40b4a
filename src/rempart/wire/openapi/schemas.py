"""Shapes of requests and answers, as JSON Schema (OpenAPI 3.1)."""

from typing import Any

from rempart.domain.errors import RempartError, every_error

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to one of ``all_schemas``."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Schema], required: list[str], **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": required, **more}


def _whole(properties: dict[str, Schema]) -> Schema:
    """An object whose members are all there."""
    return _object(properties, list(properties))


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
MODEL: Schema = {"type": "string", "description": "Name of a model, as GET /v1/models lists them."}
TOKENS: Schema = {
    "type": "integer",
    "minimum": 1,
    "description": "At most so many tokens are made.",
}
TEMPERATURE: Schema = {"type": "number", "minimum": 0, "maximum": 2}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
STREAM: Schema = {"type": "boolean", "description": "Answer with server-sent events."}
ANY_OBJECT: Schema = {"type": "object"}

_SAMPLING: dict[str, Schema] = {
    "model": MODEL,
    "stream": _nullable(STREAM),
    "stream_options": _nullable(_object({"include_usage": BOOLEAN}, [])),
    "temperature": _nullable(TEMPERATURE),
    "top_p": _nullable(SHARE),
    "max_tokens": _nullable(TOKENS),
    "n": _nullable({"type": "integer", "minimum": 1, "maximum": 128}),
    "seed": _nullable(WHOLE),
    "user": _nullable({"type": "string", "maxLength": 512}),
}

_MESSAGE = _object(
    {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
        "content": {"anyOf": [TEXT, {"type": "array", "items": ANY_OBJECT}, {"type": "null"}]},
    },
    ["role"],
)

_CHAT_REQUEST = _object(
    _SAMPLING
    | {
        "messages": {"type": "array", "minItems": 1, "maxItems": 2048, "items": _MESSAGE},
        "max_completion_tokens": _nullable(TOKENS),
        "tools": _nullable({"type": "array", "items": ANY_OBJECT}),
        "tool_choice": {"description": "none, auto, required, or an object that names a function."},
        "response_format": _nullable(ANY_OBJECT),
        "logprobs": _nullable(BOOLEAN),
        "top_logprobs": _nullable({"type": "integer", "minimum": 0, "maximum": 20}),
    },
    ["model", "messages"],
)
_COMPLETION_REQUEST = _object(
    _SAMPLING | {"prompt": {"anyOf": [TEXT, {"type": "array"}]}, "echo": _nullable(BOOLEAN)},
    ["model", "prompt"],
)
_EMBEDDINGS_REQUEST = _object(
    {
        "model": MODEL,
        "input": {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "minItems": 1, "maxItems": 2048},
            ]
        },
        "encoding_format": _nullable({"enum": ["float", "base64"]}),
        "dimensions": _nullable({"type": "integer", "minimum": 1, "maximum": 65536}),
    },
    ["model", "input"],
)
_RERANK_REQUEST = _object(
    {
        "model": MODEL,
        "query": {"type": "string", "minLength": 1},
        "documents": {"type": "array", "minItems": 1, "maxItems": 2048},
        "top_n": _nullable({"type": "integer", "minimum": 1}),
    },
    ["model", "query", "documents"],
)
_RESPONSES_REQUEST = _object(
    {
        "model": MODEL,
        "input": {"anyOf": [TEXT, {"type": "array", "items": ANY_OBJECT}]},
        "instructions": _nullable(TEXT),
        "max_output_tokens": _nullable(TOKENS),
        "stream": _nullable(STREAM),
        "temperature": _nullable(TEMPERATURE),
        "top_p": _nullable(SHARE),
        "tools": _nullable({"type": "array", "items": ANY_OBJECT}),
        "store": {"description": "false or absent: nothing is stored."},
    },
    ["model", "input"],
)
_COUNTED: dict[str, Schema] = {
    "model": MODEL,
    "messages": {
        "type": "array",
        "minItems": 1,
        "items": _object(
            {
                "role": {"enum": ["user", "assistant"]},
                "content": {"anyOf": [TEXT, {"type": "array", "items": ANY_OBJECT}]},
            },
            ["role", "content"],
        ),
    },
    "system": {"anyOf": [TEXT, {"type": "array", "items": ANY_OBJECT}]},
    "tools": {"type": "array", "items": ANY_OBJECT},
}
_MESSAGES_REQUEST = _object(
    _COUNTED
    | {
        "max_tokens": TOKENS,
        "stream": STREAM,
        "temperature": {"type": "number", "minimum": 0, "maximum": 1},
        "top_p": SHARE,
        "stop_sequences": {"type": "array", "items": TEXT},
    },
    ["model", "messages", "max_tokens"],
)
_TOKENIZE_REQUEST = _object(
    {"model": MODEL, "input": {"anyOf": [TEXT, {"type": "array", "minItems": 1, "items": TEXT}]}},
    ["model", "input"],
)

_ERROR_FIELDS: dict[str, Schema] = {
    "message": {"type": "string", "description": "What was wrong, what was expected, what to do."},
    "type": TEXT,
    "code": {"type": "string", "description": "Stays the same; programs may rely on it."},
    "param": _nullable(TEXT),
    "request_id": TEXT,
    "timestamp": {"type": "string", "format": "date-time"},
    "details": ANY_OBJECT,
}
_ERROR = _object(_ERROR_FIELDS, list(_ERROR_FIELDS))
_PROBE = _object(
    {"status": TEXT, "reasons": {"type": "array", "items": TEXT}}, ["status", "reasons"]
)
_MODEL_ENTRY = _object(
    {
        "id": TEXT,
        "object": {"const": "model"},
        "created": WHOLE,
        "owned_by": TEXT,
        "context_length": _nullable(WHOLE),
        "state": {"enum": ["stopped", "starting", "ready", "draining", "backoff", "failed"]},
    },
    ["id", "object", "created", "owned_by", "context_length", "state"],
)


def _codes(errors: list[type[RempartError]]) -> list[str]:
    return sorted({error.code for error in errors})


def all_schemas() -> dict[str, Schema]:
    """By name."""
    error = {**_ERROR, "properties": {**_ERROR_FIELDS, "code": {"enum": _codes(every_error())}}}
    return {
        "ChatRequest": _CHAT_REQUEST,
        "CompletionRequest": _COMPLETION_REQUEST,
        "EmbeddingsRequest": _EMBEDDINGS_REQUEST,
        "RerankRequest": _RERANK_REQUEST,
        "ResponsesRequest": _RESPONSES_REQUEST,
        "MessagesRequest": _MESSAGES_REQUEST,
        "CountTokensRequest": _object(_COUNTED, ["model", "messages"]),
        "TokenizeRequest": _TOKENIZE_REQUEST,
        "TokenizeAnswer": _whole({"model": TEXT, "tokens": WHOLE}),
        "InputTokens": _whole({"input_tokens": WHOLE}),
        "Completion": _whole({"id": TEXT, "object": TEXT, "choices": {"type": "array"}}),
        "Embeddings": _whole({"object": TEXT, "data": {"type": "array"}}),
        "Ranking": _whole({"results": {"type": "array"}}),
        "Response": _whole(
            {"id": TEXT, "object": {"const": "response"}, "output": {"type": "array"}}
        ),
        "Message": _whole({"id": TEXT, "type": {"const": "message"}, "content": {"type": "array"}}),
        "Model": _MODEL_ENTRY,
        "ModelList": _whole(
            {"object": {"const": "list"}, "data": {"type": "array", "items": ref("Model")}}
        ),
        "Probe": _PROBE,
        "Health": _whole(
            {"status": {"enum": ["healthy", "degraded", "unhealthy"]}, "timestamp": TEXT}
        ),
        "ErrorAnswer": _whole({"error": error}),
        "MessagesErrorAnswer": _whole(
            {"type": {"const": "error"}, "error": error, "request_id": TEXT}
        ),
    }
