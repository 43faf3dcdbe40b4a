"""One server with the real model for all tests that only ask it things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.server import RempartServer, running_server

CONFIG = """
[[models]]
name = "demo"
kind = "llama_cpp"
source = "{model}"
slots = 4
context = 8192
batch = 64
preload = true
pin = true

[[models]]
name = "vectors"
kind = "llama_cpp"
source = "{model}"
slots = 2
context = 2048
batch = 64
embeddings = true
"""


@pytest.fixture(scope="session")
def demo_server(
    demo_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RempartServer]:
    """``demo`` loaded, ``vectors`` (the same model with embeddings) loaded when first asked for."""
    with running_server(
        tmp_path_factory.mktemp("demo-server"), CONFIG.format(model=demo_model)
    ) as server:
        yield server.until_ready()
