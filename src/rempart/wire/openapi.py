"""The OpenAPI document of the data plane."""

from collections.abc import Iterable
from typing import Any

from rempart import __version__


def openapi_document(
    base_path: str, custom: Iterable[tuple[str, tuple[str, ...]]]
) -> dict[str, Any]:
    """The document, with the configured routes in it."""
    paths: dict[str, Any] = {}
    for path, methods in custom:
        paths[path] = {
            method.lower(): {"responses": {"200": {"description": "The runner's answer."}}}
            for method in methods
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rempart", "version": __version__},
        "servers": [{"url": base_path or "/"}],
        "paths": paths,
    }
