"""The corpus of malformed requests through a real nginx: what we see is what it saw, and never one more."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from lab.http1_corpus import CORPUS
from lab.http1_serving import serving
from lab.new_certificates import new_pair
from lab.nginx import running_nginx
from rempart.net.http1.errors import BodyMalformed
from rempart.net.http1.server import Reply, Request

pytestmark = [pytest.mark.system, pytest.mark.requirement("smuggling")]


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


def test_no_request_appears_that_nginx_did_not_see(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    async def note(request: Request, reply: Reply) -> None:
        seen.append((request.method, request.target))
        try:
            await request.read(1 << 20)
        except BodyMalformed:
            return
        reply.send(200, [], b"")

    async def scenario() -> None:
        async with serving(note) as served:
            with running_nginx(tmp_path, new_pair(tmp_path), served.port) as nginx:
                asked = (ask(nginx.plain_port, item.data) for item in CORPUS.values())
                await asyncio.gather(*asked)
                passed = [line for line in nginx.seen() if line["upstream_status"]]
                assert len(seen) > 20
                ours = Counter(method for method, _ in seen)
                theirs = Counter(line["method"] for line in passed)
                assert not ours - theirs  # ours may be fewer: what nginx passes on, we may refuse
                assert not any("smuggled" in str(target) for _, target in seen)

    asyncio.run(scenario())
