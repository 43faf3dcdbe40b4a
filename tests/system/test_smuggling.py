"""The corpus of malformed requests through a real nginx: what we see is what it saw, and never one more."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from lab.http1_corpus import CORPUS
from lab.http1_serving import serving
from lab.new_certificates import new_pair
from lab.nginx import running_nginx
from lab.server import running_server, until
from lab.upstream_process import upstream_process
from lab.upstream_server import config_for
from rempart.net.http1.errors import BodyMalformed
from rempart.net.http1.server import Reply, Request

pytestmark = [pytest.mark.system, pytest.mark.requirement("smuggling")]
TRUSTING = '[server]\ntrusted_proxies = ["127.0.0.1"]\n'


async def ask(port: int, data: bytes) -> None:
    """Send bytes as they are, and read until nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(1.5):
            await reader.read()
    except (TimeoutError, ConnectionError):
        pass
    writer.transport.abort()


TARGET_TOO = {'"path":"$uri"': '"path":"$uri","target":"$request_uri"'}
"""The access log tells the target as it was sent, too."""


def test_no_request_appears_that_nginx_did_not_see(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    async def note(request: Request, reply: Reply) -> None:
        seen.append((request.method, request.target.decode()))
        try:
            await request.read(1 << 20)
        except BodyMalformed:
            return
        reply.send(200, [], b"")

    async def scenario() -> None:
        async with serving(note) as served:
            with running_nginx(tmp_path, new_pair(tmp_path), served.port, TARGET_TOO) as nginx:
                asked = (ask(nginx.plain_port, item.data) for item in CORPUS.values())
                await asyncio.gather(*asked)
                passed = [line for line in nginx.seen() if line["upstream_status"]]
                assert len(seen) > 20
                ours = Counter(seen)
                # nginx tells an absolute target without a path as "?y"; "/?y" is what goes on.
                theirs = Counter(
                    (line["method"], "/" * (line["target"][:1] == "?") + line["target"])
                    for line in passed
                )
                assert (
                    ours - theirs == Counter()
                )  # ours may be fewer: what nginx passes on, we may refuse
                assert not any("smuggled" in str(target) for _, target in seen)

    asyncio.run(scenario())


def test_a_real_server_records_what_nginx_passed_on_one_for_one(tmp_path: Path) -> None:
    """By request id, which nginx makes: each that was answered is one request there, of the same status."""
    with (
        upstream_process() as far,
        running_server(tmp_path, config_for(far, more=TRUSTING)) as server,
    ):
        server.until_ready()
        (folder := tmp_path / "nginx").mkdir()
        with running_nginx(folder, new_pair(folder), server.port, TARGET_TOO) as nginx:

            async def scenario() -> None:
                asked = (ask(nginx.plain_port, item.data) for item in CORPUS.values())
                await asyncio.gather(*asked)

            asyncio.run(scenario())
            # A preflight leaves no record.
            passed = {
                line["id"]: line["status"]
                for line in nginx.seen()
                if line["upstream_status"] and line["method"] != "OPTIONS"
            }
        assert len(passed) > 20
        refused = {
            line["id"]: line["status"] for line in server.log() if line["event"] == "http_refused"
        }

        def recorded() -> dict[str, int]:
            return {
                line["request_id"]: line["status"]
                for line in server.log()
                if line["event"] == "request"
            }

        until(lambda: len(recorded()) + len(refused) >= len(passed), 10, "every record is written")
        assert recorded() | refused == passed
        assert not any("smuggled" in str(line) for line in server.log())
