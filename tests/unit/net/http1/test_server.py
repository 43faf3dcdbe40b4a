"""The server over real sockets: answers, keeps, refuses, drains, ends."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.http1_pipe import PipeTransport
from lab.http1_serving import RawClient, client_tls, server_tls, serving, until
from rempart.net.http1.connection import Connection
from rempart.net.http1.errors import BodyTooLarge, BodyTooSlow
from rempart.net.http1.server import Reply, Request, Rule, Server, ServerLimits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HELLO = b"hello, world"


async def hello(request: Request, reply: Reply) -> None:
    """Answers at once."""
    reply.send(200, [(b"content-type", b"text/plain")], HELLO)


async def echo(request: Request, reply: Reply) -> None:
    """Answers with the body."""
    try:
        body = await request.read(1000)
    except BodyTooLarge as error:
        reply.send(413, [], str(error).encode())
    except BodyTooSlow as error:
        reply.send(408, [], error.reason.encode())
    else:
        reply.send(200, [], body)


async def stream(request: Request, reply: Reply) -> None:
    """Three chunks."""
    reply.start(200, [])
    for word in (b"one", b"two", b"three"):
        reply.write(word)
        await asyncio.sleep(0)
    reply.end(b"end")


def test_an_answer_has_what_http_wants_of_it(run: Callable) -> None:
    """Status line, the handler's headers, date, length."""

    async def main() -> None:
        async with serving(hello) as served:
            with await RawClient.connect(served) as client:
                await client.send(GET)
                status, headers, body = await client.read_answer()
        assert (status, body) == (200, HELLO)
        assert list(headers) == ["content-type", "date", "content-length"]
        assert headers["date"].endswith(" GMT")

    run(main())


def test_a_connection_is_kept_for_the_next_request(run: Callable) -> None:
    async def main() -> None:
        async with serving(echo) as served:
            with await RawClient.connect(served) as client:
                for number in range(5):
                    await client.send(
                        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d" % number
                    )
                    assert (await client.read_answer())[2] == b"%d" % number
            assert served.server.statistics().accepted == 1
            assert served.server.statistics().requests == 5

    run(main())


def test_head_has_the_headers_of_get_and_no_content(run: Callable) -> None:
    """Of a whole answer and of a stream; the connection stays in step."""

    async def main() -> None:
        async with serving(hello) as served:
            with await RawClient.connect(served) as client:
                await client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
                head = await client.read_until(b"\r\n\r\n")
                assert b"content-length: %d\r\n" % len(HELLO) in head
                await client.send(GET)
                assert (await client.read_answer())[2] == HELLO
        async with serving(stream) as served:
            with await RawClient.connect(served) as client:
                await client.send(
                    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                )
                for _ in range(2):
                    assert b"transfer-encoding: chunked" in await client.read_until(b"\r\n\r\n")
                client.half_close()
                assert await client.read_to_end() == b""

    run(main())


def test_a_stream_is_chunked_in_1_1_and_ended_by_closing_in_1_0(run: Callable) -> None:
    async def main() -> None:
        async with serving(stream) as served:
            with await RawClient.connect(served) as client:
                await client.send(GET)
                head = await client.read_until(b"\r\n\r\n")
                assert b"transfer-encoding: chunked\r\n" in head
                rest = await client.read_until(b"0\r\n\r\n")
                assert rest == b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n3\r\nend\r\n0\r\n\r\n"
            with await RawClient.connect(served) as client:
                await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                answer = await client.read_to_end()
                assert answer.endswith(b"\r\nconnection: close\r\n\r\nonetwothreeend")
                assert b"transfer-encoding" not in answer

    run(main())


def test_1_0_is_kept_alive_when_it_asks(run: Callable) -> None:
    async def main() -> None:
        async with serving(hello) as served:
            with await RawClient.connect(served) as client:
                for _ in range(2):
                    await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                    assert (await client.read_answer())[1]["connection"] == "keep-alive"
                await client.send(b"GET / HTTP/1.0\r\n\r\n")
                assert b"connection: close" in await client.read_to_end()

    run(main())


def test_continue_is_sent_when_the_body_is_asked_for_and_only_then(run: Callable) -> None:
    """A client that is refused by its head alone never sends its body."""

    async def choosy(request: Request, reply: Reply) -> None:
        if request.path == "/no":
            reply.send(401, [], b"no")
        else:
            await echo(request, reply)

    head = b" HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

    async def main() -> None:
        async with serving(choosy) as served:
            with await RawClient.connect(served) as client:
                await client.send(b"POST /yes" + head)
                assert await client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                await client.send(b"hello")
                assert (await client.read_answer())[2] == b"hello"
                await client.send(b"POST /no" + head)
                answer = await client.read_to_end()
                assert answer.startswith(b"HTTP/1.1 401 ")
                assert b"connection: close" in answer  # whether a body follows is not known

    run(main())


def test_a_too_large_body_is_refused_without_losing_the_answer(run: Callable) -> None:
    """The client is still sending megabytes: no reset overtakes the 413."""

    async def main() -> None:
        size = 16 * 1024 * 1024
        async with serving(echo) as served:
            with await RawClient.connect(served) as client:
                async with asyncio.TaskGroup() as group:
                    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
                    group.create_task(client.send(head + b"x" * size))
                    answer = await client.read_to_end()
                assert answer.startswith(b"HTTP/1.1 413 ")
                assert answer.endswith(b"\r\n\r\nthe body is larger than 1000 bytes")
            with await RawClient.connect(served) as client:
                async with asyncio.TaskGroup() as group:
                    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    group.create_task(
                        client.send(head + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 8000)
                    )
                    answer = await client.read_to_end()
                assert answer.startswith(b"HTTP/1.1 413 ")

    run(main())


def test_input_behind_a_last_answer_is_not_discarded_for_ever(run: Callable) -> None:
    """A client that just goes on sending is cut off after a bounded amount and a bounded time."""

    async def main() -> None:
        limits = ServerLimits(linger_bytes_max=1 << 20, linger_s=0.2)
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (1 << 40)
        async with serving(echo, limits=limits) as served:
            with await RawClient.connect(served) as client:
                await client.send(head)
                with pytest.raises(OSError, match=r".*"):  # reset or broken pipe
                    for _ in range(64):
                        await client.send(b"x" * (1 << 20))
            with await RawClient.connect(served) as client:
                await client.send(head)
                await client.read_to_end()
                await until(lambda: served.server.statistics().connections == 0, "cut off by time")

    run(main())


def test_the_rest_of_a_small_unread_body_is_skipped(run: Callable) -> None:
    """A 401 to a small request does not cost the client its connection."""

    async def unread(request: Request, reply: Reply) -> None:
        reply.send(401 if request.method == "POST" else 200, [], HELLO)

    async def main() -> None:
        async with serving(unread) as served:
            with await RawClient.connect(served) as client:
                await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
                status, headers, _ = await client.read_answer()
                assert (status, "connection" in headers) == (401, False)
                await client.send(b"llo" + GET)
                assert (await client.read_answer())[0] == 200

    run(main())


def test_pipelined_requests_are_answered_one_at_a_time_and_in_order(run: Callable) -> None:
    running = 0

    async def alone(request: Request, reply: Reply) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        reply.send(200, [], request.path.encode())
        await asyncio.sleep(0)
        running -= 1

    async def main() -> None:
        async with serving(alone) as served:
            with await RawClient.connect(served) as client:
                paths = [b"/%d" % number for number in range(50)]
                await client.send(
                    b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % p for p in paths)
                )
                assert [(await client.read_answer())[2] for _ in paths] == paths
            assert not served.bugs

    run(main())


def test_a_handler_that_raises_gives_a_500_or_closes(run: Callable) -> None:
    """Before the answer began the client is told; afterwards it must not take it for whole."""

    async def buggy(request: Request, reply: Reply) -> None:
        if request.path == "/late":
            reply.start(200, [])
            reply.write(b"half")
        if request.path == "/silent":
            return
        raise ValueError("a bug")

    async def main() -> None:
        async with serving(buggy) as served:
            for path in (b"/", b"/silent"):
                with await RawClient.connect(served) as client:
                    await client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
                    answer = await client.read_to_end()
                    assert answer.startswith(b"HTTP/1.1 500 ")
                    assert answer.endswith(b"a bug")  # the rule's own words, not the exception's
            with await RawClient.connect(served) as client:
                await client.send(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = await client.read_to_end()
                assert not answer.endswith(b"0\r\n\r\n")
            assert [type(bug) for bug in served.bugs] == [ValueError, RuntimeError, ValueError]

    run(main())


def test_a_cancelled_handler_closes_its_connection(run: Callable) -> None:
    """The gateway cancels its own task when a client goes away or a deadline fires."""

    async def cancelled(request: Request, reply: Reply) -> None:
        reply.start(200, [])
        reply.write(b"half")
        raise asyncio.CancelledError

    async def main() -> None:
        async with serving(cancelled) as served:
            with await RawClient.connect(served) as client:
                await client.send(GET)
                assert not (await client.read_to_end()).endswith(b"0\r\n\r\n")
            assert not served.bugs

    run(main())


def test_the_date_is_kept_for_a_second(run: Callable) -> None:
    async def main() -> None:
        async with serving(hello) as served:
            assert served.server.date_line() is served.server.date_line()

    run(main())


def test_chunks_leave_at_once(run: Callable) -> None:
    """Nagle's algorithm is off on accepted connections."""
    seen = []

    async def look(request: Request, reply: Reply) -> None:
        reply.send(200, [], b"")

    async def main() -> None:
        async with serving(look) as served:
            with await RawClient.connect(served) as client:
                await client.send(GET)
                await client.read_answer()
                for connection in served.server._connections:
                    taken = socket.socket(fileno=connection.fileno())
                    seen.append(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                    taken.detach()

    run(main())
    assert seen
    assert all(seen)


# Caps.


@pytest.mark.requirement("slow-clients")
def test_one_connection_too_many_is_told_so(run: Callable) -> None:
    """503 with the reason, as a proper answer; the others are not touched."""

    async def main() -> None:
        async with serving(hello, limits=ServerLimits(connections_max=2)) as served:
            kept = [await RawClient.connect(served) for _ in range(2)]
            await until(lambda: served.server.statistics().connections == 2)
            with await RawClient.connect(served) as client:
                answer = await client.read_to_end()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert answer.endswith(Rule.CONNECTIONS.reason.encode())
            assert served.server.statistics().refused == {"CONNECTIONS": 1}
            for client in kept:
                await client.send(GET)
                assert (await client.read_answer())[0] == 200
                client.close()

    run(main())


@pytest.mark.requirement("rate-limit-per-client", "slow-clients")
def test_one_address_cannot_take_all_connections(run: Callable) -> None:
    """Whoever leaves makes room again."""

    async def main() -> None:
        async with serving(hello, limits=ServerLimits(connections_per_address_max=2)) as served:
            first = await RawClient.connect(served)
            with await RawClient.connect(served):
                await until(lambda: served.server.statistics().connections == 2)
                with await RawClient.connect(served) as client:
                    assert (await client.read_to_end()).startswith(b"HTTP/1.1 503 ")
                assert served.refused[0].rule is Rule.CONNECTIONS_OF_ADDRESS
                assert served.refused[0].peer == "127.0.0.1"
                first.close()
                await until(lambda: served.server.statistics().connections == 1)
                with await RawClient.connect(served) as client:
                    await client.send(GET)
                    assert (await client.read_answer())[0] == 200

    run(main())


def test_far_too_many_connections_are_just_closed(run: Callable) -> None:
    async def main() -> None:
        limits = ServerLimits(connections_max=1, refusals_max=1)
        async with serving(hello, limits=limits) as served:
            clients = [await RawClient.connect(served) for _ in range(4)]
            await until(lambda: served.server.statistics().accepted == 4)
            await until(lambda: served.server.statistics().connections == 2)
            assert served.server.statistics().refused == {"CONNECTIONS": 1}
            for client in clients:
                client.close()

    run(main())


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_an_ipv6_customer_counts_as_one(one: str, other: str, are_one: bool) -> None:
    from rempart.net.http1.acceptor import network_of

    assert (network_of(one) == network_of(other)) is are_one


# Other doors.


def test_a_unix_socket_has_no_address(run: Callable, tmp_path: Path) -> None:
    async def who(request: Request, reply: Reply) -> None:
        reply.send(200, [], repr((request.peer, request.peer_port)).encode())

    async def main() -> None:
        limits = ServerLimits(connections_per_address_max=1)
        async with serving(who, unix=tmp_path / "door", limits=limits) as served:
            with (
                await RawClient.connect(served) as client,
                await RawClient.connect(served) as other,
            ):
                for each in (client, other):  # nor is it bounded by address
                    await each.send(GET)
                    assert (await each.read_answer())[2] == b"('', 0)"

    run(main())


def test_tls_speaks_the_same(run: Callable) -> None:
    async def main() -> None:
        async with serving(echo, tls=server_tls()) as served:
            reader, writer = await asyncio.open_connection(
                "localhost", served.port, ssl=client_tls()
            )
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
            writer.write(b"GET / HTTP/1.1\r\n\r\n")  # no Host
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400 ")
            writer.close()
            await writer.wait_closed()

    run(main())


def test_what_does_not_speak_tls_is_let_go(run: Callable) -> None:
    """A failed or unfinished handshake holds nothing, and costs the others nothing."""

    async def main() -> None:
        limits = ServerLimits(header_read_s=0.5)
        async with serving(hello, tls=server_tls(), limits=limits) as served:
            with (
                await RawClient.connect(served) as plain,
                await RawClient.connect(served) as silent,
            ):
                await plain.send(GET)
                for client in (plain, silent):
                    try:
                        await client.read_to_end()  # maybe an alert
                    except ConnectionResetError:
                        pass
            reader, writer = await asyncio.open_connection(
                "localhost", served.port, ssl=client_tls()
            )
            writer.write(GET)
            assert (await reader.readuntil(HELLO)).startswith(b"HTTP/1.1 200 ")
            writer.close()
            await writer.wait_closed()

    run(main())


def test_handshakes_of_one_address_are_bounded(run: Callable) -> None:
    """Who opens connections and never shakes hands must not take the room of those who do."""

    async def main() -> None:
        limits = ServerLimits(handshakes_per_address_max=3)
        async with serving(hello, tls=server_tls(), limits=limits) as served:
            with ExitStack() as stack:
                silent = [stack.enter_context(await RawClient.connect(served)) for _ in range(3)]
                await until(lambda: served.server.statistics().accepted == 3)
                with await RawClient.connect(served) as one_more:
                    assert await one_more.read_to_end() == b""
                assert [refusal.rule for refusal in served.refused] == [Rule.CONNECTIONS_OF_ADDRESS]
                for client in silent:
                    client.close()
            await until(lambda: served.server.statistics().handshakes_failed == 3)
            reader, writer = await asyncio.open_connection(
                "localhost", served.port, ssl=client_tls()
            )
            writer.write(GET)
            assert (await reader.readuntil(HELLO)).startswith(b"HTTP/1.1 200 ")
            writer.close()
            await writer.wait_closed()

    run(main())


# Draining and closing.


def test_draining_lets_requests_end_and_says_that_they_are_the_last(run: Callable) -> None:
    go_on = []

    async def slow(request: Request, reply: Reply) -> None:
        await go_on[0].wait()
        reply.send(200, [], HELLO)

    async def main() -> None:
        go_on.append(asyncio.Event())
        async with serving(slow) as served:
            with await RawClient.connect(served) as busy, await RawClient.connect(served) as idle:
                await busy.send(GET)
                await until(lambda: served.server.statistics().requests_active == 1)
                async with asyncio.TaskGroup() as group:
                    draining = group.create_task(served.server.drain(idle_s=60, grace_s=60))
                    await until(lambda: served.server.is_draining)
                    with pytest.raises(ConnectionRefusedError):
                        await RawClient.connect(served)
                    await idle.send(GET)  # was on its way already
                    go_on[0].set()
                    for client in (busy, idle):
                        answer = await client.read_to_end()
                        assert answer.endswith(HELLO)
                        assert b"connection: close" in answer
                assert draining.result() is True

    run(main())


def test_draining_closes_idle_connections_after_a_while(run: Callable) -> None:
    async def main() -> None:
        async with serving(hello) as served:
            with await RawClient.connect(served) as used, await RawClient.connect(served) as fresh:
                await used.send(GET)
                await used.read_answer()
                assert await served.server.drain(idle_s=0.05, grace_s=60) is True
                assert await used.read_to_end() == b""
                assert await fresh.read_to_end() == b""

    run(main())


def test_draining_gives_up_when_the_grace_is_over(run: Callable) -> None:
    async def endless(request: Request, reply: Reply) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with serving(endless) as served:
            with await RawClient.connect(served) as client:
                await client.send(GET)
                await until(lambda: served.server.statistics().requests_active == 1)
                assert await served.server.drain(idle_s=0.01, grace_s=0.05) is False
                await served.server.close()  # and now it is cancelled
                with pytest.raises(ConnectionResetError):
                    assert await client.read_to_end() == b""
                    raise ConnectionResetError  # either is an end

    run(main())


def test_a_server_that_never_served_can_be_closed(run: Callable) -> None:
    async def main() -> None:
        server = Server(hello, limits=ServerLimits(), refusal_answer=lambda _: ([], b""))
        server.stop_accepting()
        await server.close()

    run(main())


def test_a_failing_refusal_answer_still_refuses(run: Callable) -> None:
    """A bug in what the server is given must not let a malformed request through or hang it."""
    heard = []

    def broken(_: object) -> tuple[list, bytes]:
        raise ValueError("a bug")

    async def main() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        server = Server(hello, limits=ServerLimits(), refusal_answer=broken)
        await server.serve([listener])
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        await server.close()

    run(main())
    assert [str(context["exception"]) for context in heard] == ["a bug"]


def test_closing_catches_a_connection_that_is_just_being_made(run: Callable) -> None:
    """Whatever came of it: nothing stays counted, and closing does not wait for it for ever."""

    async def main() -> None:
        for pauses in range(6):
            async with serving(hello) as served:
                with await RawClient.connect(served) as client:
                    await client.send(GET)
                    await until(lambda: served.server.statistics().accepted == 1)
                    for _ in range(pauses):
                        await asyncio.sleep(0)
                    await served.server.close()

    run(main())


def test_a_port_with_tls_and_a_unix_socket_without_are_one_server(
    run: Callable, tmp_path: Path
) -> None:
    async def main() -> None:
        async with serving(hello, tls=server_tls()) as served:
            door = socket.socket(socket.AF_UNIX)
            door.bind(str(tmp_path / "door"))
            door.listen()
            await served.server.serve([door])
            reader, writer = await asyncio.open_unix_connection(tmp_path / "door")
            writer.write(GET)
            assert (await reader.readuntil(HELLO)).startswith(b"HTTP/1.1 200 ")
            writer.close()
            await writer.wait_closed()
            reader, writer = await asyncio.open_connection(
                "localhost", served.port, ssl=client_tls()
            )
            writer.write(GET)
            assert (await reader.readuntil(HELLO)).startswith(b"HTTP/1.1 200 ")
            writer.close()
            await writer.wait_closed()
            assert served.server.statistics().accepted == 2

    run(main())


def test_a_connection_that_comes_after_closing_is_closed(run: Callable) -> None:
    async def main() -> None:
        server = Server(hello, limits=ServerLimits(), refusal_answer=lambda _: ([], b""))
        await server.serve([])
        await server.close()
        late = Connection(server, "192.0.2.1", 1, "192.0.2.1")
        transport = PipeTransport()
        late.connection_made(transport)
        assert transport.is_closed
        assert server.statistics().connections == 0
        late.connection_lost(None)

    run(main())
