"""What a client has taken, and that a slow one is told from one that has stopped, over TLS too."""

import asyncio
import socket
import ssl
from collections.abc import Callable

import pytest

from lab.http1_serving import Served, client_tls, server_tls, serving, until
from rempart.net.http1.errors import PeerClosed
from rempart.net.http1.server import Reply, Request, ServerLimits
from rempart.net.http1.taken import acknowledged_bytes

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PIECE = b"x" * 16384


async def flood(request: Request, reply: Reply) -> None:
    reply.start(200, [])
    try:
        while not reply.is_gone:
            if reply.write(PIECE):
                await asyncio.sleep(0)
            else:
                await reply.drain()
    except PeerClosed:
        return


async def call(served: Served, *, with_tls: bool) -> socket.socket:
    """A client with little room of its own, that has asked."""

    def connect() -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(("127.0.0.1", served.port))
        if with_tls:
            client = client_tls().wrap_socket(client, server_hostname="localhost")
        client.sendall(GET)
        return client

    return await asyncio.to_thread(connect)


def test_it_counts_what_the_other_end_acknowledged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            server.sendall(b"x" * 1000)
            client.recv(1000, socket.MSG_WAITALL)
            taken = acknowledged_bytes(server.fileno())
            assert taken in (1000, 1001)  # the handshake's own number may count as one
            server.sendall(b"x" * 500)
            client.recv(500, socket.MSG_WAITALL)
            assert acknowledged_bytes(server.fileno()) == taken + 500
            assert server.fileno() >= 0  # it was only borrowed


def test_where_nobody_tells_it_says_so() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert acknowledged_bytes(one.fileno()) is None
    assert acknowledged_bytes(-1) is None
    assert acknowledged_bytes(10**6) is None


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_who_takes_nothing_is_dropped(run: Callable, with_tls: bool) -> None:
    async def main() -> None:
        limits = ServerLimits(write_stall_s=0.2)
        async with serving(flood, limits=limits, tls=server_tls() if with_tls else None) as served:
            with await call(served, with_tls=with_tls):
                await until(lambda: served.server.statistics().stalled == 1)
                await until(lambda: served.server.statistics().connections == 0)

    run(main())


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_who_takes_little_is_not(run: Callable, with_tls: bool) -> None:
    """Less than the send buffer lets through in all this time: only the kernel knows that it moves."""

    async def main() -> None:
        limits = ServerLimits(write_stall_s=0.8)
        async with serving(flood, limits=limits, tls=server_tls() if with_tls else None) as served:
            with await call(served, with_tls=with_tls) as client:
                client.setblocking(False)
                for _ in range(20):
                    await asyncio.sleep(0.1)
                    try:
                        client.recv(20_000)
                    except (BlockingIOError, ssl.SSLWantReadError):
                        pass
                assert served.server.statistics().stalled == 0

    run(main())


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_a_paused_writer_goes_on_when_its_client_reads(run: Callable, with_tls: bool) -> None:
    """Backpressure holds: what waits unsent is bounded, and resumes."""

    async def main() -> None:
        sent: list[Reply] = []

        async def watched(request: Request, reply: Reply) -> None:
            sent.append(reply)
            await flood(request, reply)

        async with serving(watched, tls=server_tls() if with_tls else None) as served:
            with await call(served, with_tls=with_tls) as client:
                await until(lambda: sent and sent[0].is_paused)
                stopped_at = sent[0].bytes_sent
                connection = next(iter(served.server._connections))
                assert connection._transport.get_write_buffer_size() < 4 * 65536
                await asyncio.sleep(0.05)
                assert sent[0].bytes_sent == stopped_at
                await asyncio.to_thread(lambda: [client.recv(65536) for _ in range(400)])
                await until(lambda: sent[0].bytes_sent > stopped_at)

    run(main())
