"""What a worker does before it serves."""

import gc
from collections.abc import Iterator

import pytest

from rempart.processes.worker.run import COLLECTION_THRESHOLDS, calm_collector


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_collections_leave_alone_what_was_made_before_the_first_request() -> None:
    calm_collector()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == COLLECTION_THRESHOLDS
