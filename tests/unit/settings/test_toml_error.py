"""Texts that are not TOML."""

import tomllib

import pytest

from rempart.settings.toml_error import toml_problem


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("[a]\nb = localhost\n", 2, "Put texts in quotes"),
        ("[a]\nb\n", 2, "Write NAME = VALUE"),
        ("a = 1\na = 2\n", 2, "keep one"),
        ("[a]\n[b]\n[a]\n", 3, "join the two"),
        ('a = "x\n', 1, ""),
        ("a = 1 b = 2\n", 1, "Begin a new line"),
        ("a = [1,\n2\n", 3, "Close the list"),
        ('a = "C:\\dir"\n', 1, "single quotes"),
        ("a =\n", 1, "Put texts in quotes"),
        ('a = """\nx', 2, "Close the quotes"),
        ("a = 1\n[b\n", 2, "https://toml.io"),
    ],
)
def test_the_line_and_a_hint_are_given(text: str, line: int, hint: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    message = toml_problem("f.toml", text, caught.value)
    assert message.startswith(f"f.toml line {line}: the file must be TOML, found: ")
    assert hint in message
