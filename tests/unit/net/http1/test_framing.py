"""Bytes of an answer's head."""

import pytest

from rempart.net.http1.framing import closing_answer, has_no_body, header_lines, status_line


def test_headers_become_lines() -> None:
    assert header_lines([]) == b""
    assert header_lines([(b"a", b"b"), (b"c", b"")]) == b"a: b\r\nc: \r\n"


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\n"),
        (b"x", b"a\r"),
        (b"x", b"\0"),
        (b"x: y\r\nz", b"a"),
        (b"content-length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"close"),
        (b"date", b"today"),
    ],
)
def test_what_could_split_or_reframe_an_answer_is_not_written(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match=r"CR, LF or NUL|written by the connection"):
        header_lines([(b"a", b"b"), header])


def test_every_status_has_a_line() -> None:
    assert status_line(200) == b"HTTP/1.1 200 OK\r\n"
    assert status_line(429) == b"HTTP/1.1 429 Too Many Requests\r\n"
    assert status_line(529) == b"HTTP/1.1 529 \r\n"  # Anthropic's "overloaded"


def test_statuses_without_content() -> None:
    assert [status for status in (100, 199, 200, 204, 205, 304, 404) if has_no_body(status)] == [
        *(100, 199, 204, 304)
    ]


def test_an_answer_that_ends_its_connection_says_so() -> None:
    assert closing_answer(400, [(b"a", b"b")], b"date: x\r\n", b"no") == (
        b"HTTP/1.1 400 Bad Request\r\na: b\r\ndate: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
    )
