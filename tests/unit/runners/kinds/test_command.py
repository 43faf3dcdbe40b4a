"""Any program: host and port are put where it wants them."""

import sys
from pathlib import Path

import pytest

from lab.runner_places import place
from rempart.runners.kinds.command import Command
from rempart.runners.kinds.interface import LaunchError
from rempart.settings.model import Model


def test_host_and_port_are_replaced_in_arguments_and_environment(tmp_path: Path) -> None:
    model = Model(
        name="mine",
        kind="command",
        command=[sys.executable, "--bind={host}:{port}", '{"json": 1}', "{port}"],
        env={"LISTEN": "{host}:{port}", "OTHER": "{x}"},
    )
    launch = Command().launch(model, place(tmp_path))
    assert launch.command == (sys.executable, "--bind=127.0.0.1:8123", '{"json": 1}', "8123")
    assert launch.environment == {"LISTEN": "127.0.0.1:8123", "OTHER": "{x}"}
    (replica,) = launch.replicas
    assert (replica.url, replica.upstream_name) == ("http://127.0.0.1:8123", "mine")


def test_an_upstream_name_is_kept(tmp_path: Path) -> None:
    model = Model(name="mine", kind="command", command=[sys.executable], upstream_name="theirs")
    assert Command().launch(model, place(tmp_path)).replicas[0].upstream_name == "theirs"


def test_what_cannot_be_executed_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    for command in ([], ["no-such-program"], [str(plain)]):
        model = Model(name="mine", kind="command", command=command)
        with pytest.raises(LaunchError):
            Command().launch(model, place(tmp_path))
