"""A request as its handler sees it."""

from collections.abc import Callable

from lab.http1_serving import RawClient, serving
from rempart.net.http1.server import Reply, Request


def test_a_request_shows_all_that_was_sent(run: Callable) -> None:
    seen: list[object] = []

    async def look(request: Request, reply: Reply) -> None:
        seen.extend(
            [
                request.method,
                request.target,
                request.path,
                request.query,
                request.http_version,
                request.headers,
                request.header(b"x-y"),
                request.header(b"X-Y"),
                request.header(b"z"),
                request.content_length,
                request.has_body,
                request.peer,
                request.peer_port,
                await request.read(10),
            ]
        )
        reply.send(200, [], b"")

    async def main() -> None:
        async with serving(look) as served:
            with await RawClient.connect(served) as client:
                seen.append(client.sock.getsockname())
                await client.send(
                    b"PUT /a%20b?c=d HTTP/1.1\r\nHost: a\r\nX-Y: 1\r\nx-y: 2\r\nContent-Length: 2\r\n\r\nhi"
                )
                await client.read_answer()

    run(main())
    address, port = seen.pop(0)  # type: ignore[misc]  # a pair
    assert seen == [
        "PUT",
        b"/a%20b?c=d",
        "/a%20b",
        "c=d",
        "1.1",
        [(b"host", b"a"), (b"x-y", b"1"), (b"x-y", b"2"), (b"content-length", b"2")],
        b"1",
        None,
        None,
        2,
        True,
        address,
        port,
        b"hi",
    ]


def test_a_request_without_a_body_has_an_empty_one(run: Callable) -> None:
    seen: list[object] = []

    async def look(request: Request, reply: Reply) -> None:
        seen.extend([request.content_length, request.has_body, await request.read(0)])
        reply.send(200, [], b"")

    async def main() -> None:
        async with serving(look) as served:
            with await RawClient.connect(served) as client:
                await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await client.read_answer()

    run(main())
    assert seen == [None, False, b""]
