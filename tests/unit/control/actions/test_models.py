"""What operators can do with models, apart from HTTP."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.control_server import FakeLink
from rempart.control.actions import models
from rempart.domain.errors import InvalidRequest, ModelNotFound
from rempart.domain.models import ModelStatus, RunnerState


def link(count: int) -> FakeLink:
    states = [ModelStatus(name=f"m{n}", kind="k", state=RunnerState.READY) for n in range(count)]
    return FakeLink(models=states)


@given(st.integers(0, 12), st.integers(1, 15))
def test_pages_together_are_the_whole_listing_in_order(count: int, limit: int) -> None:
    server, cursor, seen = link(count), "", []
    while True:
        statuses, following = models.page(server, limit, cursor)
        assert len(statuses) <= limit
        seen += [status.name for status in statuses]
        if following is None:
            break
        cursor = following
    assert seen == [f"m{n}" for n in range(count)]


def test_a_cursor_whose_model_is_gone_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="cursor must be the next"):
        models.page(link(2), 1, "gone")


def test_every_act_on_an_unknown_model_is_refused_before_main_is_asked() -> None:
    server = link(1)
    for act in (models.load, models.unload, models.restart):
        with pytest.raises(ModelNotFound):
            asyncio.run(act(server, "none"))
    with pytest.raises(ModelNotFound):
        asyncio.run(models.log_lines(server, "none", 1))
    assert server.acts == []


def test_acts_reach_the_link() -> None:
    server = link(1)
    for act in (models.load, models.unload, models.restart):
        asyncio.run(act(server, "m0"))
    assert server.acts == [("load", "m0"), ("unload", "m0"), ("restart", "m0")]
    assert asyncio.run(models.log_lines(server, "m0", 2)) == ["two", "three"]
    assert models.find(server, "m0").name == "m0"
