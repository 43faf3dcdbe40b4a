"""What the service manager hears, as its own socket hears it."""

import os
import socket
from pathlib import Path

import pytest

from rempart.processes.main.notify import ServiceManager


@pytest.mark.parametrize("is_abstract", [False, True])
def test_states_reach_the_manager_s_socket(tmp_path: Path, is_abstract: bool) -> None:
    name = f"@rempart-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if is_abstract else name)
        manager.settimeout(5)
        ours = ServiceManager({"NOTIFY_SOCKET": name})
        ours.say("READY=1\nSTATUS=serving")
        ours.say("WATCHDOG=1")
        assert manager.recv(100) == b"READY=1\nSTATUS=serving"
        assert manager.recv(100) == b"WATCHDOG=1"


def test_without_a_manager_nothing_happens() -> None:
    ours = ServiceManager({})
    ours.say("READY=1")
    assert ours.watchdog_s is None


def test_a_manager_that_does_not_listen_is_not_our_problem(tmp_path: Path) -> None:
    """Gone, no socket at all, or one whose queue is full: none of it stops or fails the server."""
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).say("READY=1")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path)}).say("READY=1")
    ServiceManager({"NOTIFY_SOCKET": "/" + "x" * 300}).say("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        ours = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(3000):
            ours.say("WATCHDOG=1")


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({}, None),
    ],
)
def test_a_sign_of_life_is_due_twice_as_often_as_the_manager_wants(
    environment: dict[str, str], watchdog_s: float | None
) -> None:
    assert ServiceManager(environment).watchdog_s == watchdog_s
