"""What happens below the application: bytes that are no request, too many of them, too slowly."""

import os
import socket

import pytest

from lab.control_client import read_all, send_local, send_raw
from lab.control_server import ControlServer
from rempart.control import server


def is_envelope(answer: bytes, status: int, code: str) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    return (
        head.startswith(b"HTTP/1.1 %d " % status)
        and b"x-request-id: " in head
        and b"connection: close" in head
        and b'"code": "%s"' % code.encode() in body
    )


@pytest.mark.parametrize("data", [b"rubbish\r\n\r\n", b"GET / HTTP/1.1\r\nA b: c\r\n\r\n"])
def test_what_is_no_request_is_answered_in_the_shape_of_all_errors(
    control: ControlServer, data: bytes
) -> None:
    assert is_envelope(send_raw(control.port, data), 400, "invalid_request")


@pytest.mark.parametrize("line", [b"a: b\r\n", b"a" * 1000 + b": b\r\n", b"a: " + b"b" * 1000])
def test_headers_without_end_are_refused(control: ControlServer, line: bytes) -> None:
    head = b"GET /livez HTTP/1.1\r\n" + line * (server.HEAD_BYTES_MAX // len(line) + 1)
    # Not a byte more than is needed: what a closed connection leaves unread resets it.
    answer = send_raw(control.port, head[: server.HEAD_BYTES_MAX + 1])
    assert is_envelope(answer, 431, "headers_too_large")


def test_a_head_that_does_not_come_is_not_waited_for(
    control: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_S_MAX", 0.05)
    for data in (b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nA: b\r\n"):
        assert is_envelope(send_raw(control.port, data), 408, "request_read_timeout")


def test_the_second_head_on_a_connection_is_watched_like_the_first(
    control: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", control.port), timeout=20) as connection:
        connection.sendall(first)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(server, "HEAD_S_MAX", 0.05)
        connection.sendall(b"GET /livez HT")
        assert b"request_read_timeout" in read_all(connection)


def test_one_connection_more_than_fits_is_told_so(
    control: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 1)
    with socket.create_connection(("127.0.0.1", control.port), timeout=20) as first:
        first.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert first.recv(65536).startswith(b"HTTP/1.1 200")
        assert is_envelope(send_raw(control.port, b""), 503, "overloaded")


def test_several_requests_use_one_connection(control: ControlServer) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = send_raw(control.port, request * 2 + request[:-2] + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200") == 3


def test_a_long_body_is_not_taken_for_a_head(control: ControlServer) -> None:
    body = b"x" * (server.HEAD_BYTES_MAX * 2)
    head = b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", control.port), timeout=20) as connection:
        connection.sendall(head + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_the_kernel_says_who_is_behind_a_unix_socket(control: ControlServer) -> None:
    seen: list[int | None] = []

    class Transport:
        def __init__(self, end: socket.socket) -> None:
            self.end = end

        def get_extra_info(self, name: str) -> socket.socket:
            return self.end

    one, other = socket.socketpair()
    with one, other, socket.socket() as tcp:
        seen += [server.peer_uid(Transport(end)) for end in (one, tcp)]  # type: ignore[arg-type]
    assert seen == [os.geteuid(), None]
    request = b"GET /api/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert send_local(control.socket_path, request).startswith(b"HTTP/1.1 200")
