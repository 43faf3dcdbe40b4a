"""The sentences about wrong settings."""

import pytest

from rempart.settings.explain import (
    SettingsError,
    close_match,
    found,
    missing,
    problem,
    unknown,
    wrong_value,
)


def test_the_usual_form_has_four_parts() -> None:
    assert (
        problem(("a", 0, "b"), "be c", "d", "Write e.").text
        == "a[0].b must be c, found d. Write e."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (True, "true"),
        ("x", '"x"'),
        ("é\n", '"é\\n"'),
        ([1, "a"], '[1, "a"]'),
        ("x" * 200, '"' + "x" * 60 + '…"'),
        (float("nan"), "nan"),
        (None, "null"),
    ],
)
def test_a_value_is_shown_short_and_as_written(value: object, text: str) -> None:
    assert found(("server", "host"), value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("s", "a text"),
        (5, "a number"),
        ([1], "a list"),
        ({"a": 1}, "a table"),
        (True, "true or false"),
    ],
)
def test_where_secrets_are_near_only_the_type_is_shown(value: object, text: str) -> None:
    assert found(("secrets", "master_key"), value) == f"{text} (not shown)"


@pytest.mark.parametrize(
    ("path", "value", "remedy"),
    [
        (("server", "port"), "8080 ", "Write 8080."),
        (("server", "port"), "http", "Write 0."),
        (("server", "workers"), "-3", "Write 1 or more."),
        (("deadline", "queue_s"), "30s", "Write 30."),
        (("deadline", "queue_s"), 1e9, "Write 86400 or less."),
        (("deadline", "queue_s"), float("inf"), "Write 1."),
        (("server", "any_model"), "yes", "Write true, without quotes."),
        (("logs", "console"), "jsn", 'Write "json".'),
        (("logs", "console"), 5, 'Write "text".'),
        (("models", 0, "args"), "--x", "Put it in square brackets."),
        (("models", 0, "loras"), 5, 'Write ["…"].'),
        (("server", "host"), ["a"], 'Write "…".'),
        (("server", "host"), True, 'Write "…".'),
        (("models", 0, "env"), 5, 'Write {NAME = "…"}.'),
        (("models", 0, "deadline"), 5, 'Write {NAME = "…"}.'),
    ],
)
def test_the_remedy_is_the_value_meant_where_that_can_be_told(
    path: tuple[str | int, ...], value: object, remedy: str
) -> None:
    assert wrong_value(path, value).text.endswith(f". {remedy}")


def test_what_is_missing_is_written_as_it_could_stand() -> None:
    assert missing(("routes", 0, "path")).text == (
        "routes[0] must have the setting path (path at our door, such as /generate), found none. "
        'Write path = "…".'
    )


def test_unknown_names_are_never_shown_with_their_values() -> None:
    assert unknown(("zzz",)).text.startswith(
        "zzz is not a setting. There are: cors, data_dir, database"
    )
    assert unknown(("server", "port", "x")).text == "server.port.x is not a setting. Remove it."
    assert close_match("zzz", ["a"]) == ""


def test_an_error_holds_one_line_for_each_problem() -> None:
    error = SettingsError(["a", "b"])
    assert error.problems == ["a", "b"]
    assert str(error) == "a\nb"
