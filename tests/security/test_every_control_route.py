"""Control's whole table of routes, taken from the application itself: a new one cannot be forgotten."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import lab.control_server
from lab.control_server import control_server
from lab.http_client import request
from rempart.control.access import PUBLIC, READING

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")


def test_nothing_answers_without_a_key_of_the_right_scope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    build = lab.control_server.build_app

    def build_and_keep(**arguments: Any) -> Any:
        built.append(build(**arguments))
        return built[-1]

    monkeypatch.setattr(lab.control_server, "build_app", build_and_keep)

    async def walk(port: int, paths: set[str]) -> None:
        for path in sorted(paths):
            for method in METHODS:
                bare = await request(port, method, path)
                if path in PUBLIC:
                    assert bare.status in (200, 405), (method, path)
                    continue
                assert bare.status == 401, (method, path)
                wrong = await request(port, method, path, key="k" * 40)
                assert wrong.status == 401, (method, path)
                narrow = await request(port, method, path, key="infers-only")
                assert narrow.status == 403, (method, path)
                if method not in READING:
                    reader = await request(port, method, path, key="reads-only")
                    assert reader.status == 403, (method, path)
        for odd in ("/", "/API/models", "//api/models", "/api/models/", "/api/%2e%2e/livez",
                    "/livez/", "/livez/..;/api/models", "/docs/../api/keys", "/LIVEZ"):  # fmt: skip
            assert (await request(port, "GET", odd)).status == 401, odd

    with control_server(tmp_path) as server:
        api = built[0]._app
        paths = set(api.openapi()["paths"])
        paths |= {str(route.path) for route in api.routes if hasattr(route, "path")}
        assert len(paths) > 10
        asyncio.run(walk(server.port, {re.sub(r"\{[^}]+\}", "demo", path) for path in paths}))
