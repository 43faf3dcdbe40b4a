"""The whole table of routes of both listeners, walked without a key: nothing but the public ones answers."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from lab.command import rempart
from lab.gateway import INFERENCE_ONLY, KEY, running_gateway
from lab.http_client import request
from lab.server import ADMIN_KEY, RempartServer, running_server, until
from lab.upstream_process import upstream_process
from lab.upstream_server import config_for, upstream
from rempart.domain.keys import Scope
from rempart.gateway.routes import PUBLIC, table
from rempart.settings.model import Server

PUBLIC_PATHS = {"/livez", "/readyz", "/health", "/docs", "/openapi.json"}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
OWN_ROUTE = '[[routes]]\npath = "/v1/own"\nmodel = "far"\n'
UNLIMITED = ("--limit", "requests_per_minute=none", "--limit", "requests_per_hour=none")
ODD = (
    "/", "/v1", "/v1/", "/V1/models", "//v1/models", "/v1//models", "/v1/models/", "/v1/Models",
    "/%761/models", "/v1%2Fmodels", "/v1/../v1/models", "/livez/..;/v1/models", "/v1/models;a=b",
    "/livez/../metrics", "/livez/", "//livez", "/LIVEZ", "/livez%2F..%2Fmetrics", "/livez;/metrics",
    "/metrics/", "/Metrics", "//metrics", "/%6detrics", "/health/", "/docs/", "/docs/..;/metrics",
    "/openapi.json/", "/openapi.JSON", "/api/keys", "/api/models", "/v1/models%00", "/v1\\models",
)  # fmt: skip
"""None of them is a route; each is one to who reads paths in another way."""


def test_the_data_plane(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as gateway:
            routes = gateway.worker.routes.routes
            assert {route.path for route in routes if route.scope == PUBLIC} == PUBLIC_PATHS
            for route in routes:
                path = route.path.replace("{id}", "far")
                for method in route.methods:
                    bare = await request(
                        gateway.port, method, path, body={} if method == "POST" else None
                    )
                    assert (bare.status != 401) == (route.path in PUBLIC_PATHS), (method, path)
                    wrong = await request(gateway.port, method, path, key="k" * 40)
                    assert (wrong.status != 401) == (route.path in PUBLIC_PATHS), (method, path)
                    if route.scope not in (PUBLIC, "inference"):
                        narrow = await request(gateway.port, method, path, key=INFERENCE_ONLY)
                        assert narrow.status == 403, (method, path)
                # One letter beside it, and it is as unknown as anything.
                assert (await request(gateway.port, "GET", path + "x")).status == 401
            for odd in (
                "/",
                "/v1",
                "/v1/",
                "/V1/models",
                "//v1/models",
                "/v1/models/../models",
                "/%761/models",
            ):
                assert (await request(gateway.port, "GET", odd)).status == 401, odd
            known = await request(gateway.port, "GET", "/v1/models", key=KEY)
            assert known.status == 200

    uvloop.run(scenario())


def test_below_a_base_path_nothing_is_at_the_root(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = Server(base_path="/llm")
        async with running_gateway(tmp_path, server=settings) as gateway:
            for path in ("/llm/livez", "/llm/health"):
                assert (await request(gateway.port, "GET", path)).status in (200, 503), path
            models = await request(gateway.port, "GET", "/llm/v1/models", key=KEY)
            assert models.status == 200
            for odd in (
                *("/livez", "/v1/models", "/llm", "/llm/", "/llmx/v1/models", "/llm//v1/models"),
                *("//llm/livez", "/LLM/livez", "/llm/../livez", "/llm%2Flivez", "/llm/llm/livez"),
                *("/llm/..;/metrics", "/llm/livez/", "/%6clm/v1/models"),
            ):
                assert (await request(gateway.port, "GET", odd)).status == 401, odd
                known = await request(gateway.port, "GET", odd, key=KEY)
                assert known.status == 404, odd

    uvloop.run(scenario())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RempartServer]:
    folder = tmp_path_factory.mktemp("routes")
    more = "[limits.address]\nrequests_per_minute = 100000\n"
    with (
        upstream_process() as far,
        running_server(folder, config_for(far, more=more) + OWN_ROUTE) as one,
    ):
        yield one.until_ready()


@pytest.fixture(scope="module")
def keys(server: RempartServer) -> dict[str, str]:
    """A key of each scope, and of no other."""
    made = {}
    for scope in Scope:
        command = ["keys", "create", "--name", "t", "--scope", scope, *UNLIMITED, "--json"]
        ran = rempart(*command, "--data-dir", str(server.data_dir), cwd=server.folder)
        assert ran.code == 0, ran.err
        made[scope.value] = str(json.loads(ran.out)["key"])
    return made


def rows() -> dict[str, tuple[tuple[str, ...], str]]:
    """path → methods and scope, from the table itself and from the configuration's own route."""
    operations: Any = defaultdict(object)
    found = {
        route.path.replace("{id}", "far"): (route.methods, route.scope)
        for route in table(operations, metrics_open=False)
    }
    assert len(found) > 12
    return found | {"/v1/own": (("POST",), Scope.INFERENCE.value)}


@pytest.mark.requirement("check-invalid-keys", "after-authentication")
def test_each_scope_opens_its_own_routes_only(server: RempartServer, keys: dict[str, str]) -> None:
    async def scenario() -> None:
        for path, (methods, scope) in rows().items():
            for method in METHODS:
                body: dict[str, Any] | None = {} if method == "POST" else None
                bare = await request(server.port, method, path, body=body)
                if method == "OPTIONS":
                    assert bare.body == b"", path
                    continue
                is_open = scope == PUBLIC and method in methods
                assert (bare.status != 401) == is_open, (method, path, bare.status)
                for has, key in keys.items():
                    answer = await request(server.port, method, path, key=key, body=body)
                    if method not in methods:
                        assert answer.status == 405, (method, path, has, answer.status)
                    elif scope in (PUBLIC, has):
                        assert answer.status not in (401, 403, 404, 405), (method, path, has)
                    else:
                        assert answer.status == 403, (method, path, has, answer.status)

    asyncio.run(scenario())


@pytest.mark.requirement("check-invalid-keys")
def test_a_path_has_one_spelling(server: RempartServer, keys: dict[str, str]) -> None:
    async def scenario() -> None:
        for odd in ODD:
            for method in ("GET", "POST"):
                bare = await request(server.port, method, odd)
                assert bare.status == 401, (method, odd, bare.status)
                for has, key in keys.items():
                    answer = await request(server.port, method, odd, key=key)
                    assert answer.status in (403, 404), (method, odd, has, answer.status)
        unknown = await request(server.port, "FETCH", "/livez")
        assert unknown.status in (400, 405, 501)

    asyncio.run(scenario())


def test_control(tmp_path: Path) -> None:
    with upstream() as fake, running_server(tmp_path, config_for(fake)) as server:
        server.until_ready()
        until(lambda: server.get("/livez", control=True)[0] == 200, 20, "control serves")

        async def scenario() -> None:
            document = (await request(server.control_port, "GET", "/openapi.json")).json
            assert document["paths"]
            for path, methods in document["paths"].items():
                for method in methods:
                    concrete = (
                        path.replace("{model_id}", "far")
                        .replace("{id}", "far")
                        .replace("{name}", "far")
                    )
                    bare = await request(server.control_port, method.upper(), concrete)
                    is_public = path in {"/livez", "/docs", "/openapi.json"}
                    assert (bare.status != 401) == is_public, (method, path)
            assert (await request(server.control_port, "GET", "/api/nothing")).status == 401
            listed = await request(server.control_port, "GET", "/api/models", key=ADMIN_KEY)
            assert [item["id"] for item in listed.json["items"]] == ["far"]

        asyncio.run(scenario())
