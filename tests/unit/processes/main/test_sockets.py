"""The listening sockets: bound as asked, or refused with what to do about it."""

import os
import resource
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rempart.processes.main.sockets import (
    BindError,
    address_text,
    listen_tcp,
    listen_unix,
    raise_descriptor_limit,
)


@pytest.mark.parametrize(
    ("host", "text"),
    [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:"), ("localhost", "http://")],
)
def test_it_listens_where_it_was_told_to(host: str, text: str) -> None:
    with listen_tcp(host, 0, "server.port") as listener:
        assert not listener.getblocking()
        assert not listener.get_inheritable()
        assert address_text(listener).startswith(text)
        with socket.create_connection(listener.getsockname()[:2]):
            pass


def test_a_port_that_was_just_used_can_be_bound_again() -> None:
    """Connections that linger after a restart must not keep the port."""
    with listen_tcp("127.0.0.1", 0, "server.port") as listener:
        port = listener.getsockname()[1]
        caller = socket.create_connection(("127.0.0.1", port))
        called, _ = listener.accept()
        called.close()  # this side is first, so that its end waits (TIME_WAIT)
        caller.close()
    with listen_tcp("127.0.0.1", port, "server.port") as listener:
        assert listener.getsockname()[1] == port


def test_ipv6_does_not_take_ipv4_s_place() -> None:
    with listen_tcp("::", 0, "server.port") as all_ipv6:
        port = all_ipv6.getsockname()[1]
        with listen_tcp("0.0.0.0", port, "server.port"):
            pass


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        ("127.0.0.1", None, r"server\.port: cannot listen on 127\.0\.0\.1:\d+: Address already .* End the program"),
        ("192.0.2.1", 0, r"Cannot assign requested address\. Choose an address of this machine"),
        ("no-such-host.invalid", 0, r"server\.port: 'no-such-host\.invalid' is not an address of this machine"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_bound_says_why_and_what_to_do(
    host: str, port: int | None, says: str
) -> None:
    with listen_tcp("127.0.0.1", 0, "server.port") as other:
        wanted = other.getsockname()[1] if port is None else port
        with pytest.raises(BindError, match=says):
            listen_tcp(host, wanted, "server.port")


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_a_unix_socket_has_its_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "control.sock"
    before = os.umask(0)
    try:
        with listen_unix(path, mode) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert not listener.getblocking()
        assert os.umask(0) == 0, "the process's own mask is as it was"
    finally:
        os.umask(before)


def test_what_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    listen_unix(path).close()
    assert path.is_socket()
    with listen_unix(path), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


@pytest.mark.parametrize("callers", [0, 2])
def test_a_living_process_keeps_its_socket(tmp_path: Path, callers: int) -> None:
    """Also one whose queue is full at the moment."""
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(callers)]
        for caller in waiting:
            caller.setblocking(False)
            try:
                caller.connect(str(path))
            except BlockingIOError:
                pass
        with pytest.raises(
            BindError, match=r"other\.sock: Address already in use\. End the program"
        ):
            listen_unix(path)
        assert path.is_socket()
        for caller in waiting:
            caller.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_but_a_socket_is_ever_removed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    target = tmp_path / "target"
    match kind:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case "link":
            target.write_text("precious")
            path.symlink_to(target)
    with pytest.raises(BindError, match="is there and is no socket"):
        listen_unix(path)
    assert path.exists()


def test_a_path_that_is_too_long_or_in_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(BindError, match=r"longer than 100 bytes\. Use a shorter --data-dir"):
        listen_unix(Path("/tmp") / ("é" * 60))
    with pytest.raises(BindError, match=r"No such file or directory\. Make the folder"):
        listen_unix(tmp_path / "no" / "x.sock")


def test_a_refusal_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(BindError):
            listen_unix(tmp_path / "file")
        with pytest.raises(BindError):
            listen_tcp("192.0.2.1", 0, "server.port")
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_bound_on_descriptors_is_raised_to_what_the_system_allows() -> None:
    program = (
        "import resource\n"
        "from rempart.processes.main.sockets import raise_descriptor_limit\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))\n"
        "print(raise_descriptor_limit() == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ended.stdout == b"True\n"


def test_a_bound_that_is_as_high_as_allowed_stays() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        assert raise_descriptor_limit() == hard
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
