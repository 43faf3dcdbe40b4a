"""The whole table of routes of both listeners, walked without a key: nothing but the public ones answers."""

import asyncio
from pathlib import Path

import uvloop

from lab.gateway import INFERENCE_ONLY, KEY, running_gateway
from lab.http_client import request
from lab.server import ADMIN_KEY, running_server, until
from lab.upstream_server import config_for, upstream
from rempart.gateway.routes import PUBLIC

PUBLIC_PATHS = {"/livez", "/readyz", "/health", "/docs", "/openapi.json"}


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
