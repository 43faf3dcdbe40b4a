"""Programs are found where a shell would, and beside us."""

import os
import sys
from pathlib import Path

import pytest

from rempart.runners.kinds.interface import LaunchError
from rempart.runners.kinds.programs import filled, find_program, own_scripts, search_path
from rempart.settings.model import Model


def test_what_was_installed_beside_us_is_found_though_the_shells_path_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    name = Path(sys.executable).name
    assert find_program(name, Model(name="m"), "") == os.path.join(own_scripts(), name)
    assert search_path("") == own_scripts()


def test_the_models_own_path_goes_before(tmp_path: Path) -> None:
    mine = tmp_path / "tool"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o700)
    assert find_program("tool", Model(name="m", env={"PATH": str(tmp_path)}), "") == str(mine)


def test_a_missing_program_is_named_with_what_to_do() -> None:
    with pytest.raises(LaunchError, match=r"'nothing-here' is not there .* Get it\."):
        find_program("nothing-here", Model(name="m"), "Get it.")


def test_only_host_and_port_are_replaced() -> None:
    assert filled("{host}:{port} {other} {{", "h", 1) == "h:1 {other} {{"
