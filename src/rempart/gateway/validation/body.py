"""Step 5: the body, read within its bounds and decoded to one JSON object; the model it names."""

from collections.abc import Iterable, Mapping
from typing import Any

from rempart.domain.errors import (
    BodyTooLarge,
    InvalidJson,
    InvalidRequest,
    MalformedRequest,
    ModelNotFound,
    RequestReadTimeout,
    UnsupportedMediaType,
)
from rempart.domain.models import ModelStatus
from rempart.gateway.exchange import Exchange
from rempart.net.http1 import errors as http_errors
from rempart.settings.protection import Input
from rempart.wire.json_bounds import JsonFault, decode_json

MODEL_NAME_CHARACTERS_MAX = 256
_BOUNDS = Input()


async def read_bytes(exchange: Exchange, bytes_max: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge, RequestReadTimeout.
    """
    try:
        body = await exchange.request.read(bytes_max)
    except http_errors.BodyTooLarge as error:
        raise BodyTooLarge(limit_bytes=bytes_max) from error
    except http_errors.BodyTooSlow as error:
        raise RequestReadTimeout(reason=str(error)) from error
    except http_errors.BodyMalformed as error:
        raise MalformedRequest(reason=str(error)) from error
    exchange.bytes_in = len(body)
    return body


async def read_object(
    exchange: Exchange, bytes_max: int, bounds: Input = _BOUNDS
) -> dict[str, Any]:
    """The body as a JSON object; its bytes stay in ``exchange.body`` until its texts are cleaned.

    Raises:
        UnsupportedMediaType, BodyTooLarge, RequestReadTimeout, InvalidJson.
    """
    content_type = exchange.request.header(b"content-type")
    if content_type is not None and content_type.partition(b";")[0].strip().lower() not in (
        b"application/json",
        b"",
    ):
        raise UnsupportedMediaType(found=content_type[:80].decode("latin-1"))
    body = exchange.body = await read_bytes(exchange, bytes_max)
    try:
        document = decode_json(body, depth_max=bounds.json_depth_max, keys_max=bounds.json_keys_max)
    except JsonFault as fault:
        raise InvalidJson(reason=str(fault)[:200]) from fault
    if not isinstance(document, dict):
        raise InvalidJson(reason=f"found {type(document).__name__}")
    return document


def take_model(
    document: dict[str, Any], models: Mapping[str, ModelStatus], *, any_model: bool, default: str
) -> str:
    """The configured model that the request names.

    Raises:
        InvalidRequest: ``model`` is missing or no text.
        ModelNotFound: there is no such model.
    """
    name = document.get("model")
    if not isinstance(name, str) or not name or len(name) > MODEL_NAME_CHARACTERS_MAX:
        finding = "nothing" if name is None else repr(name)[:60]
        expected = "the name of a model: " + _listed(models)
        raise InvalidRequest(
            reason=f"model must be {expected}; found {finding}.",
            param="model",
            details={"fields": [{"path": "model", "expected": expected, "found": finding}]},
        )
    if name in models:
        return name
    if any_model and default:
        return default
    raise ModelNotFound(model=name[:128], param="model")


def _listed(models: Iterable[str]) -> str:
    names = list(models)
    return (
        ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        if names
        else "none is configured"
    )


def invalid_fields(faults: Iterable[tuple[str, str, str]]) -> InvalidRequest:
    """One error for all wrong fields, each with path, expectation and finding."""
    fields = [
        {"path": path, "expected": expected, "found": found} for path, expected, found in faults
    ]
    first = fields[0]
    more = f" ({len(fields) - 1} more in details.fields)" if len(fields) > 1 else ""
    return InvalidRequest(
        reason=f"{first['path']} must be {first['expected']}; found {first['found']}{more}.",
        param=first["path"],
        details={"fields": fields},
    )
