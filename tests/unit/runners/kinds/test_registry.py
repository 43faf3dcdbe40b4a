"""Every kind that a configuration may name exists, under that name."""

from typing import get_args

from rempart.runners.kinds.registry import KINDS
from rempart.settings.model import Model, ModelKind


def test_the_kinds_are_those_of_the_settings() -> None:
    assert set(KINDS) == set(get_args(ModelKind))


def test_every_kind_says_what_a_hang_up_stops() -> None:
    for kind in KINDS.values():
        endpoints = kind.abilities(Model(name="m", source="x")).endpoints
        assert endpoints
        assert all(path.startswith("/v1/") for path in endpoints)
