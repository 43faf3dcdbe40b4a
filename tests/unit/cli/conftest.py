"""A running control API for the tests of commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.control_server import ControlServer, control_server


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlServer]:
    """Its data folder is the default one below ``tmp_path``."""
    (tmp_path / "rempart-data").mkdir()
    with control_server(tmp_path / "rempart-data") as server:
        yield server
