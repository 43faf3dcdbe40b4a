"""An answer as its handler writes it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rempart.net.http1.errors import PeerClosed
from rempart.net.http1.reply import Reply


class Line:
    """A connection that notes what its answer does."""

    def __init__(self, *, must_end: bool = False) -> None:
        self.ends = must_end
        self.writes: list[bytes] = []
        self.noted: list[str] = []

    def date_line(self) -> bytes:
        return b"date: now\r\n"

    def must_end(self) -> bool:
        return self.ends

    def reply_ended(self, *, closes: bool) -> None:
        self.noted.append("closes" if closes else "ended")

    def reply_aborted(self) -> None:
        self.noted.append("aborted")


def make(**options: Any) -> tuple[Reply, Line]:
    line = Line(must_end=options.pop("must_end", False))
    kind = {"is_head_request": False, "is_1_0": False, "is_kept_1_0": False, **options}
    return Reply(line, line.writes.append, asyncio.get_running_loop(), **kind), line


HEAD = b"HTTP/1.1 200 OK\r\na: b\r\ndate: now\r\n"
CHUNKED_HEAD = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def test_the_head_goes_out_with_the_first_content(run: Callable) -> None:
    """One write each for the first chunk, for a further one, and for the last with the end."""

    async def main() -> None:
        reply, line = make()
        reply.start(200, [(b"a", b"b")])
        assert (line.writes, reply.is_started) == ([], True)
        assert reply.write(b"one") is True
        reply.write(b"twotwotwotwotwotwo")
        reply.end(b"three")
        assert line.writes == [
            CHUNKED_HEAD + b"3\r\none\r\n",
            b"12\r\ntwotwotwotwotwotwo\r\n",
            b"5\r\nthree\r\n0\r\n\r\n",
        ]
        assert (reply.bytes_sent, reply.is_ended, line.noted) == (26, True, ["ended"])

    run(main())


def test_a_held_head_can_be_sent_alone(run: Callable) -> None:
    async def main() -> None:
        reply, line = make()
        reply.start(200, [(b"a", b"b")])
        reply.flush()
        reply.flush()
        reply.end()
        assert line.writes == [CHUNKED_HEAD, b"0\r\n\r\n"]

    run(main())


def test_nothing_is_not_taken_for_the_end(run: Callable) -> None:
    """An empty chunk would end the answer."""

    async def main() -> None:
        reply, line = make()
        reply.start(200, [(b"a", b"b")])
        assert reply.write(b"") is True
        assert line.writes == []
        reply.end()
        assert line.writes == [CHUNKED_HEAD + b"0\r\n\r\n"]

    run(main())


def test_a_whole_answer_is_one_write(run: Callable) -> None:
    async def main() -> None:
        reply, line = make()
        reply.send(200, [(b"a", b"b")], b"hello")
        assert line.writes == [HEAD + b"content-length: 5\r\n\r\nhello"]
        empty, line = make()
        empty.send(200, [(b"a", b"b")], b"")
        assert line.writes == [HEAD + b"content-length: 0\r\n\r\n"]

    run(main())


def test_a_known_length_is_kept_to(run: Callable) -> None:
    """More is refused before it is written; less is aborted, lest it be taken for whole."""

    async def main() -> None:
        reply, line = make()
        reply.start(200, [(b"a", b"b")], length=5)
        reply.write(b"hel")
        with pytest.raises(ValueError, match="longer"):
            reply.write(b"lo!")
        reply.end(b"lo")
        assert line.writes == [HEAD + b"content-length: 5\r\n\r\nhel", b"lo"]
        short, line = make()
        short.start(200, [], length=5)
        with pytest.raises(ValueError, match="shorter"):
            short.end(b"hell")
        assert line.noted == ["aborted"]
        assert line.writes == []

    run(main())


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_content(run: Callable, status: int) -> None:
    async def main() -> None:
        reply, line = make()
        reply.start(status, [])
        reply.write(b"dropped")
        reply.end(b"dropped")
        (written,) = line.writes
        assert written.endswith(b"date: now\r\n\r\n")
        assert reply.bytes_sent == 0

    run(main())


def test_head_gets_the_head_only(run: Callable) -> None:
    async def main() -> None:
        reply, line = make(is_head_request=True)
        reply.start(200, [(b"a", b"b")])
        assert reply.write(b"dropped") is True
        reply.end()
        assert line.writes == [CHUNKED_HEAD]
        whole, line = make(is_head_request=True)
        whole.send(200, [(b"a", b"b")], b"hello")
        assert line.writes == [HEAD + b"content-length: 5\r\n\r\n"]

    run(main())


def test_1_0_knows_no_chunks(run: Callable) -> None:
    async def main() -> None:
        reply, line = make(is_1_0=True, is_kept_1_0=True)
        reply.start(200, [(b"a", b"b")])
        reply.write(b"one")
        reply.end(b"two")
        assert line.writes == [HEAD + b"connection: close\r\n\r\none", b"two"]
        assert line.noted == ["closes"]
        kept, line = make(is_1_0=True, is_kept_1_0=True)
        kept.send(200, [(b"a", b"b")], b"one")
        assert line.writes == [HEAD + b"content-length: 3\r\nconnection: keep-alive\r\n\r\none"]
        assert line.noted == ["ended"]

    run(main())


@pytest.mark.parametrize("why", ["the handler", "the connection"])
def test_a_last_answer_says_so(run: Callable, why: str) -> None:
    async def main() -> None:
        reply, line = make(must_end=why == "the connection")
        reply.close_after = why == "the handler"
        reply.send(200, [(b"a", b"b")], b"")
        assert line.writes == [HEAD + b"content-length: 0\r\nconnection: close\r\n\r\n"]
        assert line.noted == ["closes"]

    run(main())


def test_a_misuse_is_said(run: Callable) -> None:
    async def main() -> None:
        reply, line = make()
        for early in (lambda: reply.write(b"x"), reply.end):
            with pytest.raises(RuntimeError, match="not started"):
                early()
        for status in (100, 199, 600):
            with pytest.raises(ValueError, match="200 to 599"):
                reply.start(status, [])
        with pytest.raises(ValueError, match="CR, LF"):
            reply.start(200, [(b"a", b"b\r\nc: d")])
        reply.send(200, [], b"")
        for late in (lambda: reply.write(b"x"), reply.end, lambda: reply.start(200, [])):
            with pytest.raises(RuntimeError, match=r"started|ended"):
                late()
        assert len(line.writes) == 1

    run(main())


def test_after_the_client_has_gone_nothing_happens(run: Callable) -> None:
    """No second path for who writes; ``drain`` is where it is told."""

    async def main() -> None:
        gone: list[str] = []
        reply, line = make()
        reply.on_gone = lambda: gone.append("gone")
        reply.start(200, [])
        reply.lose()
        reply.lose()
        assert (gone, reply.is_gone) == (["gone"], True)
        assert reply.write(b"x") is False
        reply.flush()
        with pytest.raises(PeerClosed):
            await reply.drain()
        reply.end(b"x")
        reply.abort()
        assert (line.writes, line.noted, reply.is_ended) == ([], [], False)
        unstarted, line = make()
        unstarted.lose()
        unstarted.send(200, [], b"x")
        assert line.writes == []

    run(main())


def test_its_own_abort_is_no_hang_up(run: Callable) -> None:
    async def main() -> None:
        gone: list[str] = []
        reply, line = make()
        reply.on_gone = lambda: gone.append("gone")
        reply.start(200, [])
        reply.write(b"half")
        reply.abort()
        reply.lose()
        reply.on_gone = None
        assert (gone, line.noted, reply.is_gone) == ([], ["aborted"], True)

    run(main())


def test_an_ended_answer_is_not_lost(run: Callable) -> None:
    async def main() -> None:
        gone: list[str] = []
        reply, _ = make()
        reply.on_gone = lambda: gone.append("gone")
        reply.send(200, [], b"")
        reply.lose()
        reply.abort()
        assert (gone, reply.is_gone, reply.is_ended) == ([], False, True)

    run(main())


def test_drain_waits_for_the_low_mark(run: Callable) -> None:
    """Every one who waits is woken; who was cancelled in between is no trouble."""

    async def main() -> None:
        told: list[str] = []
        reply, _ = make()
        reply.on_paused = lambda: told.append("paused")
        reply.on_resumed = lambda: told.append("resumed")
        reply.start(200, [])
        await reply.drain()
        reply.pause()
        assert reply.write(b"x") is False
        loop = asyncio.get_running_loop()
        waiting = [loop.create_task(reply.drain()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, False, False]
        reply.resume()
        await asyncio.gather(*waiting[1:])
        assert reply.write(b"x") is True
        assert told == ["paused", "resumed"]

    run(main())


def test_a_client_that_goes_wakes_who_drains(run: Callable) -> None:
    async def main() -> None:
        reply, _ = make()
        reply.start(200, [])
        reply.pause()
        waiting = asyncio.get_running_loop().create_task(reply.drain())
        await asyncio.sleep(0)
        reply.lose()
        with pytest.raises(PeerClosed):
            await waiting

    run(main())
