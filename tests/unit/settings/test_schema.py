"""The table of settings as read from the annotations."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from annotated_types import Ge, Lt

from rempart.settings.model import SECRETS, UNCHANGEABLE, Doc, Model, Server, Settings
from rempart.settings.schema import (
    every_setting,
    expectation,
    kind_at,
    kind_of,
    known_kind,
    limits_of,
    shown_path,
    table,
    touches_secret,
)


def test_every_setting_says_what_it_means() -> None:
    assert [setting.name for setting in every_setting() if not setting.kind.doc] == []


def test_every_default_keeps_its_own_bounds() -> None:
    for setting in every_setting():
        low, is_open, high = limits_of(setting.kind.bounds)
        if isinstance(setting.default, int | float):
            assert low is None or setting.default > low or (setting.default == low and not is_open)
            assert high is None or setting.default <= high


def test_secret_and_unchangeable_settings_exist() -> None:
    names = {setting.name for setting in every_setting()}
    assert names >= SECRETS
    assert names >= UNCHANGEABLE


def test_bounds_inside_and_outside_of_an_optional_are_found() -> None:
    slots = table(Model)["slots"].kind
    assert (slots.base, slots.is_optional, limits_of(slots.bounds)) == (int, True, (1, False, 4096))
    queue = kind_at(("models", 0, "deadline", "queue_s"))
    assert queue is not None
    assert (queue.base, limits_of(queue.bounds)) == (float, (0, True, 86400))


def test_a_path_that_is_no_setting_has_no_kind() -> None:
    for path in (
        ("x",),
        ("server", "x"),
        ("server", "port", "x"),
        ("models", 0, "x"),
        ("server", 0),
    ):
        assert kind_at(path) is None
        with pytest.raises(KeyError):
            known_kind(path)


def test_required_settings_have_no_default() -> None:
    assert table(Model)["name"].is_required
    assert not table(Server)["port"].is_required
    assert table(Settings)["models"].kind.is_table_list


def test_expectations_read_as_sentences() -> None:
    assert expectation(known_kind(("logs", "keep"))) == "a whole number from 0 to 1000"
    assert expectation(known_kind(("models",))) == "a list of tables"
    assert expectation(known_kind(("server",))) == "a table"
    assert (
        expectation(known_kind(("models", 0, "env")))
        == 'a table of texts, such as {NAME = "value"}'
    )
    assert expectation(known_kind(("models", 0, "prompt_cache_mib")), "prompt_cache_mib") == (
        "a whole number of MiB of at least 0"
    )


def test_less_than_is_refused_since_the_greatest_value_could_not_be_told() -> None:
    @dataclass
    class Wrong:
        value: Annotated[int, Ge(0), Lt(5), Doc("x")] = 0

    with pytest.raises(TypeError, match="use Le"):
        limits_of(table(Wrong)["value"].kind.bounds)


def test_what_is_a_secret_holds_one_or_is_part_of_one_is_told_apart_from_the_rest() -> None:
    for secret in (("secrets",), ("secrets", "master_key"), ("models",), ("models", 0)):
        assert touches_secret(secret)
    assert touches_secret(("models", 2, "env", "HF_TOKEN"))
    for plain in (("server",), ("models", 0, "name"), ("models", 0, "command", 1), ("secrets_",)):
        assert not touches_secret(plain)


def test_paths_are_shown_as_people_write_them() -> None:
    assert shown_path(("models", 0, "command", 1)) == "models[0].command[1]"
    assert kind_of(Annotated[int, Doc("x")]).doc == "x"
