"""One client's connection: states, clocks and hang-ups.

A request runs at a time. While it runs the socket is still read, since that is how a hang-up shows;
what comes is held up to a bound, and above it the socket is left alone and asked by ``poll`` instead.
The end of the client's sending side counts as a hang-up: whoever closes wants the work to stop.
"""

import asyncio
import math
from enum import Enum
from typing import TYPE_CHECKING, cast

from rempart.net.http1.body import Body, ChunkDecoder, LengthDecoder
from rempart.net.http1.errors import BodyMalformed, BodyTooSlow, PeerClosed
from rempart.net.http1.framing import CLOSE, CONTINUE, header_lines, status_line
from rempart.net.http1.head import HeadReader, RequestHead
from rempart.net.http1.messages import Request
from rempart.net.http1.reply import Reply
from rempart.net.http1.rules import Refusal, Rule, RuleBroken

if TYPE_CHECKING:
    from rempart.net.http1.server import Server


class State(Enum):
    """What a connection's input is taken for."""

    HEAD = "waits for a request, or is in the middle of its head"
    BODY = "a request runs, and its body still comes"
    RUNNING = "a request runs, and all of it has come; more input is held"
    LINGERING = "the last answer is out; input is discarded until the client closes"
    CLOSED = "nothing is read or written any more"


_HEAD, _BODY, _RUNNING, _LINGERING, _CLOSED = State


class Connection(asyncio.Protocol):
    """The server's end of a connection."""

    __slots__ = (
        "_body",
        "_deadline",
        "_discarded_bytes",
        "_head",
        "_held",
        "_is_deaf",
        "_is_paused",
        "_loop",
        "_rate_bytes",
        "_rate_since",
        "_read_at",
        "_refusal",
        "_reply",
        "_request_runs",
        "_server",
        "_stall_at",
        "_stall_flushed",
        "_stall_since",
        "_state",
        "_timer",
        "_timer_at",
        "_transport",
        "_written",
        "address",
        "peer",
        "peer_port",
    )

    def __init__(self, server: "Server", peer: str, peer_port: int, address: bytes | str) -> None:
        self._server = server
        self._loop = server.loop
        self.peer = peer
        self.peer_port = peer_port
        self.address = address
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._state = _HEAD
        self._head: HeadReader | None = None
        self._body: Body | None = None
        self._reply: Reply | None = None
        self._request_runs = False
        self._refusal: Rule | None = None
        self._held = b""
        self._is_deaf = False
        self._is_paused = False
        self._written = 0  # content of the answers before this one
        self._discarded_bytes = 0
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._read_at = 0.0
        self._rate_since = 0.0
        self._rate_bytes = 0
        self._stall_at = math.inf
        self._stall_since = 0.0
        self._stall_flushed = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is connected (after the TLS handshake, if there is one)."""
        self._transport = cast(asyncio.Transport, transport)
        limits = self._server.limits
        self._transport.set_write_buffer_limits(limits.high_mark_bytes, limits.low_mark_bytes)
        if self._server.connection_made(self):
            self._set_deadline(self._loop.time() + limits.header_read_s)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client, cut anyhow."""
        state = self._state
        if state is _HEAD:
            self._read_head(data)
        elif state is _BODY:
            self._read_body(data)
        elif state is _RUNNING:
            self._hold(data)
        elif state is _LINGERING:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > self._server.limits.linger_bytes_max:
                self.abort()

    def eof_received(self) -> bool:
        """The client will send nothing more; see the module's text."""
        if self._state is _LINGERING and self._transport.get_write_buffer_size():
            return True  # what was answered still has to go out; the timer ends it at the latest
        self._lose()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._lose()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._server.connection_lost(self)

    def pause_writing(self) -> None:
        """The client does not take what was written."""
        self._is_paused = True
        now = self._loop.time()
        self._stall_since = now
        self._stall_flushed = self._flushed()
        self._stall_at = now + self._server.limits.write_stall_s / 4
        self._arm()
        if self._reply is not None:
            self._reply.pause()

    def resume_writing(self) -> None:
        """The client has taken nearly all of it."""
        self._is_paused = False
        self._stall_at = math.inf
        if self._reply is not None:
            self._reply.resume()

    # For the server.

    @property
    def is_idle(self) -> bool:
        """Whether no request runs on it."""
        return not self._request_runs and self._state is _HEAD

    def close_when_idle(self) -> None:
        """Ends an idle connection; one that is in the middle of a head gets its answer first."""
        if self.is_idle and (self._head is None or not self._head.has_begun):
            self._close()

    def abort(self) -> None:
        """Ends it at once, whatever is unsent."""
        self._lose()
        self._transport.abort()

    def refuse(self, rule: Rule) -> None:
        """Answers for the whole connection: it broke a rule, and nothing after that can be trusted."""
        refusal = Refusal(rule, self.peer)
        headers, body = self._server.refused(refusal)
        head = b"%b%b%bcontent-length: %d\r\n%b\r\n" % (
            status_line(refusal.status),
            header_lines(headers),
            self._server.date_line(),
            len(body),
            CLOSE,
        )
        self._transport.write(head + body)
        self._linger()

    def request_ended(self) -> None:
        """The handler returned, and its answer is ended or given up."""
        self._request_runs = False
        if self._reply is not None:
            self._written += self._reply.bytes_sent
            self._reply = None
        if self._state is _RUNNING:
            self._next()
        elif self._state is _BODY:  # the unread rest of a small body is skipped
            self._set_deadline(self._loop.time() + self._server.limits.body_read_s)

    def answers_refusal(self) -> bool:
        """Whether the end of the running request brings an answer by itself."""
        return self._refusal is not None

    def is_hung_up(self) -> None:
        """The socket says that the client is gone, although nobody reads it."""
        self.abort()

    def fileno(self) -> int:
        """The socket's descriptor, -1 when it is closed."""
        socket = self._transport.get_extra_info("socket")
        return -1 if socket is None else cast(int, socket.fileno())

    # For the answer (reply.Line).

    def date_line(self) -> bytes:
        """See ``reply.Line``."""
        return self._server.date_line()

    def must_end(self) -> bool:
        """See ``reply.Line``."""
        if self._refusal is not None or self._server.is_draining:
            return True
        body = self._body
        if body is None or body.is_complete:
            return False
        remaining = body.remaining_bytes
        # Who waits for "100 Continue" may or may not send the body after another answer.
        return (
            body.expects_continue
            or remaining is None
            or remaining > self._server.limits.skip_bytes_max
        )

    def reply_ended(self, *, closes: bool) -> None:
        """See ``reply.Line``."""
        if self._state is _CLOSED:
            return
        body = self._body
        is_read = (body is None or body.is_complete) and not self._held and not self._is_deaf
        if closes or self._refusal is not None:
            if is_read:
                self._close()
            else:
                self._linger()
        elif body is not None and not body.is_complete:
            body.discard()
            self._listen()

    def reply_aborted(self) -> None:
        """See ``reply.Line``: an answer that never began is replaced by a pending refusal."""
        reply = self._reply
        if self._refusal is not None and reply is not None and not reply.is_started:
            self.refuse(self._refusal)
        else:
            self.abort()

    # For the body (body.Carrier).

    def wants_body(self, *, asks_to_continue: bool) -> None:
        """See ``body.Carrier``."""
        if asks_to_continue:
            self._transport.write(CONTINUE)
        now = self._loop.time()
        self._read_at = self._rate_since = now
        body = self._body
        self._rate_bytes = body.received_bytes if body is not None else 0
        limits = self._server.limits
        self._set_deadline(now + min(limits.body_read_s, limits.rate_window_s))
        self._listen()

    def has_body(self) -> None:
        """See ``body.Carrier``."""
        if self._state in (_BODY, _RUNNING):
            self._deadline = math.inf

    # Input.

    def _read_head(self, data: bytes) -> None:
        reader = self._head
        if reader is None:
            reader = HeadReader(self._server.limits)
        try:
            found = reader.feed(data)
        except RuleBroken as broken:
            self._head = None
            self.refuse(broken.rule)
            return
        if found is None:
            if self._head is None:
                self._head = reader
                self._set_deadline(self._loop.time() + self._server.limits.header_read_s)
            return
        self._head = None
        head, used = found
        self._begin(head, data[used:] if used < len(data) else b"")

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        self._deadline = math.inf
        body: Body | None = None
        if head.is_chunked or head.content_length is not None:
            decoder = (
                ChunkDecoder(self._server.limits.chunks_max)
                if head.is_chunked
                else LengthDecoder(head.content_length or 0)
            )
            body = Body(
                self,
                decoder,
                content_length=head.content_length,
                expects_continue=head.expects_continue,
                new_future=self._loop.create_future,
            )
        self._body = body
        is_1_0 = head.version == "1.0"
        reply = Reply(
            self,
            self._transport.write,
            self._loop,
            is_head_request=head.method == "HEAD",
            is_1_0=is_1_0,
            is_kept_1_0=is_1_0 and head.keeps_alive,
        )
        reply.close_after = not head.keeps_alive
        reply.is_paused = self._is_paused
        self._reply = reply
        self._request_runs = True
        request = Request(head, body, self.peer, self.peer_port)
        if body is not None and not body.is_complete:
            self._state = _BODY
            if rest:
                self._read_body(rest)
        else:
            self._state = _RUNNING
            if rest:
                self._hold(rest)
        self._server.run(self, request, reply)

    def _read_body(self, data: bytes) -> None:
        body = cast(Body, self._body)
        try:
            left_over = body.feed(data)
        except RuleBroken as broken:
            self._body_broken(body, broken.rule)
            return
        if left_over < 0:
            if body.is_waited_for:
                self._read_at = self._loop.time()
            elif body.held_bytes > self._server.limits.held_bytes_max:
                self._be_deaf()
            return
        self._state = _RUNNING
        if left_over:
            self._hold(data[-left_over:])
        if not self._request_runs:
            self._next()

    def _body_broken(self, body: Body, rule: Rule) -> None:
        """The place where the next request begins is lost, so this one is the last."""
        self._held = b""
        reply = self._reply
        if reply is None or reply.is_ended:
            self._linger()
            return
        self._refusal = rule
        self._state = _RUNNING
        # The rest is noise; not reading it keeps it from being taken for a request.
        self._be_deaf()
        body.fail(BodyMalformed(rule.reason))

    def _hold(self, data: bytes) -> None:
        self._held = self._held + data if self._held else data
        if len(self._held) > self._server.limits.held_bytes_max:
            self._be_deaf()

    def _next(self) -> None:
        """The connection is free for another request."""
        self._body = None
        self._state = _HEAD
        self._set_deadline(self._loop.time() + self._server.idle_s)
        held, self._held = self._held, b""
        self._listen()
        if held:
            self._read_head(held)

    def _be_deaf(self) -> None:
        if not self._is_deaf:
            self._is_deaf = True
            self._transport.pause_reading()
            self._server.watch(self)

    def _listen(self) -> None:
        if self._is_deaf:
            self._is_deaf = False
            self._server.unwatch(self)
            if self._state is not _CLOSED:
                self._transport.resume_reading()

    # Ends.

    def _lose(self) -> None:
        if self._state is _CLOSED:
            return
        self._state = _CLOSED
        self._held = b""
        self._head = None
        self._deadline = math.inf
        self._stall_at = math.inf
        self._server.unwatch(self)
        if self._body is not None:
            self._body.fail(PeerClosed("the client went away"))
        if self._reply is not None:
            self._reply.lose()

    def _linger(self) -> None:
        """Ends our side and discards the client's, so that no reset overtakes the answer (RFC 9112 §9.6)."""
        self._state = _LINGERING
        self._held = b""
        self._body = None
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._set_deadline(self._loop.time() + self._server.limits.linger_s)
        self._listen()

    def _close(self) -> None:
        """Closes when everything is sent, or aborts when the client does not take it."""
        if self._transport.get_write_buffer_size():
            self._state = _LINGERING
            self._set_deadline(self._loop.time() + self._server.limits.write_stall_s)
        else:
            self._lose()
        self._transport.close()

    # Clocks.

    def _flushed(self) -> int:
        reply = self._reply
        written = self._written + (reply.bytes_sent if reply is not None else 0)
        return written - self._transport.get_write_buffer_size()

    def _set_deadline(self, at: float) -> None:
        self._deadline = at
        self._arm()

    def _arm(self) -> None:
        """One timer per connection, moved only to be earlier; when it fires the moments are read again."""
        at = min(self._deadline, self._stall_at)
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        now = self._loop.time()
        if now >= self._stall_at:
            self._check_stall(now)
        if now >= self._deadline:
            self._check_deadline(now)
        if self._state is not _CLOSED:
            at = min(self._deadline, self._stall_at)
            if at != math.inf:
                self._arm()

    def _check_stall(self, now: float) -> None:
        flushed = self._flushed()
        if flushed > self._stall_flushed:
            self._stall_flushed = flushed
            self._stall_since = now
        elif now - self._stall_since >= self._server.limits.write_stall_s:
            self._server.count_stalled()
            self.abort()
            return
        self._stall_at = now + self._server.limits.write_stall_s / 4

    def _check_deadline(self, now: float) -> None:
        self._deadline = math.inf
        state = self._state
        if state is _HEAD:
            if self._head is not None and self._head.has_begun:
                self._head = None
                self.refuse(Rule.HEADER_TIME)
            else:
                self._close()
        elif state is _LINGERING:
            self.abort()
        elif state is _BODY:
            body = cast(Body, self._body)
            if not self._request_runs:
                self.abort()  # the rest of a body that is only skipped does not come
            elif body.is_waited_for:
                self._check_body_rate(body, now)

    def _check_body_rate(self, body: Body, now: float) -> None:
        limits = self._server.limits
        if now - self._read_at >= limits.body_read_s:
            body.fail(BodyTooSlow(f"nothing came for {limits.body_read_s:g} s"))
            return
        elapsed = now - self._rate_since
        if elapsed >= limits.rate_window_s:
            if body.received_bytes - self._rate_bytes < limits.body_bytes_per_s_min * elapsed:
                body.fail(BodyTooSlow(f"less than {limits.body_bytes_per_s_min} bytes per second came"))
                return
            self._rate_since = now
            self._rate_bytes = body.received_bytes
        self._set_deadline(
            min(self._read_at + limits.body_read_s, self._rate_since + limits.rate_window_s)
        )
