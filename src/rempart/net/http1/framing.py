"""Bytes of an answer: its head, and the frame of a chunk (RFC 9112 §4, §6, §7.1)."""

from http import HTTPStatus

from rempart.net.http1.head import Headers

STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
"""First lines of answers; a status that Python does not know gets an empty phrase."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
KEEP_ALIVE = b"connection: keep-alive\r\n"

OWN_HEADERS = frozenset({b"content-length", b"transfer-encoding", b"connection", b"date"})
"""Headers that only this package writes: a second one would be a way to smuggle."""


def header_lines(headers: Headers) -> bytes:
    """The lines of ``headers``, each with its CR LF.

    Raises:
        ValueError: one of them is this package's own, or has a CR, LF or NUL in it.
    """
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    count = len(headers)
    if lines.count(b"\n") != count or lines.count(b"\r") != count or lines.count(b"\0"):
        raise ValueError("a header has a CR, LF or NUL in it")
    for name, _ in headers:
        if name in OWN_HEADERS:
            raise ValueError(f"{name.decode('latin-1')} is written by the connection itself")
    return lines


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def has_no_body(status: int) -> bool:
    """Whether answers of this status never have a body (RFC 9110 §6.4.1)."""
    return status in (204, 304) or status < 200


def closing_answer(status: int, headers: Headers, date_line: bytes, body: bytes) -> bytes:
    """A whole answer that ends its connection."""
    return b"%b%b%bcontent-length: %d\r\n%b\r\n%b" % (
        status_line(status),
        header_lines(headers),
        date_line,
        len(body),
        CLOSE,
        body,
    )
