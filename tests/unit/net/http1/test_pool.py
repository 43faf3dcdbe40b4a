"""The pool over real sockets: connections kept, resent, held back, hung up."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.http1_serving import Served, client_tls, server_tls, serving, until
from lab.http1_upstream import Link, Upstream, polite, upstream
from rempart.net.http1.client import Headers, Pool
from rempart.net.http1.errors import (
    ConnectFailed,
    UpstreamClosed,
    UpstreamMalformed,
    UpstreamTooLarge,
    UpstreamTooSlow,
)
from rempart.net.http1.server import Reply, Request

MEBIBYTE = 1 << 20
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Listener:
    """A receiver that can be waited for."""

    def __init__(self) -> None:
        self.status = 0
        self.content = b""
        self.bytes = 0
        self.ended = asyncio.Event()
        self.started = asyncio.Event()
        self.error: Exception | None = None
        self.calls = 0

    def on_head(self, status: int, headers: Headers) -> None:
        self.status = status
        self.started.set()

    def on_data(self, data: bytes) -> None:
        self.bytes += len(data)
        if self.bytes < MEBIBYTE:
            self.content += data

    def on_end(self) -> None:
        self.calls += 1
        self.ended.set()

    def on_lost(self, error: Exception) -> None:
        self.calls += 1
        self.error = error
        self.ended.set()


async def ask(pool: Pool, path: bytes = b"/", body: bytes = b"") -> bytes:
    _, _, content = await pool.fetch(b"POST" if body else b"GET", path, [], body, MEBIBYTE, 10)
    return content


def test_a_request_has_what_http_wants_of_it(run: Callable) -> None:
    """Host and length are added; head and body are one write."""

    async def main() -> None:
        async with upstream(polite) as up:
            pool = Pool(up.url)
            await pool.fetch(b"POST", b"/a?b=c", [(b"x-y", b"z")], b"hello", 100, 10)
            await pool.fetch(b"GET", b"/", [], b"", 100, 10)
            await pool.fetch(b"POST", b"/", [], b"", 100, 10)
            host = up.url.removeprefix("http://").encode()
            assert up.requests == [
                b"POST /a?b=c HTTP/1.1\r\nhost: %b\r\ncontent-length: 5\r\nx-y: z\r\n\r\nhello"
                % host,
                b"GET / HTTP/1.1\r\nhost: %b\r\n\r\n" % host,
                b"POST / HTTP/1.1\r\nhost: %b\r\ncontent-length: 0\r\n\r\n" % host,
            ]
            await pool.close()

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        (b"GET", b"/ HTTP/1.1\r\nX: y", []),
        (b"GET", b"", []),
        (b"GET", b"/\xc3\xa9", []),
        (b"GE T", b"/", []),
        (b"get", b"/", []),
        (b"GET", b"/", [(b"x", b"y\r\nz: a")]),
        (b"GET", b"/", [(b"x", b"y\nz: a")]),
        (b"GET", b"/", [(b"x\r\ny", b"z")]),
        (b"GET", b"/", [(b"x", b"\0")]),
        (b"GET", b"/", [(b"host", b"b")]),
        (b"GET", b"/", [(b"content-length", b"5")]),
        (b"GET", b"/", [(b"transfer-encoding", b"chunked")]),
    ],
)
def test_a_head_that_could_smuggle_is_not_sent(
    method: bytes, path: bytes, headers: Headers
) -> None:
    async def main() -> None:
        pool = Pool("http://127.0.0.1:1")
        with pytest.raises(ValueError, match=r"."):
            await pool.call(method, path, headers, b"", Listener())

    asyncio.run(main())


@pytest.mark.parametrize(
    "url", ["ftp://a", "a:80", "http://", "http://a/v1", "http://a?b", "http://u@a", "http://a#b"]
)
def test_only_addresses_are_taken(url: str) -> None:
    with pytest.raises(ValueError, match="expected http://"):
        Pool(url)


def test_a_connection_is_kept_and_used_again(run: Callable) -> None:
    async def main() -> None:
        async with upstream(polite) as up:
            pool = Pool(up.url)
            assert [await ask(pool) for _ in range(5)] == [b"1", b"2", b"3", b"4", b"5"]
            assert (len(up.links), pool.idle_count, pool.open_count) == (1, 1, 1)
            async with asyncio.TaskGroup() as group:
                for _ in range(5):
                    group.create_task(ask(pool))
            assert len(up.links) == 5
            await pool.close()
            assert (pool.idle_count, pool.open_count) == (0, 0)

    run(main())


def test_not_more_than_so_many_are_kept(run: Callable) -> None:
    async def main() -> None:
        async with upstream(polite) as up:
            pool = Pool(up.url, idle_max=2)
            async with asyncio.TaskGroup() as group:
                for _ in range(6):
                    group.create_task(ask(pool))
            assert (pool.idle_count, pool.open_count) == (2, 2)
            await pool.close()

    run(main())


def test_not_longer_than_so_long_are_they_kept(run: Callable) -> None:
    async def main() -> None:
        async with upstream(polite) as up:
            pool = Pool(up.url, idle_s=0.05)
            await ask(pool)
            await until(lambda: pool.open_count == 0)
            assert await ask(pool) == b"2"
            assert len(up.links) == 2
            await pool.close()

    run(main())


def test_a_connection_that_the_server_closed_is_not_used_again(run: Callable) -> None:
    async def once(link: Link, up: Upstream) -> None:
        up.requests.append(await link.request())
        link.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % len(up.requests))

    async def main() -> None:
        async with upstream(once) as up:
            pool = Pool(up.url)
            assert await ask(pool) == b"1"
            await until(lambda: pool.open_count == 0)
            assert await ask(pool) == b"2"
            await pool.close()

    run(main())


def test_a_request_on_a_stale_connection_is_sent_once_more(run: Callable) -> None:
    """The server closes the kept connection in the very moment in which the request is on its way."""

    async def stale(link: Link, up: Upstream) -> None:
        up.requests.append(await link.request())
        if len(up.links) == 1:
            link.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
            up.requests.append(await link.request())  # and hangs up
        else:
            link.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")

    async def main() -> None:
        async with upstream(stale) as up:
            pool = Pool(up.url)
            assert await ask(pool, body=b"first") == b"1"
            assert await ask(pool, body=b"second") == b"2"
            assert [request[-6:] for request in up.requests[1:]] == [b"second"] * 2
            await pool.close()

    run(main())


def test_a_request_on_a_new_connection_is_not_sent_twice(run: Callable) -> None:
    """Nor is one that had a byte of its answer."""

    async def rude(link: Link, up: Upstream) -> None:
        up.requests.append(await link.request())
        if len(up.requests) == 2:
            link.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
            up.requests.append(await link.request())
            link.say(b"H")

    async def main() -> None:
        async with upstream(rude) as up:
            pool = Pool(up.url)
            with pytest.raises(UpstreamClosed, match="before it answered"):
                await ask(pool)
            assert await ask(pool) == b"1"
            with pytest.raises(UpstreamClosed, match="before it answered"):
                await ask(pool)
            assert len(up.requests) == 3
            await pool.close()

    run(main())


def test_a_request_that_the_server_worked_on_is_not_sent_twice(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies of a request must not get it again: stale shows at once or not at all."""
    monkeypatch.setattr("rempart.net.http1.pool._STALE_S", 0.02)

    async def dies(link: Link, up: Upstream) -> None:
        up.requests.append(await link.request())
        link.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
        up.requests.append(await link.request())
        await asyncio.sleep(0.1)

    async def main() -> None:
        async with upstream(dies) as up:
            pool = Pool(up.url)
            await ask(pool)
            with pytest.raises(UpstreamClosed):
                await ask(pool)
            assert len(up.requests) == 2
            await pool.close()

    run(main())


def test_a_resend_that_cannot_connect_says_so(run: Callable) -> None:
    async def last(link: Link, up: Upstream) -> None:
        await link.request()
        link.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
        await link.request()
        closing[0].close()
        await closing[0].wait_closed()

    closing: list[asyncio.Server] = []

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await last(Link(reader, writer), Upstream(""))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        closing.append(server)
        pool = Pool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await ask(pool)
        with pytest.raises(ConnectFailed):
            await ask(pool)
        await pool.close()

    run(main())


def test_cancelling_hangs_up(run: Callable) -> None:
    """The server behind sees it at once; the receiver hears nothing more; others are not touched."""

    async def main() -> None:
        hung_up = asyncio.Event()

        async def endless(link: Link, up: Upstream) -> None:
            await link.request()
            link.say(STREAM + b"2\r\nhi\r\n")
            await link.hang_up()
            hung_up.set()

        async with upstream(endless) as up:
            pool = Pool(up.url)
            listener = Listener()
            call = await pool.call(b"GET", b"/", [], b"", listener)
            await listener.started.wait()
            call.cancel()
            call.cancel()
            assert call.is_over
            await hung_up.wait()
            assert (listener.calls, pool.open_count) == (0, 0)
            early = await pool.call(b"GET", b"/", [], b"", listener)
            early.cancel()
            await until(lambda: pool.open_count == 0)
            assert listener.calls == 0
            await pool.close()

    run(main())


def test_a_late_cancel_or_pause_does_not_touch_the_next_call(run: Callable) -> None:
    """A call that is over has given its connection back."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def slow(link: Link, up: Upstream) -> None:
            while await link.request():
                if up.requests:
                    await go_on.wait()
                up.requests.append(b"")
                link.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        async with upstream(slow) as up:
            pool = Pool(up.url)
            first, second = Listener(), Listener()
            old = await pool.call(b"GET", b"/", [], b"", first)
            await first.ended.wait()
            await pool.call(b"GET", b"/", [], b"", second)
            old.pause()
            old.cancel()
            go_on.set()
            await second.ended.wait()
            assert (second.content, len(up.links)) == (b"hi", 1)
            await pool.close()

    run(main())


def test_a_pause_holds_the_upstream_back(run: Callable) -> None:
    """What is not read stays in the sockets' buffers, which are bounded, and so in the upstream."""

    async def main() -> None:
        sent = 0

        async def flood(link: Link, up: Upstream) -> None:
            nonlocal sent
            await link.request()
            link.say(STREAM)
            for _ in range(512):
                link.say(b"20000\r\n" + b"x" * 0x20000 + b"\r\n")
                await link.writer.drain()
                sent += 0x20000
            link.say(b"0\r\n\r\n")
            await link.request()

        async with upstream(flood) as up:
            pool = Pool(up.url)
            listener = Listener()
            call = await pool.call(b"GET", b"/", [], b"", listener)
            await listener.started.wait()
            call.pause()
            call.pause()
            paused_at, held = -1, -2
            while paused_at != sent or listener.bytes != held:  # until nothing moves any more
                paused_at, held = sent, listener.bytes
                await asyncio.sleep(0.1)
            assert sent < 64 * MEBIBYTE
            assert sent - listener.bytes < 32 * MEBIBYTE
            call.resume()
            call.resume()
            await listener.ended.wait()
            assert (listener.bytes, listener.error) == (64 * MEBIBYTE, None)
            await until(lambda: pool.idle_count == 1)
            await pool.close()

    run(main())


def test_a_call_that_ends_paused_gives_back_a_connection_that_reads(run: Callable) -> None:
    async def main() -> None:
        async with upstream(polite) as up:
            pool = Pool(up.url)
            listener = Listener()
            call = await pool.call(b"GET", b"/", [], b"", listener)
            listener.on_head = lambda *_: call.pause()  # type: ignore[method-assign]
            await listener.ended.wait()
            assert [await ask(pool) for _ in range(2)] == [b"2", b"3"]
            assert len(up.links) == 1
            await pool.close()

    run(main())


def test_an_answer_before_the_request_is_out_ends_the_connection(run: Callable) -> None:
    """The rest of a large body would stand in the way of the next request."""

    async def main() -> None:
        async def hasty(link: Link, up: Upstream) -> None:
            await link.reader.readuntil(b"\r\n\r\n")
            link.say(b"HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\nno")
            await link.writer.drain()
            await link.hang_up()

        async with upstream(hasty) as up:
            pool = Pool(up.url)
            listener = Listener()
            await pool.call(b"POST", b"/", [], b"x" * 64 * MEBIBYTE, listener)
            await listener.ended.wait()
            assert (listener.status, listener.error) == (413, None)
            assert pool.open_count == 0
            await pool.close()

    run(main())


def test_closing_the_pool_tells_the_calls_under_way(run: Callable) -> None:
    async def main() -> None:
        async def silent(link: Link, up: Upstream) -> None:
            await link.request()
            await link.hang_up()

        async with upstream(silent) as up:
            pool = Pool(up.url)
            listener = Listener()
            await pool.call(b"GET", b"/", [], b"", listener)
            await pool.close()
            assert str(listener.error) == "the pool was closed"
            assert listener.calls == 1
            with pytest.raises(ConnectFailed, match="closed"):
                await ask(pool)

    run(main())


# Connecting.


def test_a_refused_connection_is_said(run: Callable) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        pool = Pool(f"http://127.0.0.1:{port}")
        with pytest.raises(ConnectFailed):
            await ask(pool)
        with pytest.raises(ConnectFailed):
            await ask(Pool("unix:/nowhere/at/all"))
        await pool.close()

    run(main())


def test_a_connection_that_does_not_come_about_in_time_is_given_up(run: Callable) -> None:
    """Here: a TLS handshake that nobody answers."""

    async def main() -> None:
        async def silent(link: Link, up: Upstream) -> None:
            await link.hang_up()

        async with upstream(silent) as up:
            pool = Pool(up.url.replace("http:", "https:"), connect_s=0.1)
            with pytest.raises(ConnectFailed, match="no connection within"):
                await ask(pool)
            assert pool.open_count == 0
            await pool.close()

    run(main())


def test_a_name_is_resolved_without_stopping_the_loop(run: Callable) -> None:
    """And one that is not known is a failure to connect."""

    async def main() -> None:
        async with upstream(polite) as up:
            pool = Pool(up.url)  # http://localhost:…
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)

            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(tick())
                await ask(pool)
                ticking.cancel()
            assert ticks > 1
            await pool.close()
        with pytest.raises(ConnectFailed):
            await ask(Pool("http://a..b:80"))

    run(main())


def test_a_unix_socket_is_an_address(run: Callable, tmp_path: Path) -> None:
    async def main() -> None:
        async with upstream(polite, unix=tmp_path / "door") as up:
            pool = Pool(up.url)
            assert await ask(pool) == b"1"
            assert up.requests[0].startswith(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
            await pool.close()

    run(main())


def test_tls_is_checked_against_the_authority_given(run: Callable) -> None:
    async def number(request: Request, reply: Reply) -> None:
        reply.send(200, [], b"%d" % served.server.statistics().requests)

    async def main() -> None:
        nonlocal served
        async with serving(number, tls=server_tls()) as served:
            url = f"https://localhost:{served.port}"
            pool = Pool(url, ssl_context=client_tls())
            assert [await ask(pool) for _ in range(2)] == [b"1", b"2"]
            assert served.server.statistics().accepted == 1
            await pool.close()
            stranger = Pool(url)
            with pytest.raises(ConnectFailed, match="certificate"):
                await ask(stranger)
            await stranger.close()

    served: Served
    run(main())


def test_chunks_leave_at_once(run: Callable) -> None:
    async def main() -> None:
        async with upstream(polite) as up:
            pool = Pool(up.url)
            await ask(pool)
            (connection,) = pool._open
            sock = connection.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            await pool.close()

    run(main())


# fetch


def test_fetch_is_bounded_in_bytes_and_time(run: Callable) -> None:
    """What is above is given up, and hung up on."""

    async def main() -> None:
        hung_up = 0

        async def endless(link: Link, up: Upstream) -> None:
            nonlocal hung_up
            request = await link.request()
            link.say(STREAM)
            if b"/large" in request:
                link.say(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await link.hang_up()
            hung_up += 1

        async with upstream(endless) as up:
            pool = Pool(up.url)
            with pytest.raises(UpstreamTooLarge, match="longer than 1000 bytes"):
                await pool.fetch(b"GET", b"/large", [], b"", 1000, 10)
            with pytest.raises(UpstreamTooSlow, match=r"within 0\.5 s"):
                await pool.fetch(b"GET", b"/slow", [], b"", 1000, 0.5)
            await until(lambda: hung_up == 2)
            await pool.close()

    run(main())


def test_fetch_raises_what_went_wrong(run: Callable) -> None:
    async def main() -> None:
        async def broken(link: Link, up: Upstream) -> None:
            await link.request()
            up.requests.append(b"")
            link.say(b"nonsense\r\n\r\n" if len(up.requests) == 1 else STREAM)

        async with upstream(broken) as up:
            pool = Pool(up.url)
            with pytest.raises(UpstreamMalformed):
                await ask(pool)
            with pytest.raises(UpstreamClosed, match="in the middle"):
                await ask(pool)
            await pool.close()

    run(main())


def test_a_cancelled_fetch_hangs_up(run: Callable) -> None:
    async def main() -> None:
        async def silent(link: Link, up: Upstream) -> None:
            up.requests.append(await link.request())
            await link.hang_up()

        async with upstream(silent) as up:
            pool = Pool(up.url)
            async with asyncio.TaskGroup() as group:
                fetching = group.create_task(ask(pool))
                await until(lambda: up.requests)
                fetching.cancel()
            await until(lambda: pool.open_count == 0)
            await pool.close()

    run(main())


# Both sides together.


def test_a_stream_passes_through_both_sides_as_it_comes(run: Callable) -> None:
    """Server to client to server to client: every chunk arrives before the next is made."""

    async def main() -> None:
        turns = asyncio.Queue[bytes](1)

        async def source(request: Request, reply: Reply) -> None:
            reply.start(200, [])
            while word := await turns.get():
                reply.write(word)
            reply.end()

        async with serving(source) as behind:
            to_behind = Pool(behind.url)

            async def relay(request: Request, reply: Reply) -> None:
                done = asyncio.Event()

                class Relay:
                    def on_head(self, status: int, headers: Headers) -> None:
                        reply.start(status, [])
                        reply.flush()

                    def on_data(self, data: bytes) -> None:
                        reply.write(data)

                    def on_end(self) -> None:
                        reply.end()
                        done.set()

                    def on_lost(self, error: Exception) -> None:
                        reply.abort()
                        done.set()

                await to_behind.call(b"GET", b"/", [], b"", Relay())
                await done.wait()

            async with serving(relay) as front:
                pool = Pool(front.url)
                listener = Listener()
                await pool.call(b"GET", b"/", [], b"", listener)
                for number in range(1, 6):
                    await turns.put(b"%d" % number)
                    await until(lambda expected=number: listener.bytes == expected)
                await turns.put(b"")
                await listener.ended.wait()
                assert (listener.content, listener.error) == (b"12345", None)
                await pool.close()
            await to_behind.close()

    run(main())
