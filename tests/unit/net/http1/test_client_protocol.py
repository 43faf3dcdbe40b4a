"""Answers of an upstream: what they become, however they are cut and whatever is wrong with them."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.http1_pipe import PipeTransport
from rempart.net.http1.client import Headers
from rempart.net.http1.client_protocol import ClientConnection

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class Heard:
    """What a receiver was told."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    content: bytes = b""
    ends: list[str] = field(default_factory=list)
    is_kept: bool = False
    data_calls: int = field(default=0, compare=False)

    def on_head(self, status: int, headers: Headers) -> None:
        assert not self.status, "two heads"
        self.status, self.headers = status, headers

    def on_data(self, data: bytes) -> None:
        assert self.status, "content before the head"
        assert data, "empty content"
        self.content += data
        self.data_calls += 1

    def on_end(self) -> None:
        self.ends.append("end")

    def on_lost(self, error: Exception) -> None:
        self.ends.append(f"{type(error).__name__}: {error}")


def hear(reads: list[bytes], *, method: bytes = b"GET", then_lost: bool = True) -> Heard:
    """What comes of these reads; afterwards the upstream closes."""
    heard = Heard()
    freed: list[ClientConnection] = []
    closed: list[ClientConnection] = []

    async def main() -> None:
        connection = ClientConnection(
            on_free=freed.append, on_closed=closed.append, on_stale=lambda _: False
        )
        transport = PipeTransport()
        connection.connection_made(transport)
        connection.send(
            b"GET / HTTP/1.1\r\n\r\n",
            b"",
            heard,
            heard.on_data,
            is_head_request=method == b"HEAD",
            now=0.0,
        )
        for read in reads:
            if not transport.is_closed:
                connection.data_received(read)
        heard.is_kept = bool(freed) and not transport.is_closed
        if then_lost:
            if not transport.is_closed:
                connection.eof_received()
            connection.connection_lost(None)
            assert closed

    asyncio.run(main())
    return heard


@dataclass(frozen=True)
class Answer:
    """An answer and what it should become."""

    name: str
    data: bytes
    content: bytes | None = None
    kept: bool = True
    lost: str = ""
    method: bytes = b"GET"
    status: int = 200


WHOLE = [
    Answer("content-length", OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    Answer("empty", OK + b"Content-Length: 0\r\n\r\n", b""),
    Answer("chunked", CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", b"hello"),
    Answer("trailers are dropped", CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"hello"),
    Answer("until it closes", OK + b"X: y\r\n\r\nhello", b"hello", kept=False),
    Answer("nothing until it closes", OK + b"\r\n", b"", kept=False),
    Answer("1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", kept=False),
    Answer(
        "1.0 kept",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    Answer("close", OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", b"hi", kept=False),
    Answer("no reason", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    Answer("204", b"HTTP/1.1 204 No Content\r\n\r\n", b"", status=204),
    Answer("304", b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", b"", status=304),
    Answer("HEAD", OK + b"Content-Length: 5\r\n\r\n", b"", method=b"HEAD"),
    Answer("HEAD, chunked", CHUNKED, b"", method=b"HEAD"),
    Answer("HEAD, nothing said", OK + b"\r\n", b"", method=b"HEAD"),
    Answer(
        "interim answers are skipped",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nhi",
        b"hi",
    ),
    Answer("garbage behind", OK + b"Content-Length: 2\r\n\r\nhi!", b"hi", kept=False),
    Answer("an answer behind", (OK + b"Content-Length: 2\r\n\r\nhi") * 2, b"hi", kept=False),
    Answer("garbage behind the last chunk", CHUNKED + b"2\r\nhi\r\n0\r\n\r\nX", b"hi", kept=False),
    Answer("garbage behind HEAD", OK + b"\r\nhello", b"", kept=False, method=b"HEAD"),
    Answer("content with 204", b"HTTP/1.1 204 X\r\n\r\nhello", b"", kept=False, status=204),
]
BROKEN = [
    Answer("nothing", b"", lost="UpstreamClosed: closed the connection before it answered"),
    Answer(
        "half a head", OK + b"X: y", lost="UpstreamClosed: closed the connection before it answered"
    ),
    Answer(
        "only an interim answer",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        lost="UpstreamClosed: closed the connection before it answered",
    ),
    Answer(
        "content too short",
        OK + b"Content-Length: 5\r\n\r\nhell",
        b"hell",
        lost="UpstreamClosed: closed the connection in the middle of its answer",
    ),
    Answer(
        "no last chunk",
        CHUNKED + b"5\r\nhello\r\n",
        b"hello",
        lost="UpstreamClosed: closed the connection in the middle of its answer",
    ),
    Answer(
        "last chunk not ended",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        b"hello",
        lost="UpstreamClosed: closed the connection in the middle of its answer",
    ),
    Answer("bad chunk size", CHUNKED + b"2\r\nhi\r\nX\r\n", b"hi", lost="UpstreamMalformed"),
    Answer("bare LF in chunk", CHUNKED + b"2\nhi\r\n0\r\n\r\n", b"", lost="UpstreamMalformed"),
    Answer("no HTTP", b"SSH-2.0-OpenSSH\r\n", lost="UpstreamMalformed"),
    Answer("HTTP/2", b"HTTP/2.0 200 OK\r\n\r\n", lost="UpstreamMalformed: answered with HTTP/2.0"),
    Answer("status 99", b"HTTP/1.1 099 X\r\n\r\n", lost="UpstreamMalformed"),
    Answer("bare LF", b"HTTP/1.1 200 OK\nX: y\n\n", lost="UpstreamMalformed"),
    Answer("obs-fold", OK + b"X: y\r\n z\r\n\r\n", lost="UpstreamMalformed"),
    Answer("NUL", OK + b"X: \0\r\n\r\n", lost="UpstreamMalformed"),
    Answer(
        "length and chunks",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        lost="UpstreamMalformed",
    ),
    Answer(
        "gzip, chunked",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        lost="UpstreamMalformed: sent a transfer coding other than 'chunked' alone",
    ),
    Answer(
        "chunked in 1.0",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        lost="UpstreamMalformed: sent a transfer coding other than 'chunked' alone",
    ),
    Answer(
        "two lengths",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        lost="UpstreamMalformed",
    ),
    Answer(
        "switches protocols",
        b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        lost="UpstreamMalformed",
    ),
    Answer(
        "endless header",
        OK + b"X: " + b"y" * 100_000,
        lost="UpstreamMalformed: sent more than 65536 bytes",
    ),
    Answer(
        "endless headers",
        OK + b"X: y\r\n" * 5_000,
        lost="UpstreamMalformed: sent more than 256 headers",
    ),
    Answer(
        "endless interim answers",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000,
        lost="UpstreamMalformed: sent more than 65536 bytes",
    ),
]
EACH = pytest.mark.parametrize("answer", WHOLE + BROKEN, ids=lambda answer: answer.name)


@EACH
def test_an_answer_becomes_what_it_should(answer: Answer) -> None:
    """Head, content and exactly one end; and whether the connection may be used again."""
    heard = hear([answer.data], method=answer.method)
    if answer.content is not None:
        assert heard.status == answer.status
        assert heard.content == answer.content
    assert len(heard.ends) == 1
    assert heard.ends[0].startswith(answer.lost or "end")
    assert heard.is_kept == (answer.kept and not answer.lost)


@EACH
def test_byte_by_byte_gives_the_same(answer: Answer) -> None:
    """All but the fate of the connection: garbage that comes later closes it later."""
    whole = hear([answer.data], method=answer.method)
    pieces = hear([bytes([byte]) for byte in answer.data], method=answer.method)
    pieces.is_kept = whole.is_kept
    assert pieces == whole


@pytest.mark.parametrize("answer", WHOLE[:3], ids=lambda answer: answer.name)
def test_a_cut_anywhere_is_a_loss(answer: Answer) -> None:
    """A premature end is never taken for the end."""
    for end in range(len(answer.data)):
        heard = hear([answer.data[:end]])
        assert len(heard.ends) == 1
        assert heard.ends[0].startswith("UpstreamClosed"), end


def test_content_of_one_read_comes_in_one_call() -> None:
    """However many chunks it had: each call downstream costs a write."""
    heard = hear([CHUNKED + b"1\r\na\r\n1\r\nb\r\n", b"1\r\nc\r\n1\r\nd\r\n0\r\n\r\n"])
    assert (heard.content, heard.data_calls) == (b"abcd", 2)


def test_what_came_before_a_fault_is_handed_on() -> None:
    heard = hear([CHUNKED + b"2\r\nhi\r\nX\r\n"])
    assert (heard.content, heard.data_calls) == (b"hi", 1)


def test_names_are_in_lower_case_and_values_stripped() -> None:
    heard = hear([OK + b"X-Y: \t a b \t \r\nContent-Length: 0\r\n\r\n"])
    assert heard.headers == [(b"x-y", b"a b"), (b"content-length", b"0")]


def test_something_unasked_for_closes_an_idle_connection(run: Callable) -> None:
    """A timely 408 of the upstream, say: it must not be taken for the next request's answer."""

    async def main() -> None:
        closed: list[ClientConnection] = []
        connection = ClientConnection(
            on_free=lambda _: None, on_closed=closed.append, on_stale=lambda _: False
        )
        transport = PipeTransport()
        connection.connection_made(transport)
        connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert transport.is_closed
        assert not connection.is_usable
        assert closed == [connection]

    run(main())


@pytest.mark.parametrize("where", ["on_head", "on_data", "on_end", "on_lost"])
def test_a_receiver_that_raises_loses_its_answer_only(where: str) -> None:
    """The bug is reported to the loop; nothing escapes into it, and the connection is not reused."""
    reported: list[str] = []

    class Buggy(Heard):
        pass

    def fail(*_: object) -> None:
        raise ValueError("a bug")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(str(context["exception"]))
        )
        receiver = Buggy()
        setattr(receiver, where, fail)
        connection = ClientConnection(
            on_free=lambda _: None, on_closed=lambda _: None, on_stale=lambda _: False
        )
        transport = PipeTransport()
        connection.connection_made(transport)
        connection.send(b"x", b"", receiver, receiver.on_data, is_head_request=False, now=0.0)
        data = OK + b"Content-Length: 5\r\n\r\nhello"
        connection.data_received(data[:-1] if where == "on_lost" else data)
        connection.connection_lost(None)
        assert len(receiver.ends) == (0 if where in ("on_end", "on_lost") else 1)
        assert transport.is_closed == (where in ("on_head", "on_data"))

    asyncio.run(main())
    assert reported == ["a bug"]


def test_nothing_is_heard_after_closing() -> None:
    """Cancelled in the middle, in on_head as well as later."""

    async def main() -> None:
        for place in ("head", "later"):
            heard = Heard()
            connection = ClientConnection(
                on_free=lambda _: None, on_closed=lambda _: None, on_stale=lambda _: False
            )
            connection.connection_made(PipeTransport())
            if place == "head":
                heard.on_head = lambda *_, closing=connection: closing.close()  # type: ignore[method-assign]
            connection.send(b"x", b"", heard, heard.on_data, is_head_request=False, now=0.0)
            connection.data_received(CHUNKED + b"2\r\nhi\r\n")
            if place == "later":
                connection.close()
            connection.data_received(b"2\r\nho\r\n0\r\n\r\n")
            connection.connection_lost(None)
            assert heard.content == (b"hi" if place == "later" else b"")
            assert heard.ends == []

    asyncio.run(main())


_PIECES = [
    *(OK, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 X\r\n", b"HTTP/1.0 200 OK\r\n", b"\r\n"),
    *(
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"hello",
    ),
    *(b"5\r\nhello\r\n", b"0\r\n\r\n", b"X: y\r\n", b"\r\n\r\n", b"\n", b"\0", b"X: y\r\n" * 300),
]
soup = st.lists(st.sampled_from(_PIECES) | st.binary(max_size=4), max_size=16).map(b"".join)
known = st.tuples(
    st.sampled_from([answer.data[:500] for answer in WHOLE + BROKEN]),
    st.lists(st.tuples(st.integers(0, 499), st.integers(0, 255)), max_size=2),
).map(lambda pair: _mutate(*pair))


def _mutate(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    changed = bytearray(data)
    for place, value in changes:
        if changed:
            changed[place % len(changed)] = value
    return bytes(changed)


@settings(max_examples=300, deadline=None)
@given(soup | known, st.lists(st.integers(0, 600), max_size=8))
def test_any_bytes_become_the_same_however_they_are_cut(data: bytes, places: list[int]) -> None:
    """No exception leaves ``data_received``, and there is exactly one end."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    whole = hear([data])
    cut = hear([data[start:end] for start, end in itertools.pairwise(edges)])
    assert len(whole.ends) == 1
    cut.is_kept = whole.is_kept  # see above
    assert cut == whole
