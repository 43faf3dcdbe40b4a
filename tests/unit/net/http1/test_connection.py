"""A connection's states: what a hang-up, a slow client and any bytes at all do in each."""

import asyncio
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.http1_corpus import CORPUS
from lab.http1_pipe import play
from lab.http1_serving import RawClient, client_tls, server_tls, serving, until
from rempart.net.http1.errors import BodyMalformed, BodyTooSlow, PeerClosed
from rempart.net.http1.server import Reply, Request, Rule, ServerLimits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST_10 = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
MEBIBYTE = 1 << 20


class Watched:
    """A handler in a chosen state, and what it notices."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.reached = asyncio.Event()
        self.gone = asyncio.Event()
        self.reply: Reply | None = None
        self.raised: list[str] = []

    async def __call__(self, request: Request, reply: Reply) -> None:
        self.reply = reply
        reply.on_gone = self.gone.set
        try:
            await self.act(request, reply)
        except PeerClosed as error:
            self.raised.append(type(error).__name__)
            raise

    async def act(self, request: Request, reply: Reply) -> None:
        if self.state == "reading":
            self.reached.set()
            await request.read(1000)
            raise AssertionError("the body was never whole")
        if self.state == "streaming":
            reply.start(200, [])
            reply.write(b"one")
        elif self.state == "head only":
            reply.start(200, [])
            reply.flush()
        elif self.state == "paused":
            reply.start(200, [])
            while reply.write(b"x" * 65536):
                await asyncio.sleep(0)
            self.reached.set()
            await reply.drain()
            raise AssertionError("nobody took anything")
        self.reached.set()
        await self.gone.wait()


AWAY = {"closes": RawClient.close, "resets": RawClient.reset, "half-closes": RawClient.half_close}


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize("state", ["waiting", "reading", "streaming", "head only", "paused"])
def test_a_hang_up_is_noticed_in_every_state(run: Callable, state: str, away: str) -> None:
    """The handler is told at once and once, whatever it is doing; nothing of its own is written after."""

    async def main() -> None:
        handler = Watched(state)
        async with serving(handler) as served:
            client = await RawClient.connect(served, receive_buffer=4096)
            await client.send(POST_10 + b"half" if state == "reading" else GET)
            await handler.reached.wait()
            AWAY[away](client)
            await handler.gone.wait()
            assert handler.reply is not None
            assert handler.reply.is_gone
            assert handler.reply.write(b"more") is False
            handler.reply.end()
            await until(lambda: served.server.statistics().connections == 0)
            client.close()
        assert handler.raised == (["PeerClosed"] if state in ("reading", "paused") else [])

    run(main())


@pytest.mark.parametrize("away", AWAY)
def test_a_hang_up_is_noticed_between_requests(run: Callable, away: str) -> None:
    async def main() -> None:
        async with serving(Watched("waiting")) as served:
            for first in (b"", b"GET / HT", b"\r\n"):
                client = await RawClient.connect(served)
                await client.send(first)
                await until(lambda: served.server.statistics().connections == 1)
                AWAY[away](client)
                await until(lambda: served.server.statistics().connections == 0)
                client.close()
        assert served.refused == []

    run(main())


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize("behind", ["pipelined", "unread body", "malformed body"])
def test_a_hang_up_is_noticed_behind_unread_input(run: Callable, away: str, behind: str) -> None:
    """The end of a connection stands in line behind megabytes that no handler asks for."""
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    first = {
        "pipelined": GET,
        "unread body": POST_10.replace(b"10", b"9999999"),
        "malformed body": chunked + b"X\r\n",
    }

    async def main() -> None:
        handler = Watched("waiting")
        limits = ServerLimits(unread_body_bytes_max=16 * MEBIBYTE)
        async with serving(handler, limits=limits) as served:
            client = await RawClient.connect(served)
            await client.send(first[behind] + b"x" * 8 * MEBIBYTE)
            await handler.reached.wait()
            AWAY[away](client)
            await handler.gone.wait()
            client.close()

    run(main())


@pytest.mark.parametrize("away", AWAY)
def test_a_hang_up_is_noticed_although_the_socket_is_not_read(run: Callable, away: str) -> None:
    """As long as the kernel has taken what the client sent before it left, or the client resets."""

    async def main() -> None:
        handler = Watched("waiting")
        async with serving(handler, limits=ServerLimits(unread_body_bytes_max=1000)) as served:
            client = await RawClient.connect(served)
            await client.send(POST_10.replace(b"10", b"9999999") + b"x" * 2000)
            await handler.reached.wait()
            await until(lambda: served.server._deaf, "input is not read any more")
            await client.send(b"x" * 2000)
            AWAY[away](client)
            await handler.gone.wait()
            client.close()

    run(main())


def test_a_hang_up_over_tls_is_noticed(run: Callable) -> None:
    async def main() -> None:
        handler = Watched("streaming")
        async with serving(handler, tls=server_tls()) as served:
            _, writer = await asyncio.open_connection("localhost", served.port, ssl=client_tls())
            writer.write(GET)
            await handler.reached.wait()
            writer.close()
            await handler.gone.wait()
            try:
                await writer.wait_closed()
            except ConnectionResetError:
                pass

    run(main())


def test_being_told_late_is_being_told(run: Callable) -> None:
    """A client may be gone before its handler had the chance to say whom to tell."""

    async def main() -> None:
        told = asyncio.Event()

        async def late(request: Request, reply: Reply) -> None:
            while not reply.is_gone:
                await asyncio.sleep(0.001)
            reply.on_gone = told.set
            await told.wait()

        async with serving(late) as served:
            client = await RawClient.connect(served)
            await client.send(GET)
            await until(lambda: served.server.statistics().requests_active == 1)
            client.close()
            await told.wait()

    run(main())


def test_an_answer_that_is_out_is_not_taken_for_lost(run: Callable) -> None:
    """The client closes after it has all of the answer, while the handler still tidies up."""

    async def main() -> None:
        tidy = asyncio.Event()
        gone: list[None] = []

        async def handler(request: Request, reply: Reply) -> None:
            reply.on_gone = lambda: gone.append(None)
            reply.send(200, [], b"done")
            await tidy.wait()

        async with serving(handler) as served:
            client = await RawClient.connect(served)
            await client.send(GET)
            await client.read_answer()
            client.close()
            await until(lambda: served.server.statistics().connections == 0)
            tidy.set()
        assert gone == []

    run(main())


def test_a_callback_that_raises_does_not_keep_the_connection(run: Callable) -> None:
    heard: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: heard.append(str(context["exception"])))

        async def handler(request: Request, reply: Reply) -> None:
            def fail() -> None:
                raise ValueError("a bug")

            reply.on_gone = fail
            while not reply.is_gone:
                await asyncio.sleep(0.001)

        async with serving(handler) as served:
            client = await RawClient.connect(served)
            await client.send(GET)
            await until(lambda: served.server.statistics().requests_active == 1)
            client.close()
            await until(lambda: served.server.statistics().connections == 0)

    run(main())
    assert heard == ["a bug"]


# Backpressure.


async def _flood(request: Request, reply: Reply) -> None:
    reply.start(200, [])
    sent = 0
    while sent < 64 * MEBIBYTE and not reply.is_gone:
        sent += 65536
        if not reply.write(b"x" * 65536):
            await reply.drain()
    reply.end()


@pytest.mark.requirement("memory-stable", "slow-clients")
def test_a_reader_that_stops_holds_the_writer_back(run: Callable) -> None:
    """Not more than the high mark and one write is held here, however long it lasts."""
    replies: list[Reply] = []

    async def flood(request: Request, reply: Reply) -> None:
        replies.append(reply)
        await _flood(request, reply)

    async def main() -> None:
        async with serving(flood) as served:
            client = await RawClient.connect(served, receive_buffer=4096)
            await client.send(GET)
            await until(lambda: replies and replies[0].is_paused)
            (connection,) = served.server._connections
            for _ in range(20):
                await asyncio.sleep(0.005)
                assert replies[0].is_paused
                assert connection._transport.get_write_buffer_size() <= 65536 * 2 + 64
            at_pause = replies[0].bytes_sent
            await client.read_exactly(
                8 * MEBIBYTE
            )  # it goes on reading: the writer goes on writing
            await until(lambda: replies[0].bytes_sent > at_pause)
            client.close()

    run(main())


def test_pausing_and_resuming_is_told(run: Callable) -> None:
    told: list[str] = []

    async def main() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            resumed = asyncio.Event()
            reply.on_paused = lambda: told.append("paused")
            reply.on_resumed = lambda: (told.append("resumed"), resumed.set())
            reply.start(200, [])
            while reply.write(b"x" * 65536):
                await asyncio.sleep(0)
            while not reply.is_paused or "resumed" not in told:
                resumed.clear()
                await resumed.wait()
                break
            reply.end()

        async with serving(handler) as served:
            with await RawClient.connect(served, receive_buffer=4096) as client:
                await client.send(GET)
                await until(lambda: "paused" in told)
                await client.read_until(b"0\r\n\r\n")

    run(main())
    assert told[0] == "paused"
    assert [told for told, _ in itertools.groupby(told)] == told  # they alternate


def test_a_body_that_nobody_reads_is_not_collected(run: Callable) -> None:
    """The socket is left alone above a bound; reading goes on when somebody asks."""

    async def main() -> None:
        go_on = asyncio.Event()
        started = asyncio.Event()

        async def late(request: Request, reply: Reply) -> None:
            started.set()
            await go_on.wait()
            reply.send(200, [], b"%d" % len(await request.read(64 * MEBIBYTE)))

        size = 32 * MEBIBYTE
        async with serving(late) as served:
            with await RawClient.connect(served) as client:
                head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
                async with asyncio.TaskGroup() as group:
                    group.create_task(client.send(head + b"x" * size))
                    await started.wait()
                    await until(lambda: served.server._deaf)
                    (connection,) = served.server._connections
                    for _ in range(10):
                        await asyncio.sleep(0.005)
                        assert connection._body.held_bytes < 2 * MEBIBYTE
                    go_on.set()
                    assert (await client.read_answer())[2] == b"%d" % size

    run(main())


def test_pipelined_input_is_not_collected(run: Callable) -> None:
    """Above the bound the running request is the last one; the client may send the others again."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def handler(request: Request, reply: Reply) -> None:
            await go_on.wait()
            reply.send(200, [], request.path.encode())

        async with serving(handler) as served:
            with await RawClient.connect(served) as client:
                async with asyncio.TaskGroup() as group:
                    group.create_task(client.send(GET + GET.replace(b"/", b"/2", 1) * 300_000))
                    await until(lambda: served.server._connections)
                    (connection,) = served.server._connections
                    await until(lambda: connection._discards)
                    assert len(connection._held) < MEBIBYTE
                    go_on.set()
                    answer = await client.read_to_end()
            assert answer.endswith(b"connection: close\r\n\r\n/")

    run(main())


def test_a_stream_ends_whole_although_input_was_discarded(run: Callable) -> None:
    """Its head had not said that it is the last; closing behind it says so."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def handler(request: Request, reply: Reply) -> None:
            reply.start(200, [])
            reply.flush()
            await go_on.wait()
            reply.end(b"all")

        async with serving(handler) as served:
            with await RawClient.connect(served) as client:
                await client.send(GET)
                await client.read_until(b"\r\n\r\n")
                (connection,) = served.server._connections
                await client.send(b"x" * 100_000)
                await until(lambda: connection._discards)
                go_on.set()
                assert await client.read_to_end() == b"3\r\nall\r\n0\r\n\r\n"

    run(main())


# Clocks.


def _is_408(answer: bytes, rule: Rule) -> bool:
    return answer.startswith(b"HTTP/1.1 408 ") and answer.endswith(rule.reason.encode())


@pytest.mark.requirement("slow-clients")
def test_a_head_that_trickles_is_refused(run: Callable) -> None:
    """From its first byte on, whatever comes in between."""

    async def trickle(client: RawClient) -> None:
        try:
            for _ in range(1000):
                await client.send(b"X")
                await asyncio.sleep(0.01)
        except OSError:
            pass

    async def main() -> None:
        async with serving(Watched("waiting"), limits=ServerLimits(header_read_s=0.3)) as served:
            with await RawClient.connect(served) as client:
                await client.send(b"GET / HTTP/1.1\r\n")
                async with asyncio.TaskGroup() as group:
                    sending = group.create_task(trickle(client))
                    assert _is_408(await client.read_to_end(), Rule.HEADER_TIME)
                    sending.cancel()

    run(main())


def test_a_connection_that_says_nothing_is_closed_without_a_word(run: Callable) -> None:
    """New or between requests, with or without an empty line; 408 is for who had begun."""

    async def answer(request: Request, reply: Reply) -> None:
        reply.send(200, [], b"")

    async def main() -> None:
        limits = ServerLimits(header_read_s=0.25, idle_s=0.1)
        async with serving(answer, limits=limits) as served:
            for first in (b"", b"\r\n", GET):
                with await RawClient.connect(served) as client:
                    await client.send(first)
                    if first == GET:
                        await client.read_answer()
                    assert await client.read_to_end() == b""
            assert served.refused == []

    run(main())


def test_a_request_that_runs_is_not_idle(run: Callable) -> None:
    """No clock of the connection ends a long generation."""

    async def slow(request: Request, reply: Reply) -> None:
        await asyncio.sleep(0.5)
        reply.send(200, [], await request.read(10))

    async def main() -> None:
        limits = ServerLimits(header_read_s=0.2, idle_s=0.1, body_read_s=0.1, linger_s=0.1)
        async with serving(slow, limits=limits) as served:
            with await RawClient.connect(served) as client:
                await client.send(POST_10 + b"0123456789")
                assert (await client.read_answer())[2] == b"0123456789"

    run(main())


async def _read(request: Request, reply: Reply) -> None:
    try:
        reply.send(200, [], await request.read(MEBIBYTE))
    except BodyTooSlow as error:
        reply.send(408, [], error.reason.encode())


def test_a_body_that_stalls_is_given_up(run: Callable) -> None:
    async def main() -> None:
        async with serving(_read, limits=ServerLimits(body_read_s=0.1)) as served:
            with await RawClient.connect(served) as client:
                await client.send(POST_10 + b"half")
                answer = await client.read_to_end()
                assert answer.startswith(b"HTTP/1.1 408 ")
                assert answer.endswith(b"nothing came for 0.1 s")
                assert b"\r\nconnection: close\r\n" in answer  # the rest is not waited for either

    run(main())


@pytest.mark.requirement("slow-clients")
def test_a_body_that_trickles_is_given_up(run: Callable) -> None:
    """Each byte comes in time, all of them together do not."""

    async def trickle(client: RawClient) -> None:
        try:
            for _ in range(1000):
                await client.send(b"x")
                await asyncio.sleep(0.01)
        except OSError:
            pass

    async def main() -> None:
        limits = ServerLimits(body_read_s=5, body_bytes_per_s_min=5000, rate_window_s=0.1)
        async with serving(_read, limits=limits) as served:
            with await RawClient.connect(served) as client:
                await client.send(POST_10.replace(b"10", b"10000"))
                async with asyncio.TaskGroup() as group:
                    sending = group.create_task(trickle(client))
                    answer = await client.read_to_end()
                    sending.cancel()
                assert answer.endswith(b"less than 5000 bytes per second came")

    run(main())


def test_the_skipped_rest_of_a_body_must_come_too(run: Callable) -> None:
    async def unread(request: Request, reply: Reply) -> None:
        reply.send(401, [], b"no")

    async def main() -> None:
        async with serving(unread, limits=ServerLimits(body_read_s=0.05)) as served:
            with await RawClient.connect(served) as client:
                await client.send(POST_10 + b"half")
                await client.read_answer()
                try:
                    assert await client.read_to_end() == b""
                except ConnectionResetError:
                    pass

    run(main())


@pytest.mark.requirement("slow-clients")
def test_a_client_that_takes_nothing_is_dropped(run: Callable) -> None:
    """In the middle of a stream its handler is told; after the last answer nobody is left to tell."""

    async def main() -> None:
        gone = asyncio.Event()

        async def flood(request: Request, reply: Reply) -> None:
            if request.path == "/last":
                reply.close_after = True
                reply.send(200, [], b"x" * 32 * MEBIBYTE)
                return
            reply.on_gone = gone.set
            try:
                await _flood(request, reply)
            finally:
                assert reply.is_gone

        async with serving(flood, limits=ServerLimits(write_stall_s=0.2)) as served:
            with await RawClient.connect(served, receive_buffer=4096) as client:
                await client.send(GET)
                await gone.wait()
                await until(lambda: served.server.statistics().connections == 0)
                assert served.server.statistics().stalled == 1
            with await RawClient.connect(served, receive_buffer=4096) as client:
                await client.send(GET.replace(b"GET /", b"GET /last"))
                await until(lambda: served.server.statistics().requests == 2)
                await until(lambda: served.server.statistics().connections == 0)

    run(main())


def test_a_client_that_takes_a_little_is_not_dropped(run: Callable) -> None:
    """Stalled is who takes no byte, not who is slow."""

    async def main() -> None:
        async with serving(_flood, limits=ServerLimits(write_stall_s=1.0)) as served:
            with await RawClient.connect(served, receive_buffer=65536) as client:
                await client.send(GET)
                for _ in range(20):
                    await asyncio.sleep(
                        0.07
                    )  # slower than it is written, for longer than the bound
                    await client.read_exactly(512 * 1024)
                assert served.server.statistics().stalled == 0

    run(main())


# Malformed bodies.


@pytest.mark.parametrize("reads", [True, False])
def test_a_malformed_body_is_refused_when_nothing_was_answered(run: Callable, reads: bool) -> None:
    """The handler sees ``BodyMalformed``, a ``PeerClosed``; if it does not answer, the connection does."""
    seen: list[str] = []

    async def handler(request: Request, reply: Reply) -> None:
        if not reads:
            await asyncio.sleep(0.01)
            reply.abort()
            return
        try:
            await request.read(1000)
        except BodyMalformed as error:
            seen.append(error.reason)
            raise

    async def main() -> None:
        async with serving(handler) as served:
            with await RawClient.connect(served) as client:
                await client.send(
                    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n"
                )
                answer = await client.read_to_end()
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert answer.endswith(Rule.CHUNK_SIZE.reason.encode())
            assert [refusal.rule for refusal in served.refused] == [Rule.CHUNK_SIZE]
            assert served.bugs == []

    run(main())
    assert seen == ([Rule.CHUNK_SIZE.reason] if reads else [])


def test_a_malformed_body_may_be_answered_by_the_handler(run: Callable) -> None:
    """With an answer of its own the request is like any other, but the connection ends."""

    async def handler(request: Request, reply: Reply) -> None:
        try:
            await request.read(1000)
        except BodyMalformed:
            reply.send(400, [], b"mine")

    async def main() -> None:
        async with serving(handler) as served:
            with await RawClient.connect(served) as client:
                await client.send(
                    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nX\r\n" + GET
                )
                answer = await client.read_to_end()
            assert answer.endswith(b"connection: close\r\n\r\nmine")
            assert served.refused == []

    run(main())


def test_a_malformed_rest_of_an_answered_request_ends_the_connection(run: Callable) -> None:
    async def main() -> None:
        answered = asyncio.Event()

        async def handler(request: Request, reply: Reply) -> None:
            reply.start(200, [])
            reply.flush()
            await answered.wait()
            reply.end()

        async with serving(handler) as served:
            with await RawClient.connect(served) as client:
                await client.send(
                    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"
                )
                await client.read_until(b"\r\n\r\n")
                (connection,) = served.server._connections
                await client.send(b"xy")
                await until(lambda: connection._discards)
                answered.set()
                assert await client.read_to_end() == b"0\r\n\r\n"

    run(main())


# Any bytes.

_PIECES = [
    *(
        b"GET ",
        b"POST ",
        b"/",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\t",
        b":",
    ),
    *(b"Host: a\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n"),
    *(b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"0\r\n\r\n"),
    *(b"5\r\nhello\r\n", b"hello", b"\0", b"\xff", b"A" * 300, b"X: y\r\n" * 60),
    *(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\n"),
]
soup = st.lists(st.sampled_from(_PIECES) | st.binary(max_size=8), max_size=24).map(b"".join)
mutated = st.tuples(
    st.sampled_from([item.data[:2000] for item in CORPUS.values()]),
    st.lists(st.tuples(st.integers(0, 1999), st.integers(0, 255)), max_size=3),
).map(lambda pair: _mutate(*pair))


def _mutate(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    changed = bytearray(data)
    for place, value in changes:
        if changed:
            changed[place % len(changed)] = value
    return bytes(changed)


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@settings(max_examples=300, deadline=None)
@given(soup | mutated, st.lists(st.integers(0, 5000), max_size=12))
def test_any_bytes_end_in_the_same_way_however_they_are_cut(data: bytes, places: list[int]) -> None:
    """No exception leaves ``data_received``; requests, refusal and answers are the same."""
    whole = asyncio.run(play([data]))
    assert asyncio.run(play(_cut(data, places))) == whole
    assert len(whole.refused) <= 1
