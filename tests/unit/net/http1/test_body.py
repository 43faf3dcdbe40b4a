"""Bodies: framing against llhttp and against itself in other cuts; reading, and what can go wrong."""

import asyncio
import itertools
from collections.abc import Callable

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rempart.net.http1.body import Body, ChunkDecoder, LengthDecoder
from rempart.net.http1.errors import BodyMalformed, BodyTooLarge, BodyTooSlow, HttpError, PeerClosed
from rempart.net.http1.rules import Rule, RuleBroken


def decode(pieces: list[bytes], *, chunks_max: int = 50) -> tuple[bytes, int | Rule | None]:
    """Content, and the bytes left over, the rule broken, or None while it goes on."""
    decoder = ChunkDecoder(chunks_max)
    content: list[bytes] = []
    for number, piece in enumerate(pieces):
        try:
            left_over = decoder.feed(piece, content)
        except RuleBroken as broken:
            return b"".join(content), broken.rule
        if left_over >= 0:
            behind = sum(len(later) for later in pieces[number + 1 :])
            return b"".join(content), left_over + behind
    return b"".join(content), None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


class Llhttp:
    """What llhttp makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.content = b""
        self.is_whole = False
        self.is_wrong = False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            self.is_wrong = True

    def on_body(self, piece: bytes) -> None:
        self.content += piece

    def on_message_complete(self) -> None:
        self.is_whole = True


_PIECES = [
    *(b"0\r\n\r\n", b"5\r\nhello\r\n", b"1\r\na\r\n", b"A\r\n0123456789\r\n", b"0\r\n", b"\r\n"),
    *(b"5", b"hello", b";a=b", b';a="b c"', b" ", b"\r", b"\n", b"X: y\r\n", b"X", b"0x5", b"+5"),
    *(b"005\r\nhello\r\n", b"\0", b"5;a\r\nhello\r\n", b"x" * 300, b"1\r\na\r\n" * 60),
]
soup = st.lists(st.sampled_from(_PIECES) | st.binary(max_size=3), max_size=14).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(soup, st.lists(st.integers(0, 600), max_size=10))
def test_chunks_are_the_same_however_they_are_cut(data: bytes, places: list[int]) -> None:
    """Content, end and fault; nothing but ``RuleBroken`` is raised."""
    whole = decode([data])
    assert decode(cut(data, places)) == whole
    assert decode([bytes([byte]) for byte in data]) == whole


@settings(max_examples=400, deadline=None)
@given(soup)
def test_what_is_taken_llhttp_takes_too(data: bytes) -> None:
    """Ours is at least as strict: nobody behind us sees another end of a body that we let through."""
    content, end = decode([data])
    if isinstance(end, int):
        theirs = Llhttp(data[: len(data) - end])
        assert not theirs.is_wrong
        assert theirs.is_whole
        assert theirs.content == content


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.binary(max_size=20))
def test_what_was_chunked_comes_out_again(chunks: list[bytes], behind: bytes) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert decode([data + behind]) == (b"".join(chunks), len(behind))


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"5\r\nhelloXX0\r\n\r\n", Rule.CHUNK_END),
        (b"5\r\nhello\n0\r\n\r\n", Rule.CHUNK_END),
        (b"5\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
        (b"+5\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
        (b"0\r\nX\r\n\r\n", Rule.TRAILER),
        (b"0\r\n" + b"X: y\r\n" * 2000, Rule.TRAILERS_TOO_LARGE),
    ],
)
def test_a_fault_has_its_rule(data: bytes, rule: Rule) -> None:
    assert decode([data])[1] is rule


def test_chunks_are_counted() -> None:
    assert decode([b"1\r\na\r\n" * 49 + b"0\r\n\r\n"]) == (b"a" * 49, 0)
    assert decode([b"1\r\na\r\n" * 50 + b"0\r\n\r\n"])[1] is Rule.CHUNKS_TOO_MANY


@given(st.integers(0, 20), st.lists(st.integers(0, 30), max_size=5))
def test_a_length_ends_where_it_ends(length: int, places: list[int]) -> None:
    data = bytes(range(30))
    decoder = LengthDecoder(length)
    content: list[bytes] = []
    left = -1
    for piece in cut(data, places):
        if left >= 0:
            left += len(piece)
        else:
            left = decoder.feed(piece, content)
    assert (b"".join(content), left) == (data[:length], 30 - length)


class Carrier:
    """A connection that notes what its body wants."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def wants_body(self, *, asks_to_continue: bool) -> None:
        self.noted.append("continue" if asks_to_continue else "wants")

    def has_body(self) -> None:
        self.noted.append("has")


def make(length: int | None = 5, *, expects_continue: bool = False) -> tuple[Body, Carrier]:
    carrier = Carrier()
    decoder = ChunkDecoder(50) if length is None else LengthDecoder(length)
    body = Body(
        carrier,
        decoder,
        content_length=length,
        expects_continue=expects_continue,
        new_future=asyncio.get_running_loop().create_future,
    )
    return body, carrier


async def reading(body: Body, max_bytes: int = 100) -> "asyncio.Task[bytes]":
    task = asyncio.get_running_loop().create_task(body.read(max_bytes))
    await asyncio.sleep(0)
    return task


def test_a_body_that_is_there_is_read_at_once(run: Callable) -> None:
    async def main() -> None:
        body, carrier = make()
        assert body.feed(b"hel") == -1
        assert body.feed(b"lo!") == 1
        assert await body.read(5) == b"hello"
        assert carrier.noted == []
        with pytest.raises(RuntimeError, match="once"):
            await body.read(5)

    run(main())


def test_a_body_that_comes_is_waited_for(run: Callable) -> None:
    async def main() -> None:
        body, carrier = make(expects_continue=True)
        task = await reading(body)
        assert not body.expects_continue
        body.feed(b"he")
        body.feed(b"llo")
        assert await task == b"hello"
        assert carrier.noted == ["continue", "has"]

    run(main())


def test_a_client_that_did_not_wait_is_not_told_to_go_on(run: Callable) -> None:
    async def main() -> None:
        body, carrier = make(expects_continue=True)
        body.feed(b"he")
        task = await reading(body)
        body.feed(b"llo")
        await task
        assert carrier.noted == ["wants", "has"]

    run(main())


def test_a_known_length_is_refused_before_anything_is_asked_for(run: Callable) -> None:
    async def main() -> None:
        body, carrier = make(101, expects_continue=True)
        with pytest.raises(BodyTooLarge) as raised:
            await body.read(100)
        assert raised.value.limit_bytes == 100
        assert carrier.noted == []
        assert body.expects_continue  # so the connection knows that nothing may come

    run(main())


def test_an_unknown_length_is_refused_when_it_is_passed(run: Callable) -> None:
    """What came and what will come is not kept."""

    async def main() -> None:
        body, _ = make(None)
        task = await reading(body, 10)
        body.feed(b"a\r\n0123456789\r\n")
        body.feed(b"1\r\na\r\n")
        with pytest.raises(BodyTooLarge):
            await task
        body.feed(b"5\r\nhello\r\n")
        assert body.held_bytes == 0
        late, _ = make(None)
        late.feed(b"a\r\n0123456789\r\n1\r\na\r\n")
        with pytest.raises(BodyTooLarge):
            await late.read(10)

    run(main())


def test_too_large_comes_before_malformed_behind_it(run: Callable) -> None:
    """As it would if the bytes had come one by one."""

    async def main() -> None:
        body, _ = make(None)
        task = await reading(body, 3)
        with pytest.raises(RuleBroken):
            body.feed(b"4\r\nabcd\r\nX\r\n")
        body.fail(BodyMalformed("later"))
        with pytest.raises(BodyTooLarge):
            await task

    run(main())


@pytest.mark.parametrize(
    "error", [PeerClosed("gone"), BodyTooSlow("slow"), BodyMalformed("bad")], ids=repr
)
def test_a_failure_is_told_now_or_later(run: Callable, error: HttpError) -> None:
    """To who waits, or to who comes to read afterwards; the first one stays."""

    async def main() -> None:
        body, carrier = make()
        task = await reading(body)
        body.fail(error)
        body.fail(PeerClosed("again"))
        with pytest.raises(type(error), match=str(error)):
            await task
        assert carrier.noted[-1] == "has"
        assert body.has_failed
        late, _ = make()
        late.fail(error)
        with pytest.raises(type(error), match=str(error)):
            await late.read(100)

    run(main())


def test_a_cancelled_read_leaves_the_body_to_go_on(run: Callable) -> None:
    async def main() -> None:
        body, carrier = make()
        task = await reading(body)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert carrier.noted == ["wants", "has"]
        assert body.feed(b"hello") == 0
        assert body.is_complete

    run(main())


def test_what_remains_is_known_for_a_length_only(run: Callable) -> None:
    async def main() -> None:
        body, _ = make(5)
        body.feed(b"he")
        assert body.remaining_bytes == 3
        body.feed(b"llo")
        assert body.remaining_bytes == 0
        chunked, _ = make(None)
        assert chunked.remaining_bytes is None
        chunked.feed(b"0\r\n\r\n")
        assert chunked.remaining_bytes == 0

    run(main())
