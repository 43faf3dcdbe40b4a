"""The table alone decides who may ask what; what it does not name is asked for a key first."""

import re
from typing import Any

import pytest

from rempart.domain.keys import ALL_SCOPES
from rempart.gateway.exchange import Route
from rempart.gateway.operations.preflight import Preflight
from rempart.gateway.routes import PUBLIC, RouteTable, table
from rempart.wire.openapi import openapi_document

OPEN = {"/livez", "/readyz", "/health", "/docs", "/openapi.json"}
CONTRACT = {
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/rerank"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/responses/input_tokens"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("POST", "/v1/tokenize"),
    *(
        (method, path)
        for method in ("GET", "HEAD")
        for path in (*OPEN, "/v1/models", "/v1/models/{id}", "/metrics")
    ),
}


class AnyOperations(dict[str, Any]):
    """An operation for every name, which is the name."""

    def __missing__(self, name: str) -> str:
        return name


def routes(*, metrics_open: bool = False) -> list[Route]:
    return table(AnyOperations(), metrics_open=metrics_open)


def routed(*more: Route) -> RouteTable:
    return RouteTable([*routes(), *more], Preflight())


def custom(path: str, *methods: str) -> Route:
    return Route(path=path, methods=methods or ("POST",), scope="inference", operation="custom")


def test_the_endpoints_are_the_contract_s() -> None:
    assert {(method, route.path) for route in routes() for method in route.methods} == CONTRACT


def test_only_what_the_contract_opens_is_public() -> None:
    assert {route.path for route in routes() if route.scope == PUBLIC} == OPEN
    assert {route.path for route in routes(metrics_open=True) if route.scope == PUBLIC} == {
        *OPEN,
        "/metrics",
    }


def test_everything_else_needs_a_scope_that_keys_have() -> None:
    for route in routes():
        assert route.scope in {PUBLIC, *ALL_SCOPES}
        wanted = "metrics" if route.path == "/metrics" else "inference"
        assert route.scope in (PUBLIC, wanted)


def test_each_operation_is_used_and_no_path_named_twice() -> None:
    paths = [route.path for route in routes()]
    assert len(set(paths)) == len(paths)
    operations = [route.operation for route in routes()]
    assert len(set(operations)) == len(operations)


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/livez", "livez"),
        ("HEAD", "/health", "health"),
        ("POST", "/v1/messages", "messages"),
        ("POST", "/v1/messages/count_tokens", "messages_count_tokens"),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/a", "model"),
        ("GET", "/v1/models/org/name", "model"),
        ("GET", "/v1/models/org%2Fname", "model"),
    ],
)
def test_a_row_is_found_by_method_and_path(method: str, path: str, operation: str) -> None:
    found = routed().find(method, path)
    assert found is not None
    assert found.operation == operation


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/livez"),
        ("get", "/livez"),
        ("GET", "/livez/"),
        ("GET", "//livez"),
        ("GET", "/LIVEZ"),
        ("GET", "/livez%00"),
        ("GET", "/v1"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1//chat/completions"),
        ("POST", "/v1/../v1/chat/completions"),
        ("GET", ""),
        ("GET", "/"),
    ],
)
def test_nothing_that_is_not_written_in_the_table_is_found(method: str, path: str) -> None:
    assert routed().find(method, path) is None


def test_the_methods_a_path_takes_are_told() -> None:
    routes = routed(custom("/generate", "POST", "PUT"), custom("/generate", "GET"))
    assert routes.allowed("/v1/chat/completions") == ("POST",)
    assert routes.allowed("/v1/models/x") == ("GET", "HEAD")
    assert routes.allowed("/generate") == ("POST", "PUT", "GET")
    assert routes.allowed("/nowhere") == ()
    assert routes.allowed("/v1/models/") == ()


def test_options_is_answered_alike_everywhere() -> None:
    """So that it tells nothing about what is there."""
    for path in ("/v1/chat/completions", "/nowhere", "/health"):
        found = routed().find("OPTIONS", path)
        assert found is not None
        assert found.scope == PUBLIC
        assert isinstance(found.operation, Preflight)


def test_a_route_of_one_s_own_may_take_options_itself() -> None:
    found = routed(custom("/generate", "OPTIONS")).find("OPTIONS", "/generate")
    assert found is not None
    assert found.operation == "custom"


def test_a_route_of_one_s_own_never_replaces_one_of_ours() -> None:
    routes = routed(custom("/v1/chat/completions"), custom("/health", "GET"))
    for method, path, operation in (
        ("POST", "/v1/chat/completions", "chat"),
        ("GET", "/health", "health"),
    ):
        found = routes.find(method, path)
        assert found is not None
        assert found.operation == operation


def test_the_openapi_document_names_every_path() -> None:
    described = {re.sub(r"\{[a-z_]+\}", "{id}", path) for path in openapi_document("", [])["paths"]}
    assert {route.path for route in routes()} == described
