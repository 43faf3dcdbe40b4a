"""A request's body: framing, bounds, and whoever waits for it.

The framing is ours and not llhttp's, because the place where a body ends must be known exactly: what
follows in the same read belongs to the next request. Source: RFC 9112 §6–7.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Protocol

from rempart.net.http1.errors import BodyTooLarge, HttpError
from rempart.net.http1.head import RequestHead
from rempart.net.http1.rules import Rule, RuleBroken

_SIZE_LINE_BYTES_MAX = 256
_TRAILERS_BYTES_MAX = 8192
# A size of up to 16 digits, and an extension that nobody uses but everybody must skip: printable,
# so that no lone CR or LF can hide in it.
_size_line = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t -~]*)?").fullmatch
_trailer_line = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*").fullmatch


class ChunkDecoder:
    """Takes the bytes of one chunked body, gives its content; bytes behind its end are left over."""

    __slots__ = ("_chunks_left", "_held", "_remaining", "_step", "_trailer_bytes")

    def __init__(self, chunks_max: int) -> None:
        self._held = b""  # an unfinished line
        self._remaining = 0  # bytes left of this chunk's data
        self._step = _SIZE
        self._chunks_left = chunks_max
        self._trailer_bytes = 0

    def feed(self, data: bytes, pieces: list[bytes]) -> int:
        """Adds content to ``pieces``; how many bytes of ``data`` lie behind the end, -1 before it.

        Raises:
            RuleBroken: the framing is wrong; it depends on the bytes only, not on their cuts.
        """
        held = self._held
        if held:
            data = held + data
            self._held = b""
        at, size = 0, len(data)
        while at < size:
            if self._step == _DATA:
                if (left := size - at) < self._remaining:
                    self._remaining -= left
                    pieces.append(data[at:] if at else data)
                    return -1
                end = at + self._remaining
                pieces.append(data[at:end])
                at = end
                self._step = _DATA_END
                continue
            if self._step == _DATA_END:
                ending = data[at : at + 2]
                if ending != b"\r\n":
                    if ending == b"\r":
                        break
                    raise RuleBroken(Rule.CHUNK_END)
                at += 2
                self._step = _SIZE
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._check_unfinished(size - at)
                break
            if self._step == _SIZE:
                self._size(data, at, end)
                at = end + 2
            elif end == at:
                return size - at - 2
            else:
                self._trailer(data, at, end)
                at = end + 2
        self._held = data[at:]
        return -1

    def _size(self, data: bytes, at: int, end: int) -> None:
        if end - at > _SIZE_LINE_BYTES_MAX:
            raise RuleBroken(Rule.CHUNK_SIZE)
        match = _size_line(data, at, end)
        if match is None:
            raise RuleBroken(Rule.CHUNK_SIZE)
        self._remaining = int(match[1], 16)
        self._step = _DATA if self._remaining else _TRAILER
        self._chunks_left -= 1
        if self._chunks_left < 0:
            raise RuleBroken(Rule.CHUNKS_TOO_MANY)

    def _trailer(self, data: bytes, at: int, end: int) -> None:
        self._trailer_bytes += end + 2 - at
        if self._trailer_bytes > _TRAILERS_BYTES_MAX:
            raise RuleBroken(Rule.TRAILERS_TOO_LARGE)
        if _trailer_line(data, at, end) is None:
            raise RuleBroken(Rule.TRAILER)

    def _check_unfinished(self, held_bytes: int) -> None:
        """A line whose end is not in sight is bounded like one that is (the CR may be there already)."""
        if self._step == _SIZE:
            if held_bytes > _SIZE_LINE_BYTES_MAX + 1:
                raise RuleBroken(Rule.CHUNK_SIZE)
        elif self._trailer_bytes + held_bytes > _TRAILERS_BYTES_MAX:
            raise RuleBroken(Rule.TRAILERS_TOO_LARGE)


_SIZE, _DATA, _DATA_END, _TRAILER = range(4)


class LengthDecoder:
    """Takes the bytes of a body whose length is known."""

    __slots__ = ("remaining",)

    def __init__(self, content_length: int) -> None:
        self.remaining = content_length

    def feed(self, data: bytes, pieces: list[bytes]) -> int:
        """As ``ChunkDecoder.feed``."""
        left = self.remaining - len(data)
        if left > 0:
            self.remaining = left
            pieces.append(data)
            return -1
        pieces.append(data[: self.remaining] if left else data)
        self.remaining = 0
        return -left


class Carrier(Protocol):
    """The connection as its body needs it."""

    def wants_body(self, *, asks_to_continue: bool) -> None:
        """Somebody waits: send ``100 Continue`` if so, read the socket, watch the rate."""
        ...

    def has_body(self) -> None:
        """Nobody waits any more."""
        ...


class Body:
    """One request's body as it comes in.

    Attributes:
        is_complete: its last byte has come.
        received_bytes: content so far.
        expects_continue: the client waits for ``100 Continue`` and has not got it.
    """

    __slots__ = (
        "_carrier",
        "_content_length",
        "_decoder",
        "_error",
        "_is_discarded",
        "_max_bytes",
        "_new_future",
        "_pieces",
        "_waiter",
        "expects_continue",
        "is_complete",
        "received_bytes",
    )

    def __init__(
        self,
        carrier: Carrier,
        decoder: ChunkDecoder | LengthDecoder,
        *,
        content_length: int | None,
        expects_continue: bool,
        new_future: Callable[[], "asyncio.Future[None]"],
    ) -> None:
        self._carrier = carrier
        self._decoder = decoder
        self._content_length = content_length
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._error: HttpError | None = None
        self._max_bytes: int | None = None
        self._is_discarded = False
        self._new_future = new_future
        self.expects_continue = expects_continue
        self.is_complete = content_length == 0
        self.received_bytes = 0

    @property
    def remaining_bytes(self) -> int | None:
        """What is still to come, None when only its end will tell."""
        if self.is_complete:
            return 0
        return self._decoder.remaining if isinstance(self._decoder, LengthDecoder) else None

    @property
    def has_failed(self) -> bool:
        """Whether its reader was told that it will not be whole."""
        return self._error is not None

    @property
    def held_bytes(self) -> int:
        """Content in memory."""
        return 0 if self._is_discarded else self.received_bytes

    async def read(self, max_bytes: int) -> bytes:
        """See ``Request.read``."""
        if self._max_bytes is not None:
            raise RuntimeError("a body can be read once")
        self._max_bytes = max_bytes
        if (self._content_length or self.received_bytes) > max_bytes:
            self.discard()
            raise BodyTooLarge(max_bytes)
        if self._error is not None:
            raise self._error
        if not self.is_complete:
            self._waiter = waiter = self._new_future()
            self._carrier.wants_body(asks_to_continue=self.expects_continue)
            self.expects_continue = False
            try:
                await waiter
            finally:
                self._waiter = None
                self._carrier.has_body()
        pieces, self._pieces = self._pieces, []
        self._is_discarded = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def feed(self, data: bytes) -> int:
        """Takes what came; how many bytes of it lie behind the body, -1 while that goes on.

        Raises:
            RuleBroken: the framing is wrong.
        """
        pieces = self._pieces
        count = len(pieces)
        self.expects_continue = False  # it did not wait
        try:
            left_over = self._decoder.feed(data, pieces)
        finally:
            for piece in pieces[count:]:
                self.received_bytes += len(piece)
            if self._is_discarded:
                pieces.clear()
            # Before an error of the framing, which lies behind these bytes, is told.
            max_bytes = self._max_bytes
            if max_bytes is not None and self.received_bytes > max_bytes:
                self.fail(BodyTooLarge(max_bytes))
        if left_over >= 0:
            self.is_complete = True
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        return left_over

    def fail(self, error: HttpError) -> None:
        """Ends ``read`` with an error, now or when it is called; the first one stays."""
        self.discard()
        if self._error is None:
            self._error = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def discard(self) -> None:
        """Keeps nothing of what came and of what will come."""
        self._is_discarded = True
        self._pieces.clear()


def body_of(
    head: RequestHead,
    carrier: Carrier,
    chunks_max: int,
    new_future: Callable[[], "asyncio.Future[None]"],
) -> Body | None:
    """The body that a head announces, None when it announces none."""
    decoder: ChunkDecoder | LengthDecoder
    if head.is_chunked:
        decoder = ChunkDecoder(chunks_max)
    elif head.content_length is not None:
        decoder = LengthDecoder(head.content_length)
    else:
        return None
    return Body(
        carrier,
        decoder,
        content_length=head.content_length,
        expects_continue=head.expects_continue,
        new_future=new_future,
    )
