"""A running control API for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.control_server import ControlServer, control_server


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlServer]:
    with control_server(tmp_path) as server:
        yield server
