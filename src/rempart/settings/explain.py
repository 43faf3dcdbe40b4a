"""Errors of the configuration, in words: place, expectation, finding, remedy.

A ``Problem`` says what is wrong with one path; where that path was written (a line of a file, a
variable, an option) is joined to it at the end by whoever read the configuration. Values of secrets
never get into a message, nor do values of names that we do not know: they may be misspelt secrets.
"""

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from rempart.settings.model import Settings
from rempart.settings.schema import (
    Kind,
    Path,
    every_setting,
    expectation,
    kind_at,
    known_kind,
    limits_of,
    shown_path,
    table,
    touches_secret,
)

FOUND_CHARACTERS_MAX = 60
LATER_SECTIONS = {
    "alerts": "[alerts]",
    "aliases": "[[aliases]]",
}
"""Sections of later versions: refused by name, since ignoring a limit in silence would be worse."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with the value at ``path``; ``text`` is whole sentences."""

    path: Path
    text: str


class SettingsError(Exception):
    """The configuration cannot be used; ``problems`` has one line for each thing to mend."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def problem(path: Path, must: str, finding: str, remedy: str) -> Problem:
    """The usual form: ``PATH must …, found …. Remedy.``"""
    return Problem(path, f"{shown_path(path)} must {must}, found {finding}. {remedy}")


def wrong_value(path: Path, value: Any) -> Problem:
    """A value of the wrong type, or outside its bounds."""
    kind = known_kind(path)
    if isinstance(path[-1], int) and kind.is_table:
        written = f"[[{shown_path(path[:-1])}]]"
        return problem(
            path, "be a table", found(path, value), f"Write {written} and its settings below it."
        )
    if kind.is_table and len(path) == 1:
        return problem(
            path, "be a table", found(path, value), f"Write [{path[0]}] and its settings below it."
        )
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    return problem(path, f"be {expectation(kind, name)}", found(path, value), _remedy(kind, value))


def missing(path: Path) -> Problem:
    """A setting that has no default was left out."""
    kind = known_kind(path)
    name = path[-1]
    return Problem(
        path,
        f"{shown_path(path[:-1])} must have the setting {name} ({kind.doc}), found none. "
        f"Write {name} = {_example(kind)}.",
    )


def unknown(path: Path) -> Problem:
    """A name that is no setting, or not yet."""
    name = str(path[-1])
    if len(path) == 1 and name in LATER_SECTIONS:
        return Problem(path, f"{LATER_SECTIONS[name]} is not available in this version. Remove it.")
    text = f"{shown_path(path)} is not a setting."
    guess = _nearest(path)
    if guess:
        return Problem(path, f"{text} Did you mean {guess}?")
    above = kind_at(path[:-1]) or Kind(base=Settings)
    names = sorted(table(above.base)) if above.is_table else []
    return Problem(
        path, f"{text} " + (f"There are: {', '.join(names)}." if names else "Remove it.")
    )


def _nearest(path: Path) -> str:
    """The setting that a misspelt name most likely means, as it should be written; or nothing."""
    name = str(path[-1])
    above = kind_at(path[:-1])
    if above is not None and above.is_table:
        close = difflib.get_close_matches(name, table(above.base), n=1)
        if close:
            return shown_path((*path[:-1], close[0]))
    # The right name in the wrong place: "port" before any [section], "host" in [deadline].
    for setting in every_setting():
        if setting.path[-1] == name and setting.path[0] != "models":
            return setting.name
    return ""


def close_match(word: str, words: Iterable[str]) -> str:
    """The one of ``words`` that ``word`` most likely means, or an empty text."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return close[0] if close else ""


def found(path: Path, value: Any) -> str:
    """A value for a message, as TOML writes it, shortened; only its type where secrets are near."""
    if touches_secret(path):
        return _type_name(value) + " (not shown)"
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, float) and value != value:
        text = "nan"
    if len(text) > FOUND_CHARACTERS_MAX:
        text = text[:FOUND_CHARACTERS_MAX] + "…"
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) else text


def _type_name(value: Any) -> str:
    names: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "a table"),
    ]
    return next((name for cls, name in names if isinstance(value, cls)), "a date")


def _remedy(kind: Kind, value: Any) -> str:
    """What to write instead: the value itself where it can be told, else an example."""
    if kind.base in (int, float):
        return _number_remedy(kind, value)
    if kind.base is bool:
        is_no = str(value).strip().lower() in ("0", "no", "off", "false", "n", "")
        return f"Write {'false' if is_no else 'true'}, without quotes."
    if kind.base is Literal:
        guess = close_match(str(value), kind.choices)
        return f'Write "{guess or kind.choices[0]}".'
    if kind.base is str and isinstance(value, int | float) and not isinstance(value, bool):
        return f'Write "{value}".'
    if kind.base is list and isinstance(value, str):
        return "Put it in square brackets."
    return f"Write {_example(kind)}."


def _number_remedy(kind: Kind, value: Any) -> str:
    low, is_open, high = limits_of(kind.bounds)
    number: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        number = value
    elif isinstance(value, str) and (match := re.match(r"\s*(-?\d+(?:\.\d+)?)", value)):
        number = float(match[1])
    if number is not None and abs(number) != float("inf"):
        whole = int(number) if kind.base is int or number == int(number) else number
        is_low = low is not None and (whole < low or (whole == low and is_open))
        if not is_low and (high is None or whole <= high):
            return f"Write {whole}."
        if high is not None and whole > high:
            return f"Write {_plain(high)} or less."
        if low is not None:
            return f"Write more than {_plain(low)}." if is_open else f"Write {_plain(low)} or more."
    return f"Write {_example(kind)}."


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _example(kind: Kind) -> str:
    if kind.base is Literal:
        return f'"{kind.choices[0]}"'
    if kind.base is bool:
        return "true or false"
    if kind.base is list:
        return '["…"]'
    if kind.base is dict or kind.is_table:
        return '{NAME = "…"}'
    if kind.base in (int, float):
        low, is_open, _ = limits_of(kind.bounds)
        return f"{int((low or 0) + (1 if is_open else 0))}"
    return '"…"'
