"""deploy/nginx.conf with a real nginx before a real server: streams, hang-ups, bodies, refusals, addresses."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.fake_upstream import FakeUpstream
from lab.http_client import Connection, request
from lab.new_certificates import Pair, new_pair
from lab.nginx import Nginx, directive, running_nginx
from lab.server import ADMIN_KEY, RempartServer, running_server, until
from lab.upstream_server import chat, config_for, upstream
from rempart.settings.model import Deadline, Server

pytestmark = [pytest.mark.system, pytest.mark.requirement("gap-tls")]
CHAT = "/v1/chat/completions"
TRUSTING = '[server]\ntrusted_proxies = ["127.0.0.1"]\n'


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeUpstream]:
    with upstream() as one:
        yield one


@pytest.fixture(scope="module")
def server(fake: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RempartServer]:
    folder = tmp_path_factory.mktemp("rempart")
    with running_server(folder, config_for(fake, more=TRUSTING)) as one:
        yield one.until_ready()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return new_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def nginx(
    server: RempartServer, pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    with running_nginx(folder, pair, server.port) as one:
        # Opens the connections that stay: of nginx to Rempart, of Rempart to the upstream.
        asyncio.run(request(one.plain_port, "POST", CHAT, key=ADMIN_KEY, body=chat()))
        yield one


def records(server: RempartServer) -> list[dict[str, Any]]:
    return [line for line in server.log() if line["event"] == "request"]


def record_of(server: RempartServer, request_id: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        return next((one for one in records(server) if one["request_id"] == request_id), None)

    return dict(until(found, 10, f"the record of {request_id}"))


def test_chunks_come_one_by_one_over_tls(nginx: Nginx, pair: Pair) -> None:
    async def scenario() -> None:
        reader, writer = await asyncio.open_connection("localhost", nginx.port, ssl=pair.client())
        connection = Connection(reader, writer)
        await connection.send("POST", CHAT, key=ADMIN_KEY, body=chat("chunks=5 interval_ms=200"))
        assert await connection.head() == 200
        assert connection.headers["strict-transport-security"].startswith("max-age=")
        assert "nginx/" not in connection.headers.get("server", "")
        loop, times, last = asyncio.get_running_loop(), [], b""
        while piece := await connection.chunk():
            times.append(loop.time())
            last = piece
        assert last.endswith(b"data: [DONE]\n\n")
        assert len(times) >= 5
        assert times[-1] - times[0] > 0.5  # not held back and sent together
        await connection.close()

    asyncio.run(scenario())


def test_big_bodies_go_through_and_bigger_ones_are_refused_in_our_shape(nginx: Nginx) -> None:
    big = chat(stream=False)
    big["messages"] = [{"role": "user", "content": "x" * 900_000}]

    async def scenario() -> None:
        taken = await request(nginx.plain_port, "POST", CHAT, key=ADMIN_KEY, body=big)
        assert taken.status in (200, 400), taken.body[:300]  # a model may have less room
        assert b"answered_by" not in taken.body
        refused = await request(
            nginx.plain_port, "POST", CHAT, key=ADMIN_KEY, body=b"x" * (1024 * 1024 + 1)
        )
        assert (refused.status, refused.json["error"]["code"]) == (413, "body_too_large")
        assert refused.headers["content-type"] == "application/json"
        assert refused.headers["x-should-retry"] == "false"
        assert refused.headers["x-request-id"] == refused.json["error"]["request_id"]

    asyncio.run(scenario())
    assert not any((nginx.folder / "client_body").rglob("*[0-9]")), "a prompt was written to a file"


def test_errors_and_their_headers_are_ours(nginx: Nginx) -> None:
    async def scenario() -> None:
        answer = await request(nginx.plain_port, "POST", CHAT, body={})
        assert (answer.status, answer.json["error"]["code"]) == (401, "missing_api_key")
        busy = chat("status=429 retry_after=7", stream=False)
        limited = await request(nginx.plain_port, "POST", CHAT, key=ADMIN_KEY, body=busy)
        assert limited.status == 429
        assert int(limited.headers["retry-after"]) >= 1
        assert "retry-after-ms" in limited.headers

    asyncio.run(scenario())


def test_both_logs_name_a_request_alike_and_the_address_is_the_clients(
    nginx: Nginx, server: RempartServer
) -> None:
    forged = {
        "x-forwarded-for": "203.0.113.9",
        "forwarded": "for=203.0.113.9",
        "x-request-id": "mine-1",
    }
    plain = {"x-forwarded-for": "203.0.113.9"}

    async def scenario() -> str:
        for headers in (forged, plain):
            answer = await request(
                nginx.plain_port, "POST", CHAT, key=ADMIN_KEY, body=chat(), headers=headers
            )
            assert answer.status == 200
        return answer.headers["x-request-id"]

    made = asyncio.run(scenario())
    until(lambda: nginx.seen() and nginx.seen()[-1]["id"] == made, 10, "nginx's line")
    for request_id in ("mine-1", made):
        assert record_of(server, request_id)["address"] == "127.0.0.1"
        (line,) = [line for line in nginx.seen() if line["id"] == request_id]
        assert (line["address"], line["path"], line["status"]) == ("127.0.0.1", CHAT, 200)


def test_plain_http_is_sent_away_with_its_method(nginx: Nginx) -> None:
    async def scenario() -> None:
        answer = await request(nginx.redirect_port, "POST", "/v1/x?y", body={})
        assert answer.status == 308
        assert answer.headers["location"] == "https://test/v1/x?y"

    asyncio.run(scenario())


def test_old_versions_get_no_handshake(nginx: Nginx, pair: Pair) -> None:
    async def scenario() -> None:
        client = pair.client()
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
        client.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("localhost", nginx.port, ssl=client)

    asyncio.run(scenario())


def test_a_server_that_is_away_is_told_in_our_shape(pair: Pair, tmp_path: Path) -> None:
    with running_nginx(tmp_path, pair, 1) as nginx:
        answer = asyncio.run(request(nginx.plain_port, "GET", "/livez"))
        assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_error")
        assert answer.headers["retry-after"] == "2"
        assert json.loads(answer.body)["error"]["timestamp"]


def test_its_bounds_fit_ours() -> None:
    """Whoever changes one side changes the other."""
    ours, clocks = Server(), Deadline()
    assert directive("client_max_body_size") == f"{ours.body_bytes_max // 2**20}m"
    assert int(directive("proxy_read_timeout").rstrip("s")) > clocks.total_s
    assert int(directive("keepalive_timeout").rstrip("s")) < ours.idle_s
    assert int(directive("client_header_timeout").rstrip("s")) == ours.header_read_s


def test_a_hang_up_reaches_the_upstream(nginx: Nginx, fake: FakeUpstream) -> None:
    """The last one here, since it costs the connection to the upstream that all others share."""

    async def scenario() -> None:
        connection = await Connection.open(nginx.plain_port)
        await connection.send("POST", CHAT, key=ADMIN_KEY, body=chat("chunks=500 interval_ms=50"))
        assert await connection.head() == 200
        await connection.chunk()
        assert fake.answering == 1
        await connection.close()
        async with asyncio.timeout(5):
            while fake.answering:
                await asyncio.sleep(0.02)

    asyncio.run(scenario())
