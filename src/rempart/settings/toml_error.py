"""A text that is not TOML: which line, and what was probably meant."""

import re
import tomllib

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HINTS = (
    ("Invalid value", "Put texts in quotes; true and false are written small."),
    ("Expected '=' after a key", "Write NAME = VALUE, one to a line."),
    ("Cannot overwrite a value", "The name stands there twice: keep one."),
    ("Cannot declare", "The table stands there twice: join the two."),
    ("Unterminated string", "Close the quotes."),
    ("Expected newline or end of document", "Begin a new line after each value."),
    ("Unclosed array", "Close the list with ]."),
    ("Unescaped '\\'", "Put paths with backslashes in single quotes."),
)


def toml_problem(file: str, text: str, error: tomllib.TOMLDecodeError) -> str:
    """The line for people: place, what the parser says, what to do; no value of the file."""
    message = str(error)
    place = _PLACE.search(message)
    said = message[: place.start()] if place else message
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    hint = next(
        (hint for start, hint in _HINTS if said.startswith(start)),
        "See https://toml.io for its form.",
    )
    return f"{file} line {line}: the file must be TOML, found: {_without_values(said)}. {hint}"


def _without_values(said: str) -> str:
    """Tomllib may quote a character of the text, never a value; kept short all the same."""
    return said if len(said) <= 120 else said[:120] + "…"
