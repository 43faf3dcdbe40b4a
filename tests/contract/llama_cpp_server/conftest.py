"""Real runners with the demo model, started once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.demo_runner import DemoRunner, demo_runner

BATCH = 8
"""What calibration finds on small machines; fixed, so that the tests do not depend on it."""


@pytest.fixture(scope="session")
def chat_runner(demo_model: Path) -> Iterator[DemoRunner]:
    with demo_runner(demo_model, batch=BATCH) as runner:
        yield runner


@pytest.fixture(scope="session")
def embedding_runner(demo_model: Path) -> Iterator[DemoRunner]:
    with demo_runner(demo_model, embeddings=True, context=1024, slots=2) as runner:
        yield runner


@pytest.fixture(scope="session")
def rank_runner(demo_model: Path) -> Iterator[DemoRunner]:
    with demo_runner(demo_model, embeddings=True, pooling="rank", context=512, slots=1) as runner:
        yield runner


@pytest.fixture
def runner(chat_runner: DemoRunner) -> Iterator[DemoRunner]:
    """The shared runner; it must be idle before and after each test."""
    chat_runner.wait_idle()
    chat_runner.events()
    yield chat_runner
    chat_runner.wait_idle()
