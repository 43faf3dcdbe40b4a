"""Where things stand in a TOML text."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.settings.toml_lines import line_numbers


def test_keys_and_tables_have_the_line_they_stand_on() -> None:
    text = (
        '# a comment\n\n[server]\nhost = "x" # [not.a.table]\n\n'
        "port = 1\n[deadline]\nqueue_s = 1.5\n"
    )
    found = line_numbers(text)
    assert found[("server",)] == 3
    assert found[("server", "host")] == 4
    assert found[("server", "port")] == 6
    assert found[("deadline", "queue_s")] == 8


def test_the_nth_list_table_is_told_apart_and_its_sub_tables_belong_to_it() -> None:
    text = (
        '[[models]]\nname = "a"\n[models.deadline]\ntotal_s = 1\n'
        '[[models]]\nname = "b"\n[models.deadline]\ntotal_s = 2\n'
    )
    found = line_numbers(text)
    assert found[("models",)] == 1
    assert found[("models", 0, "name")] == 2
    assert found[("models", 0, "deadline", "total_s")] == 4
    assert found[("models", 1)] == 5
    assert found[("models", 1, "deadline")] == 7
    assert found[("models", 1, "deadline", "total_s")] == 8


def test_inline_tables_and_lists_over_lines_are_followed() -> None:
    text = (
        'server = {host = "h", port = 3}\nmodels = [\n  {name = "a"},\n'
        '  {name = "b",\n   command = ["x",\n     "y"]},\n]\n'
    )
    with pytest.raises(tomllib.TOMLDecodeError):  # TOML 1.0 has no line ends in inline tables
        tomllib.loads(text)
    text = text.replace('"b",\n   command', '"b", command')
    tomllib.loads(text)
    found = line_numbers(text)
    assert found[("server", "port")] == 1
    assert found[("models", 1, "name")] == 4
    assert found[("models", 1, "command", 0)] == 4
    assert found[("models", 1, "command", 1)] == 5


@pytest.mark.parametrize(
    "value",
    [
        '"""\n[x]\nport = 1\n"""',
        "'''\nport = 1\n'''",
        '"""ends with a quote""""',
        '"""an \\""" inside"""',
        '"# ] } = "',
        "'C:\\'",
        "1979-05-27 07:32:00",
        "[1, [2, 3,], # ]\n 4]",
        "{a.b = 1, 'c d' = [{e = 2}]}",
        "-1e3",
    ],
)
def test_a_value_of_any_form_does_not_hide_the_key_after_it(value: str) -> None:
    text = f"before = {value}\nafter = 1\n"
    tomllib.loads(text)
    assert line_numbers(text)[("after",)] == 1 + text[: text.index("after =")].count("\n")
    assert set(line_numbers(text)) >= {("before",), ("after",)}


def test_quoted_and_dotted_names_are_read_as_toml_means_them() -> None:
    text = 'a . "b.c" . \'d\' = 1\n["\\u00e9".x]\ny = 2\r\nz = 3\n'
    found = line_numbers(text)
    assert found[("a", "b.c", "d")] == 1
    assert found[("é", "x", "y")] == 3
    assert found[("é", "x", "z")] == 4


def test_an_empty_text_has_no_lines() -> None:
    assert line_numbers("") == {}
    assert line_numbers("# only a comment") == {}


keys = st.text("abcxyz_-", min_size=1, max_size=5)
scalars = st.one_of(
    st.integers(-5, 5).map(str),
    st.sampled_from(
        ['"a = 1"', "'[t]'", '"""\nx = 1\n"""', "true", "[1,\n2]", "{q = 1}", "[]", "{}"]
    ),
)


@given(
    st.lists(
        st.tuples(
            keys, st.sampled_from(["table", "list"]), st.dictionaries(keys, scalars, max_size=3)
        ),
        max_size=5,
    )
)
def test_every_path_of_the_parsed_value_has_the_line_on_which_its_key_is_written(
    blocks: list[Any],
) -> None:
    """Against the obvious model: write each key on a line of its own and remember that line."""
    lines: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {}
    kinds: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, kind, pairs in blocks:
        if kinds.setdefault(name, kind) != kind or (kind == "table" and name in counts):
            continue
        counts[name] = counts.get(name, -1) + 1
        path: tuple[str | int, ...] = (name,) if kind == "table" else (name, counts[name])
        lines.append(f"[{name}]" if kind == "table" else f"[[ {name} ]]  # x = 1")
        expected[path] = len(lines)
        for key, value in pairs.items():
            expected[(*path, key)] = len(lines) + 1
            lines.extend(f"{key} = {value}".split("\n"))
    text = "\n".join(lines)
    tomllib.loads(text)
    found = line_numbers(text)
    for path, line in expected.items():
        assert found[path] == line
