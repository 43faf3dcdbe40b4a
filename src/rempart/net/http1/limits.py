"""The server's bounds, each beside what happens at it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerLimits:
    """Bounds of one server process.

    Attributes:
        header_bytes_max: request line and headers together; above: 431.
        header_count_max: header lines; above: 431.
        target_bytes_max: the request's target; above: 414.
        header_read_s: from a head's first byte to its last; above: 408. A new connection that sends
            nothing for this long is closed without a word.
        body_read_s: without a byte of a body that ``Request.read`` waits for; above: ``BodyTooSlow``.
        body_bytes_per_s_min: least rate of such a body, over ``rate_window_s``; below: ``BodyTooSlow``.
        rate_window_s: see ``body_bytes_per_s_min``.
        idle_s: between two requests of a connection; above: closed.
        write_stall_s: a client that takes no byte of its answer for this long is dropped.
        connections_max: open connections; above: 503.
        connections_per_address_max: open connections of one address (IPv6: one /64); above: 503.
        handshakes_per_address_max: TLS handshakes under way of one address; above: closed without a word.
        high_mark_bytes: unsent bytes of a connection at which ``Reply.write`` says stop.
        low_mark_bytes: unsent bytes at which it says go on.
        held_bytes_max: pipelined input kept while a request runs; above: all of it is discarded, and
            the connection ends after the running answer.
        unread_body_bytes_max: what is kept of a body before ``Request.read`` asks for it; above: the
            socket is not read until then. Best the largest body that is taken, since a hang-up behind
            unread bytes may not be seen.
        chunks_max: chunks of a chunked request body; above: 400. A client's chunks are kilobytes; one
            byte each would cost us a hundred times what it costs the sender.
        linger_s: after an answer that ends the connection early, input is discarded for this long.
        linger_quiet_s: the same over TLS, where the client's end cannot be told from silence.
        linger_bytes_max: and at most this much of it.
        skip_bytes_max: rest of an unread body up to which the connection is kept for another request.
        refusals_max: connections above ``connections_max`` that get a 503; more are just closed.
    """

    header_bytes_max: int = 32768
    header_count_max: int = 100
    target_bytes_max: int = 8192
    header_read_s: float = 10.0
    body_read_s: float = 10.0
    body_bytes_per_s_min: int = 512
    rate_window_s: float = 10.0
    idle_s: float = 75.0
    write_stall_s: float = 30.0
    connections_max: int = 10_000
    connections_per_address_max: int = 2_000
    handshakes_per_address_max: int = 256
    high_mark_bytes: int = 65536
    low_mark_bytes: int = 16384
    held_bytes_max: int = 65536
    unread_body_bytes_max: int = 1 << 20
    chunks_max: int = 16384
    linger_s: float = 5.0
    linger_quiet_s: float = 0.5
    linger_bytes_max: int = 128 * 1024 * 1024
    skip_bytes_max: int = 65536
    refusals_max: int = 256
