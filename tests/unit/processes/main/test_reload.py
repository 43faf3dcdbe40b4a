"""A configuration that cannot be used changes nothing, whatever is wrong with it or with resolving it."""

import asyncio
import dataclasses
import os
import sys
from pathlib import Path

import msgspec
import pytest

from lab.exchanges import when
from rempart.processes.main import reload
from rempart.processes.main.reload import ReloadRefused, resolve, unchangeable_differences
from rempart.settings.model import Deadline, Logs, Model, Server, Settings

SETTINGS = Settings(models=[Model(name="demo", source="demo")])


@pytest.fixture
def resolver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is run instead of the interpreter; the test writes it."""
    program = tmp_path / "resolver"
    program.write_text("#!/bin/sh\nexit 99\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return program


def becomes(resolver: Path, script: str) -> None:
    resolver.write_text(f"#!/bin/sh\n{script}\n")


def test_the_configuration_is_what_the_command_line_makes_of_it(
    resolver: Path, tmp_path: Path
) -> None:
    document = msgspec.json.encode(SETTINGS)
    (tmp_path / "settings.json").write_bytes(document)
    becomes(
        resolver, f'echo "$@" > {tmp_path}/arguments; cat {tmp_path}/settings.json; echo noise >&2'
    )
    pids: set[int] = set()
    assert asyncio.run(resolve(tmp_path / "serve.json", pids)) == (SETTINGS, document)
    assert pids == set()
    assert (tmp_path / "arguments").read_text().split() == [
        "-P", "-m", "rempart", "config", "resolve", "--serve-file", str(tmp_path / "serve.json"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'rempart.toml line 3: no' >&2; exit 1", r"^rempart\.toml line 3: no$"),
        ("exit 1", "^the configuration has errors$"),
        ("kill -9 $$", "^the configuration has errors$"),
        ("printf '\\377' >&2; exit 1", "�"),
        ("echo '{'", "another version of Rempart .* restart the server"),
        ('echo \'{"server": {"port": "x"}}\'', r"another version of Rempart .*server\.port"),
        ("exit 0", "another version of Rempart"),
    ],
)
def test_what_cannot_be_resolved_is_refused_with_its_reason(
    resolver: Path, script: str, says: str
) -> None:
    becomes(resolver, script)
    pids: set[int] = set()
    with pytest.raises(ReloadRefused, match=says):
        asyncio.run(resolve(Path("serve.json"), pids))
    assert pids == set()


def test_an_interpreter_that_is_gone_is_a_refusal_too(resolver: Path) -> None:
    """As in the middle of an upgrade."""
    resolver.unlink()
    with pytest.raises(ReloadRefused, match="could not be resolved: "):
        asyncio.run(resolve(Path("serve.json"), set()))


def test_resolving_has_a_bound(resolver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "RESOLVE_S_MAX", 0.2)
    becomes(resolver, "exec sleep 60")
    pids: set[int] = set()
    with pytest.raises(ReloadRefused, match=r"within 0\.2 s"):
        asyncio.run(resolve(Path("serve.json"), pids))
    assert pids == set()


def test_a_server_that_stops_meanwhile_ends_the_resolver(resolver: Path) -> None:
    becomes(resolver, "exec sleep 60")
    pids: set[int] = set()

    async def body() -> int:
        async with asyncio.TaskGroup() as tasks:
            resolving = tasks.create_task(resolve(Path("serve.json"), pids))
            await when(lambda: pids)
            (pid,) = pids
            resolving.cancel()
        return pid

    pid = asyncio.run(body())
    assert pids == set()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_main_holds_open_cannot_change() -> None:
    old = Settings()
    new = Settings(
        server=Server(
            host="0.0.0.0", port=1, control_host="::", control_port=2, socket="/x", workers=7
        ),
        logs=Logs(file="other.log", level="debug"),
        deadline=Deadline(queue_s=1),
        data_dir="/elsewhere",
    )
    assert unchangeable_differences(old, new) == [
        "data_dir",
        "logs.file",
        "server.control_host",
        "server.control_port",
        "server.host",
        "server.port",
        "server.socket",
    ]
    assert (
        unchangeable_differences(old, dataclasses.replace(old, deadline=Deadline(queue_s=1))) == []
    )
