"""What browsers are told by every answer of the data plane: headers that guard, and CORS when it is on."""

import asyncio
from pathlib import Path

import pytest
import uvloop

from lab.gateway import KEY, Gateway, running_gateway
from lab.http_client import Answer, Connection, request
from lab.upstream_server import chat
from rempart.settings.protection import Cors

PAGE = "https://app.example"
CHAT = "/v1/chat/completions"
CORS = Cors(origins=[PAGE])


async def every_kind(gateway: Gateway, **headers: str) -> dict[str, Answer]:
    """An answer of each kind."""

    async def ask(method: str, path: str, body: object = None, key: str = KEY) -> Answer:
        return await request(gateway.port, method, path, key=key, body=body, headers=headers)

    return {
        "stream": await ask("POST", CHAT, chat()),
        "whole": await ask("POST", CHAT, chat(stream=False)),
        "error in the stream": await ask("POST", CHAT, chat("then=cut")),
        "no key": await ask("POST", CHAT, chat(), key=""),
        "unknown path": await ask("GET", "/nothing"),
        "wrong method": await ask("DELETE", CHAT),
        "wrong body": await ask("POST", CHAT, b"{"),
        "messages, no key": await ask("POST", "/v1/messages", {}, key=""),
        "probe": await ask("GET", "/livez", key=""),
        "health": await ask("GET", "/health", key=""),
        "page": await ask("GET", "/docs", key=""),
        "document": await ask("GET", "/openapi.json", key=""),
        "custom route": await ask("POST", "/generate", {}),
    }


def test_every_answer_guards_its_reader(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as gateway:
            for kind, answer in (await every_kind(gateway)).items():
                said = answer.headers
                assert said["x-content-type-options"] == "nosniff", kind
                assert said["cross-origin-resource-policy"] == "same-origin", kind
                assert said["cache-control"] == "private, no-store", kind
                assert not {"server", "x-powered-by", "strict-transport-security"} & set(said), kind
                assert not any(name.startswith("access-control") for name in said), kind
                if kind in ("probe", "health", "page", "document", "unknown path"):
                    assert said["x-frame-options"] == "DENY", kind
                    assert said["referrer-policy"] == "no-referrer", kind
            page = (await request(gateway.port, "GET", "/docs")).headers
            assert "frame-ancestors 'none'" in page["content-security-policy"]
            assert "script-src" not in page["content-security-policy"]
            assert "default-src 'none'" in page["content-security-policy"]

    uvloop.run(scenario())


def test_what_the_http_layer_refuses_is_guarded_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path, cors=CORS) as gateway:
            connection = await Connection.open(gateway.port)
            connection.writer.write(b"GET / HTTP/9.9\r\n\r\n")
            answer = await connection.answer()
            assert answer.status == 505
            assert answer.headers["x-content-type-options"] == "nosniff"
            await connection.close()

    uvloop.run(scenario())


def test_an_allowed_page_may_read_every_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path, cors=CORS) as gateway:
            for kind, answer in (await every_kind(gateway, origin=PAGE)).items():
                assert answer.headers["access-control-allow-origin"] == PAGE, kind
                exposed = answer.headers["access-control-expose-headers"].split(", ")
                assert "x-request-id" in exposed, kind
                assert answer.headers["vary"] == "origin", kind

    uvloop.run(scenario())


@pytest.mark.parametrize(
    "origin", ["https://app.example.evil.example", "null", "http://app.example", ""]
)
def test_another_page_may_read_none(tmp_path: Path, origin: str) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path, cors=CORS) as gateway:
            for kind, answer in (await every_kind(gateway, origin=origin)).items():
                assert "access-control-allow-origin" not in answer.headers, kind
                assert answer.headers["vary"] == "origin", kind

    uvloop.run(scenario())


def test_a_preflight_needs_no_key_and_tells_nothing_of_what_is_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path, cors=CORS) as gateway:
            answers = []
            for path in (CHAT, "/nothing", "/metrics", "/v1/models/far"):
                wants = {
                    "origin": PAGE,
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization, x-stainless-lang",
                }
                answer = await request(gateway.port, "OPTIONS", path, headers=wants)
                assert answer.status == 204
                assert answer.headers["access-control-allow-origin"] == PAGE
                assert "authorization" in answer.headers["access-control-allow-headers"]
                assert "POST" in answer.headers["access-control-allow-methods"].split(", ")
                assert answer.headers["access-control-max-age"] == "600"
                own = {
                    "x-request-id",
                    "date",
                    "server-timing",
                    "x-cache",
                    "x-frame-options",
                    "referrer-policy",
                }
                answers.append({k: v for k, v in answer.headers.items() if k not in own})
                other = {**wants, "origin": "https://evil.example"}
                refused = await request(gateway.port, "OPTIONS", path, headers=other)
                assert refused.status == 204
                assert not [name for name in refused.headers if name.startswith("access-control")]
            assert all(one == answers[0] for one in answers)

    uvloop.run(scenario())


def test_without_cors_no_preflight_gives_leave(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as gateway:
            wants = {"origin": PAGE, "access-control-request-method": "POST"}
            answer = await request(gateway.port, "OPTIONS", CHAT, headers=wants)
            assert answer.status == 204
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert "vary" not in answer.headers

    asyncio.run(scenario())
