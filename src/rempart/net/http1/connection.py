"""One client's connection: its states, and how a hang-up is noticed in each.

A request runs at a time. While it runs the socket is still read, since that is the only way to see a
hang-up: the end of a connection stands in line behind the bytes before it. What comes is held for the next
request, up to a bound; above it everything is discarded, and the connection ends with the running answer
(RFC 9112 §9.3.2: who pipelines must be ready to send again). Only a large body that its handler has
not asked for is left in the socket, which is then looked at by ``poll``.
The end of the client's sending side counts as a hang-up: whoever closes wants the work to stop.
"""

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, cast

from rempart.net.http1.body import Body, body_of
from rempart.net.http1.clocks import Alarm, BodyRate, WriteStall
from rempart.net.http1.errors import BodyMalformed, BodyTooSlow, PeerClosed
from rempart.net.http1.framing import CONTINUE
from rempart.net.http1.head import RequestHead
from rempart.net.http1.head_reader import HeadReader
from rempart.net.http1.messages import Request
from rempart.net.http1.reply import Reply
from rempart.net.http1.rules import Refusal, Rule, RuleBroken
from rempart.net.http1.taken import acknowledged_bytes

if TYPE_CHECKING:
    from rempart.net.http1.server import Server


class State(Enum):
    """What a connection's input is taken for."""

    HEAD = "waits for a request, or is in the middle of its head"
    BODY = "a request's body comes, for its handler or to be skipped"
    RUNNING = "a request runs, and all of it has come; more input is held"
    LINGERING = "the last answer is out; input is discarded until it is sent and the client closes"
    CLOSED = "nothing is read or written any more"


_HEAD, _BODY, _RUNNING, _LINGERING, _CLOSED = State


class Connection(asyncio.Protocol):
    """The server's end of a connection.

    Args:
        address: what counts as one address for the cap on connections.
    """

    __slots__ = (
        "_alarm",
        "_body",
        "_discarded_bytes",
        "_discards",
        "_head",
        "_held",
        "_is_deaf",
        "_is_paused",
        "_linger_until",
        "_loop",
        "_rate",
        "_refusal",
        "_reply",
        "_request_runs",
        "_server",
        "_stall",
        "_state",
        "_transport",
        "_written_bytes",
        "address",
        "peer",
        "peer_port",
    )

    def __init__(self, server: "Server", peer: str, peer_port: int, address: bytes | str) -> None:
        self.peer = peer
        self.peer_port = peer_port
        self.address = address
        self._server = server
        self._loop = server.loop
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._state = _HEAD
        self._head: HeadReader | None = None
        self._body: Body | None = None
        self._reply: Reply | None = None
        self._request_runs = False
        self._refusal: Rule | None = None  # sent when the running request ends without an answer
        self._held = b""
        self._discards = False  # input is no more held, so that this request is the last
        self._is_deaf = False  # the socket is not read
        self._is_paused = False
        self._written_bytes = 0  # content of the answers before this one
        self._discarded_bytes = 0
        self._linger_until = 0.0
        self._alarm = Alarm(self._loop, self._on_alarm)
        self._rate: BodyRate | None = None
        self._stall: WriteStall | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is connected (after the TLS handshake, if there is one)."""
        self._transport = cast(asyncio.Transport, transport)
        limits = self._server.limits
        self._transport.set_write_buffer_limits(limits.high_mark_bytes, limits.low_mark_bytes)
        if self._server.connection_made(self):
            self._alarm.set(self._loop.time() + limits.header_read_s)

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
            self._discard(len(data))

    def eof_received(self) -> bool:
        """The client will send nothing more; see the module's text."""
        reply = self._reply
        if reply is not None and not reply.is_ended:
            self.abort()
        elif self._state is not _CLOSED:
            self._close()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._lose()
        self._alarm.close()
        if self._stall is not None:
            self._stall.close()
        self._server.connection_lost(self)

    def pause_writing(self) -> None:
        """The client does not take what was written."""
        self._is_paused = True
        if self._stall is None:
            self._stall = WriteStall(
                self._loop,
                self._server.limits.write_stall_s,
                flushed_bytes=self._flushed_bytes,
                on_stalled=self._stalled,
            )
        self._stall.begin(self._loop.time())
        if self._reply is not None:
            self._reply.pause()

    def resume_writing(self) -> None:
        """The client has taken nearly all of it."""
        self._is_paused = False
        if self._stall is not None:
            self._stall.end()
        if self._reply is not None:
            self._reply.resume()

    # For the server.

    def close_when_idle(self) -> None:
        """Ends an idle connection; one that is in the middle of a head gets its answer first."""
        if self._state is _HEAD and (self._head is None or not self._head.has_begun):
            self._close()

    def abort(self) -> None:
        """Ends it at once, whatever is unsent."""
        self._lose()
        self._transport.abort()

    def refuse(self, rule: Rule) -> None:
        """Answers for the protocol layer, as the last thing on this connection."""
        if self._state is _CLOSED or self._state is _LINGERING:
            return
        if self._reply is not None:
            self._reply.give_up()
        self._transport.write(self._server.refused(Refusal(rule, self.peer)))
        self._linger()

    def refuse_request(self) -> bool:
        """Answers a running request whose body broke a rule, if it did and nothing was answered yet."""
        rule = self._refusal
        if rule is None or self._reply is None or self._reply.is_started:
            return False
        self.refuse(rule)
        return True

    def request_ended(self) -> None:
        """The handler returned, and its answer is ended or given up."""
        self._request_runs = False
        if self._reply is not None:
            self._written_bytes += self._reply.bytes_sent
            self._reply = None
        if self._state is _RUNNING:
            self._next()
        elif self._state is _BODY:  # the unread rest of a small body is skipped
            self._alarm.set(self._loop.time() + self._server.limits.body_read_s)

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
        if self._discards or self._server.is_draining:
            return True
        body = self._body
        if body is None or body.is_complete:
            return False
        remaining = body.remaining_bytes
        # Who waits for "100 Continue" may or may not send the body after another answer.
        return (
            body.expects_continue
            or body.has_failed
            or remaining is None
            or remaining > self._server.limits.skip_bytes_max
        )

    def reply_ended(self, *, closes: bool) -> None:
        """See ``reply.Line``."""
        if self._state is _CLOSED:
            return
        body = self._body
        if closes or self._discards:
            is_all_read = body is None or body.is_complete
            if is_all_read and not (self._held or self._discards):
                self._close()
            else:
                self._linger()
        elif body is not None and not body.is_complete:
            body.discard()
            self._listen()

    def reply_aborted(self) -> None:
        """See ``reply.Line``: an answer that never began is replaced by a pending refusal."""
        if not self.refuse_request():
            self.abort()

    # For the body (body.Carrier).

    def wants_body(self, *, asks_to_continue: bool) -> None:
        """See ``body.Carrier``."""
        if asks_to_continue:
            self._transport.write(CONTINUE)
        body = cast(Body, self._body)
        self._rate = BodyRate(self._server.limits, self._loop.time(), body.received_bytes)
        self._alarm.set(self._rate.next_look_at())
        self._listen()

    def has_body(self) -> None:
        """See ``body.Carrier``."""
        if self._rate is not None:
            self._rate = None
            if self._state is _BODY or self._state is _RUNNING:
                self._alarm.off()

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
                self._alarm.set(self._loop.time() + self._server.limits.header_read_s)
            return
        self._head = None
        head, used = found
        self._begin(head, data[used:] if used < len(data) else b"")

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        if self._server.is_closing:
            self.abort()
            return
        self._alarm.off()
        self._body = body = body_of(
            head, self, self._server.limits.chunks_max, self._loop.create_future
        )
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
        self._server.run(self, Request(head, body, self.peer, self.peer_port), reply)
        if body is None or body.is_complete:
            self._state = _RUNNING
            if rest:
                self._hold(rest)
        else:
            self._state = _BODY
            if rest:
                self._read_body(rest)

    def _read_body(self, data: bytes) -> None:
        body = cast(Body, self._body)
        try:
            left_over = body.feed(data)
        except RuleBroken as broken:
            self._body_broken(body, broken.rule)
            return
        if left_over < 0:
            if self._rate is not None:
                self._rate.read(self._loop.time())
            elif body.held_bytes > self._server.limits.unread_body_bytes_max:
                self._be_deaf()
            return
        self._state = _RUNNING
        if left_over:
            self._hold(data[-left_over:])
        if not self._request_runs:
            self._next()

    def _body_broken(self, body: Body, rule: Rule) -> None:
        """The place where the next request begins is lost, so this one is the last."""
        reply = self._reply
        if reply is None or reply.is_ended:
            self._linger()
            return
        self._refusal = rule
        self._state = _RUNNING
        self._discards = True
        body.fail(BodyMalformed(rule.reason))

    def _hold(self, data: bytes) -> None:
        if self._discards:
            return
        self._held = self._held + data if self._held else data
        if len(self._held) > self._server.limits.held_bytes_max:
            self._discards = True
            self._held = b""

    def _next(self) -> None:
        """The connection is free for another request."""
        self._body = None
        self._state = _HEAD
        self._alarm.set(self._loop.time() + self._server.limits.idle_s)
        held, self._held = self._held, b""
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
            self._transport.resume_reading()

    # Ends.

    def _lose(self) -> None:
        if self._state is _CLOSED:
            return
        self._state = _CLOSED
        self._held = b""
        self._head = None
        self._alarm.off()
        if self._stall is not None:
            self._stall.end()
        if self._is_deaf:
            self._server.unwatch(self)
        if self._body is not None:
            self._body.fail(PeerClosed("the client went away"))
        if self._reply is not None:
            self._reply.lose()

    def _linger(self) -> None:
        """Ends our side and discards the client's, so that no reset overtakes the answer (RFC 9112 §9.6)."""
        limits = self._server.limits
        now = self._loop.time()
        self._linger_until = now + limits.linger_s
        if self._transport.can_write_eof():
            self._enter_last_state(self._linger_until)
            self._transport.write_eof()
        else:
            # TLS has no half-closing here: the client may be done without our being able to see it.
            self._enter_last_state(min(now + limits.linger_quiet_s, self._linger_until))
        self._listen()

    def _discard(self, count: int) -> None:
        self._discarded_bytes += count
        limits = self._server.limits
        if self._discarded_bytes > limits.linger_bytes_max:
            self.abort()
        elif not self._transport.can_write_eof() and not self._transport.is_closing():
            self._alarm.set(min(self._loop.time() + limits.linger_quiet_s, self._linger_until))

    def _close(self) -> None:
        """Closes when everything is sent; a client that does not take it is cut off."""
        if self._transport.get_write_buffer_size():
            self._enter_last_state(self._loop.time() + self._server.limits.write_stall_s)
        else:
            self._lose()
        self._transport.close()

    def _enter_last_state(self, until: float) -> None:
        self._state = _LINGERING
        self._held = b""
        self._head = None
        self._body = None
        self._alarm.set(until)

    # Clocks.

    def _flushed_bytes(self) -> int:
        """What the client has taken, or, where that cannot be told, the kernel: content and frames."""
        taken = acknowledged_bytes(self.fileno())
        if taken is not None:
            return taken
        reply = self._reply
        written = self._written_bytes + (reply.bytes_sent if reply is not None else 0)
        return written - self._transport.get_write_buffer_size()

    def _stalled(self) -> None:
        self._server.count_stalled()
        self.abort()

    def _on_alarm(self, now: float) -> None:
        state = self._state
        if state is _HEAD:
            if self._head is not None and self._head.has_begun:
                self.refuse(Rule.HEADER_TIME)
            else:
                self._close()
        elif state is _LINGERING:
            if self._transport.is_closing():
                self.abort()  # what is left unsent is not taken
            else:
                self._close()
        elif state is _BODY:
            body = cast(Body, self._body)
            if self._rate is not None:
                missed = self._rate.verdict(now, body.received_bytes)
                if missed is not None:
                    body.fail(BodyTooSlow(missed))
                else:
                    self._alarm.set(self._rate.next_look_at())
            elif not self._request_runs:
                self.abort()  # the rest of a body that is only skipped does not come
