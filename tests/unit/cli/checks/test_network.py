"""Ports and upstreams."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rempart.cli.checks.network import is_running, port, ports, upstreams
from rempart.settings.model import Model, Server, Settings


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
    return number


def test_a_taken_port_is_an_error_that_names_who_has_it(taken: int) -> None:
    finding = port("127.0.0.1", taken, "server.port")
    assert finding.level == "error"
    assert f"127.0.0.1:{taken} is taken by " in finding.found
    assert f"(process {os.getpid()})" in finding.found


def test_a_free_port_is_left_free(free: int) -> None:
    assert port("127.0.0.1", free, "server.port").level == "ok"
    assert port("127.0.0.1", free, "server.port").level == "ok"
    assert port("127.0.0.1", 0, "server.port").found == "any free port (server.port)"


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_another_machine_is_an_error(host: str, free: int) -> None:
    finding = port(host, free, "server.port")
    assert (finding.level, f"{host} is no address of this machine" in finding.found) == (
        "error",
        True,
    )


def test_a_port_below_1024_needs_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket, "create_server", refuse)
    finding = port("127.0.0.1", 80, "server.port")
    assert (finding.level, "from 1024 on" in finding.remedy) == ("error", True)


def test_ports_of_a_server_that_runs_are_no_finding(tmp_path: Path, taken: int, free: int) -> None:
    settings = Settings(server=Server(port=taken, control_port=free), data_dir=str(tmp_path))
    assert [finding.level for finding in ports(settings)] == ["error", "ok"]
    assert not is_running(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        (finding,) = ports(settings)
    assert (finding.level, "a server is running" in finding.found) == ("note", True)


def test_an_upstream_that_cannot_be_reached_is_a_warning(taken: int, free: int) -> None:
    urls = [f"http://127.0.0.1:{taken}/v1", f"http://127.0.0.1:{free}/v1"]
    good, bad = upstreams([Model(name="far", kind="upstream", base_urls=urls)])
    assert (good.level, bad.level) == ("ok", "warning")
    assert bad.found == f"http://127.0.0.1:{free}/v1 cannot be reached: Connection refused (far)"
