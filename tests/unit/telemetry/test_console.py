"""The console never holds up whoever writes to it, whatever stands behind stderr."""

import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rempart.telemetry.console import LINE_BYTES_MAX, Console

F_SETPIPE_SZ = 1031
LINE = b"x" * (LINE_BYTES_MAX - 1) + b"\n"


def small_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    return reader, writer


def fill(write_end: int) -> None:
    """Until not one byte more goes in, without changing anything for others that have it."""
    own = os.open(f"/proc/self/fd/{write_end}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(own, b"y")
    except BlockingIOError:
        os.close(own)


def test_a_pipe_that_nobody_reads_takes_no_line_and_blocks_nobody() -> None:
    reader, writer = small_pipe()
    console = Console(writer)
    assert console.write(b"first\n")
    fill(writer)
    assert not console.write(LINE)
    assert not console.write(b"short\n")
    assert os.read(reader, 6) == b"first\n"
    while os.read(reader, 65536)[-1:] != b"y":
        pass
    console.close()
    os.close(reader)
    os.close(writer)


def test_nobody_else_who_has_the_pipe_is_made_non_blocking() -> None:
    reader, writer = os.pipe()
    console = Console(writer)
    console.write(b"a\n")
    assert os.get_blocking(writer)
    console.close()
    os.close(reader)
    os.close(writer)


RACE = """
import os, sys
from rempart.telemetry.console import Console
console = Console(2)
sys.stdin.readline()
written = sum(console.write(b"x" * 4095 + b"\\n") for _ in range(int(sys.argv[1])))
print(written, flush=True)
"""


def test_processes_that_race_for_the_last_room_do_not_block_either() -> None:
    """Each of them may have been told that there is room; only one line fits."""
    reader, writer = small_pipe()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, "4000"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=writer,
        )
        for _ in range(3)
    ]
    os.close(writer)
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"\n")
        racer.stdin.flush()
    taken = sum(len(os.read(reader, 4096)) for _ in range(40)) // 4096
    outputs = [racer.communicate(timeout=30)[0] for racer in racers]
    while data := os.read(reader, 65536):
        taken += len(data) // 4096
    os.close(reader)
    assert sum(int(output) for output in outputs) == taken
    assert 40 <= taken < 12000


class Late:
    """Says that there is room, as there was a moment ago."""

    def poll(self, _: int) -> list[tuple[int, int]]:
        return [(1, 4)]


def test_room_that_another_process_took_meanwhile_is_not_waited_for() -> None:
    reader, writer = small_pipe()
    console = Console(writer)
    fill(writer)
    console._room = Late()  # type: ignore[assignment]

    def blocked(*_: object) -> None:
        raise AssertionError("it waits for room")

    before = signal.signal(signal.SIGALRM, blocked)
    signal.setitimer(signal.ITIMER_REAL, 5.0)
    try:
        assert not console.write(b"line\n")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        console.close()
        os.close(reader)
        os.close(writer)


def test_where_the_pipe_cannot_be_opened_anew_its_room_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = small_pipe()

    def refuse(*_: object) -> int:
        raise PermissionError("another user's pipe")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        console = Console(writer)
    assert console.write(b"first\n")
    fill(writer)
    assert not console.write(b"second\n")
    os.read(reader, 65536)
    assert console.write(b"third\n")
    console.close()
    os.close(reader)
    os.close(writer)


def test_a_reader_that_has_gone_costs_the_line_only() -> None:
    reader, writer = os.pipe()
    console = Console(writer)
    os.close(reader)
    later = Console(writer)
    for one in (console, later):
        assert not one.write(b"line\n")
        one.close()
    os.close(writer)


def test_a_socket_as_the_service_manager_gives_one() -> None:
    ours, theirs = socket.socketpair()
    console = Console(theirs.fileno())
    assert console.write(b"line\n")
    assert ours.recv(100) == b"line\n"
    lines = 0
    while console.write(LINE):
        lines += 1
        assert lines < 10_000
    assert theirs.gettimeout() is None
    console.close()
    assert theirs.fileno() >= 0
    ours.close()
    theirs.close()


def test_a_terminal_is_written_to() -> None:
    controller, terminal = pty.openpty()
    console = Console(terminal)
    assert console.write("déjà vu\n".encode())
    assert os.read(controller, 100) == "déjà vu\r\n".encode()
    assert os.get_blocking(terminal)
    console.close()
    os.close(controller)
    os.close(terminal)


def test_a_file_is_written_on_where_others_have_come_to(tmp_path: Path) -> None:
    """``> out 2>&1``: what another descriptor of the same file wrote is not overwritten."""
    with (tmp_path / "out").open("wb", buffering=0) as file:
        console = Console(file.fileno())
        file.write(b"banner\n")
        assert console.write(b"line\n")
        file.write(b"banner\n")
        console.close()
    assert (tmp_path / "out").read_bytes() == b"banner\nline\nbanner\n"


def test_a_full_disk_costs_the_line() -> None:
    with open("/dev/full", "wb") as full:
        console = Console(full.fileno())
        assert not console.write(b"line\n")
        console.close()
