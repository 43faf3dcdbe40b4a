"""Keys at the gateway's door, over real connections: who gets in, what they see, and how it ends."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import uvloop

from lab.gateway import KEY, Gateway, running_gateway, stored_key
from lab.http_client import Answer, Connection, request
from rempart.base.clock import SystemClock
from rempart.domain.key_format import make_key
from rempart.domain.keys import StoredKey
from rempart.settings.model import Server
from rempart.settings.protection import Lockout

LIMITED = make_key("limitedkey00", "L" * 33)
INFERENCE = frozenset({"inference"})
MESSAGES = [{"role": "user", "content": "hello"}]


def now_s() -> float:
    return SystemClock().wall().timestamp()


def publish(gateway: Gateway, *keys: StoredKey) -> None:
    gateway.worker.state.keys.publish(keys=keys, projects=[], now_ms=int(now_s() * 1000))


async def get(gateway: Gateway, path: str = "/v1/models", key: str = KEY, **more: Any) -> Answer:
    return await request(gateway.port, "GET", path, key=key, **more)


def code(answer: Answer) -> str:
    return str(answer.json["error"]["code"])


@pytest.mark.requirement("problem-authentication")
def test_a_key_sees_and_uses_only_the_models_it_may(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as gateway:
            publish(gateway, stored_key(LIMITED, models=("far",), scopes=INFERENCE))
            listed = await get(gateway, key=LIMITED)
            assert [model["id"] for model in listed.json["data"]] == ["far"]
            assert len((await get(gateway)).json["data"]) == 2
            assert (await get(gateway, "/v1/models/far", LIMITED)).status == 200
            for path in ("/v1/models/near", "/v1/models/nothing"):
                refused = await get(gateway, path, LIMITED)
                assert (refused.status, code(refused)) == (403, "model_not_allowed")
            for model, status in (("far", 200), ("near", 403), ("nothing", 403)):
                for path, body in (
                    ("/v1/chat/completions", {"messages": MESSAGES}),
                    ("/v1/completions", {"prompt": "x"}),
                    ("/v1/embeddings", {"input": "x"}),
                    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5}),
                    ("/v1/responses", {"input": "x", "store": False}),
                    ("/v1/tokenize", {"input": "x"}),
                ):
                    answer = await request(
                        gateway.port, "POST", path, key=LIMITED, body={"model": model, **body}
                    )
                    if status == 403:
                        assert answer.status == 403, (path, model, answer.body)
                        assert answer.json["error"]["code"] == "model_not_allowed"
                    else:
                        assert answer.status != 403, (path, model, answer.body)
            refused = await request(gateway.port, "POST", "/generate", key=LIMITED, body={})
            assert (refused.status, code(refused)) == (403, "model_not_allowed")

    uvloop.run(scenario())


async def streaming(gateway: Gateway, key: str) -> Connection:
    """A connection whose stream has begun and would go on for a minute."""
    connection = await Connection.open(gateway.port)
    body = {
        "model": "near", "messages": MESSAGES, "stream": True,
        "user": "chunks=1200 interval_ms=50",
    }  # fmt: skip
    await connection.send("POST", "/v1/chat/completions", key=key, body=body)
    assert await connection.head() == 200
    await connection.chunk()
    return connection


async def last_event(connection: Connection) -> Any:
    """The last event of a stream, within two seconds."""
    data = b""
    async with asyncio.timeout(2):
        while chunk := await connection.chunk():
            data += chunk
    return json.loads(data.decode().strip().rpartition("data: ")[2])


@pytest.mark.requirement("problem-authentication")
@pytest.mark.parametrize(
    ("what", "expected"),
    [("revoke", "revoked_api_key"), ("expire", "expired_api_key"), ("remove", "revoked_api_key")],
)
def test_a_running_stream_ends_with_its_key(tmp_path: Path, what: str, expected: str) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as gateway, asyncio.TaskGroup() as tasks:
            upkeep = tasks.create_task(gateway.worker.upkeep.run())
            expires = {"expires_s": now_s() + 0.7} if what == "expire" else {}
            publish(gateway, stored_key(LIMITED, **expires))
            stream, other = await streaming(gateway, LIMITED), await streaming(gateway, KEY)
            if what == "revoke":
                publish(gateway, stored_key(LIMITED, revoked_s=now_s()))
            elif what == "remove":
                gateway.worker.state.keys.publish_all(
                    keys=[stored_key(KEY)], projects=[], now_ms=int(now_s() * 1000)
                )
            event = await last_event(stream)
            assert event["error"]["code"] == expected
            assert (await other.chunk()).startswith(b"data: ")  # nobody else's has ended
            refused = await get(gateway, key=LIMITED)
            assert refused.status == 401
            assert gateway.records[0].error_code == expected
            assert gateway.records[0].key_id == "limitedkey00"
            other.writer.close()
            stream.writer.close()
            await gateway.until_idle()
            upkeep.cancel()

    uvloop.run(scenario())


def test_a_stream_goes_on_after_a_rotation_until_the_grace_is_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as gateway, asyncio.TaskGroup() as tasks:
            upkeep = tasks.create_task(gateway.worker.upkeep.run())
            before = stored_key(LIMITED)
            publish(gateway, before)
            stream = await streaming(gateway, LIMITED)
            new = make_key("limitedkey00", "M" * 33)
            publish(
                gateway,
                stored_key(
                    new,
                    old_digest=before.digest,
                    old_pepper_id=before.pepper_id,
                    old_until_s=now_s() + 1.0,
                ),
            )
            for _ in range(8):
                assert await stream.chunk()
            assert (await get(gateway, key=new)).status == 200
            assert (await get(gateway, key=LIMITED)).status == 200
            assert (await last_event(stream))["error"]["code"] == "expired_api_key"
            assert code(await get(gateway, key=LIMITED)) == "expired_api_key"
            stream.writer.close()
            await gateway.until_idle()
            upkeep.cancel()

    uvloop.run(scenario())


def test_wrong_keys_block_their_address_and_nobody_s_good_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = Lockout(failures=3, block_s=300)
        async with running_gateway(tmp_path, lockout=settings) as gateway:
            wrong = [await get(gateway, key=f"wrong-{number}") for number in range(5)]
            assert [answer.status for answer in wrong] == [401, 401, 429, 429, 429]
            error = wrong[-1].json["error"]
            assert error["code"] == "rate_limit_exceeded"
            assert error["details"]["limit_name"] == "failed_authentications"
            assert wrong[-1].headers["retry-after"] == "300"
            assert wrong[-1].headers["x-should-retry"] == "false"
            assert (await get(gateway)).status == 200
            assert (await request(gateway.port, "GET", "/v1/models")).status == 401
            gateway.worker.upkeep.report()
            (found,) = gateway.worker.state.lockout.collect(10)
            assert (found.address, found.code, found.count) == ("127.0.0.1", "invalid_api_key", 5)

    uvloop.run(scenario())


def test_behind_a_trusted_proxy_each_client_is_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(
            tmp_path, server=Server(trusted_proxies=["127.0.0.1"]), lockout=Lockout(failures=2)
        ) as gateway:
            publish(gateway, stored_key(LIMITED, networks=("192.0.2.0/24",)))

            async def asked(client: str, key: str) -> int:
                return (
                    await get(gateway, key=key, headers={"x-forwarded-for": f"9.9.9.9, {client}"})
                ).status

            assert [await asked("198.51.100.1", "wrong") for _ in range(3)] == [401, 429, 429]
            assert await asked("198.51.100.2", "wrong") == 401
            assert await asked("192.0.2.5", LIMITED) == 200
            assert await asked("198.51.100.3", LIMITED) == 403
            assert (await get(gateway, key=LIMITED)).status == 403
            addresses = [record.address for record in gateway.records]
            assert addresses[:4] == ["198.51.100.1"] * 3 + ["198.51.100.2"]
            assert addresses[-1] == "127.0.0.1"

    uvloop.run(scenario())


def test_without_published_keys_the_answer_is_503_and_never_401(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as gateway:
            gateway.worker.state.keys.confirm(int((now_s() - 2 * 86400) * 1000))
            for key in (KEY, "wrong"):
                answer = await get(gateway, key=key)
                assert (answer.status, code(answer)) == (503, "state_unavailable")
                assert answer.headers["retry-after"] == "1"
            ready = await request(gateway.port, "GET", "/readyz")
            assert ready.status == 503
            assert "keys are not published" in ready.json["reasons"][0]
            gateway.worker.state.keys.confirm(int(now_s() * 1000))
            assert (await get(gateway)).status == 200

    uvloop.run(scenario())


def test_uses_of_keys_are_left_for_control(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_gateway(tmp_path) as gateway:
            await get(gateway)
            await get(gateway)
            gateway.worker.upkeep.report()
            (use,) = gateway.worker.state.keys.collect_uses(10)
            assert use.key_id == "labkey000000"
            assert abs(use.at_ms / 1000 - now_s()) < 60

    uvloop.run(scenario())


def test_no_secret_reaches_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        log = tmp_path / "api.log"
        async with running_gateway(tmp_path, log_file=str(log)) as gateway:
            for key in (KEY, "a-wrong-key-that-somebody-typed-in-here", LIMITED[:-1] + "0"):
                await get(gateway, key=key)
                await request(gateway.port, "GET", "/v1/models", headers={"x-api-key": key})
        text = log.read_text()
        assert "request" in text
        for secret in (KEY, KEY[17:], "a-wrong-key", LIMITED[17:50]):
            assert secret not in text

    uvloop.run(scenario())
