"""The door's client keeps its connection, tries once more on a stale one, and has bounds."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rempart.runners.llama_cpp_server.door import Door, DoorError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@contextlib.contextmanager
def listening(path: Path, serve: Callable[[socket.socket, int], None]) -> Iterator[str]:
    """A Unix socket on which each connection is served by ``serve``, which gets its number."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    listener.settimeout(0.05)
    is_over = threading.Event()

    def accept() -> None:
        number = 0
        while not is_over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            with connection:
                serve(connection, number)
            number += 1

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"unix:{path}"
    finally:
        is_over.set()
        thread.join()
        listener.close()


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket, number: int) -> None:
        while data := connection.recv(65536):
            seen.append(data)
            if b"{}" in data:
                connection.sendall(OK)

    with listening(tmp_path / "s", serve) as address:
        door = Door(address, "key")
        assert door.ask("POST", "/tokenize", b"{}") == (200, b"hi")
        assert door.ask("POST", "/tokenize", b"{}") == (200, b"hi")
        door.close()
    text = b"".join(seen)
    assert text.count(b"POST /tokenize") == 2
    assert b"Authorization: Bearer key" in text


def test_a_stale_connection_is_replaced(tmp_path: Path) -> None:
    def serve(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(OK)  # and closes, although it did not say so

    with listening(tmp_path / "s", serve) as address:
        door = Door(address, "key")
        for _ in range(3):
            assert door.ask("GET", "/props") == (200, b"hi")
        door.close()


def test_a_door_that_closes_twice_is_an_error(tmp_path: Path) -> None:
    with listening(tmp_path / "s", lambda connection, number: None) as address:
        door = Door(address, "key")
        with pytest.raises(DoorError, match="/props"):
            door.ask("GET", "/props")


def test_a_door_that_says_nothing_is_not_asked_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def serve(connection: socket.socket, number: int) -> None:
        asked.append(number)
        while connection.recv(65536):
            pass

    with listening(tmp_path / "s", serve) as address:
        door = Door(address, "key", timeout_s=0.05)
        with pytest.raises(DoorError):
            door.ask("GET", "/props")
    assert asked == [0]


def test_no_door_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DoorError):
        Door(f"unix:{tmp_path / 'none'}", "key").ask("GET", "/props")
    with pytest.raises(DoorError):
        Door("127.0.0.1:1", "key").ask("GET", "/props")
