"""One child: what it gets, what is kept from it, and how its end is noticed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.exchanges import when
from rempart.processes import messages
from rempart.processes.main.child import HIDDEN_FROM_CHILDREN, Child

ROOT = Path(__file__).parents[4]


class Observed:
    """A child and what it said."""

    def __init__(self, module: str = "lab.stand_in_child") -> None:
        self.said: list[Any] = []
        self.ended: list[int] = []
        self.child = Child(
            module=module,
            name="worker-1",
            number=1,
            generation=1,
            on_message=lambda child, message: self.said.append(message),
            on_exit=lambda child, status: self.ended.append(status),
        )


def welcome(folder: Path) -> messages.Welcome:
    return messages.Welcome(
        settings=b"{}", name="worker-1", generation=1, run_dir=str(folder), log_file="", peppers=[],
        started_at_s=0.0,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_it_is_welcomed_talks_and_is_told_to_end(tmp_path: Path) -> None:
    async def body() -> None:
        one = Observed()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await one.child.start([listener], welcome(tmp_path), 12.5)
            assert one.child.is_alive
            assert one.child.last_sign_s == 12.5
            assert Path(f"/proc/{one.child.pid}").exists()
            await when(lambda: messages.Ready() in one.said, 15)
            one.child.send(messages.Stop(grace_s=1.0))
            await when(lambda: one.ended, 15)
        assert one.ended == [0]
        assert not one.child.is_alive
        one.child.send(messages.Stop(grace_s=1.0))  # dropped
        one.child.signal(signal.SIGKILL)  # of nobody

    asyncio.run(body())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_however_it_dies_its_end_is_noticed_once(tmp_path: Path, number: signal.Signals) -> None:
    async def body() -> None:
        one = Observed()
        await one.child.start([], welcome(tmp_path), 0.0)
        one.child.signal(number)
        await when(lambda: one.ended, 15)
        assert one.ended == [-number]

    asyncio.run(body())


def test_one_that_cannot_even_begin_ends_like_any_other(tmp_path: Path) -> None:
    async def body() -> None:
        one = Observed("rempart.no_such_module")
        await one.child.start([], welcome(tmp_path), 0.0)
        await when(lambda: one.ended, 15)
        assert one.ended == [1]

    asyncio.run(body())


SHOW = """
import os, sys
print(sorted(os.environ))
folder = "/proc/self/fd/"
links = {number: os.readlink(folder + number) for number in os.listdir(folder) if os.path.exists(folder + number)}
print([int(number) for number, link in links.items() if link.startswith("socket:")])
print(sys.argv[1:])
print(sys.path[0])
"""


def shown_by_a_child(
    folder: Path, monkeypatch: pytest.MonkeyPatch, listeners: list[socket.socket]
) -> list[str]:
    """What a child finds in its environment, descriptors and arguments."""
    (folder / "show_me.py").write_text(SHOW)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.chdir(folder)
    output = folder / "output"
    start: Callable[..., Any] = subprocess.Popen

    def to_file(*arguments: Any, **options: Any) -> Any:
        with output.open("wb") as file:
            return start(*arguments, stdout=file, **options)

    monkeypatch.setattr(subprocess, "Popen", to_file)

    async def body() -> None:
        one = Observed("show_me")
        await one.child.start(listeners, welcome(folder), 0.0)
        await when(lambda: one.ended, 15)
        assert one.ended == [0]

    asyncio.run(body())
    return output.read_text().splitlines()


def test_it_gets_its_descriptors_and_none_of_main_s_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in HIDDEN_FROM_CHILDREN:
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("REMPART_SERVER__PORT", "1")
    held = socket.create_server(("127.0.0.1", 0))
    with held, socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(held.fileno(), True)  # what others left inheritable is not handed down
        environment, descriptors, arguments, folder = shown_by_a_child(
            tmp_path, monkeypatch, [listener]
        )
        listen = listener.fileno()
    assert "REMPART_SERVER__PORT" in environment
    for name in ("REMPART_ADMIN_KEY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        assert name not in environment
    given = eval(arguments)
    assert given[::2] == ["--parent", "--channel", "--listen"]
    assert given[1] == str(os.getpid())
    channel = int(given[3])
    assert given[5] == str(listen)
    assert sorted(eval(descriptors)) == sorted([channel, listen])
    assert folder == str(tmp_path), "only because PYTHONPATH says so"
    assert "hunter2" not in arguments


def test_a_file_of_the_folder_it_is_started_in_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)

    async def body() -> None:
        one = Observed()
        await one.child.start([], welcome(tmp_path), 0.0)
        await when(lambda: messages.Ready() in one.said or one.ended, 15)
        assert one.ended == []
        one.child.signal(signal.SIGKILL)
        await when(lambda: one.ended, 15)

    asyncio.run(body())


@pytest.mark.parametrize("step", ["exec", "pidfd"])
def test_one_that_cannot_be_started_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """No descriptor, and no process that nobody knows of."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(sys, "executable", "/bin/cat")
    if step == "exec":
        monkeypatch.setattr(subprocess, "Popen", refuse)
    else:
        monkeypatch.setattr(os, "pidfd_open", refuse)

    async def body() -> None:
        one = Observed()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="temporarily unavailable"):
            await one.child.start([], welcome(tmp_path), 0.0)
        assert len(os.listdir("/proc/self/fd")) == before
        assert not one.child.is_alive
        assert one.ended == []

    asyncio.run(body())
