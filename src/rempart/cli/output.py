"""What commands print: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], Any]]
"""A column's title, and its value of one row."""

PIPE_COLUMNS = 240
"""Width of a table that goes into a file or pipe, where there is no terminal to ask."""


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_listing(
    items: Sequence[Row], following: str | None, columns: Sequence[Column], *, as_json: bool
) -> None:
    """A page of a listing.

    Args:
        following: the cursor after which it goes on, or None when this is the end.
    """
    if as_json:
        print_json({"items": list(items), "next": following})
        return
    print_table(items, columns)
    if following is not None:
        print(f"There are more: --cursor {following}")


def print_record(record: Row, *, as_json: bool) -> None:
    """One thing: its fields one below the other."""
    if as_json:
        print_json(record)
        return
    width = max(map(len, record), default=0)
    for name, value in record.items():
        print(f"{name:<{width}}  {printable(_plain(value))}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_plain(part)}" for name, part in value.items()) or "-"
    if isinstance(value, list):
        return " ".join(map(_plain, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def print_table(items: Sequence[Row], columns: Sequence[Column]) -> None:
    """Rows under their titles, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, _ in columns:
        table.add_column(title, overflow="fold")
    for item in items:
        table.add_row(*(Text(printable(value_of(item))) for _, value_of in columns))
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    Console(width=width, highlight=False).print(table)


def printable(value: Any) -> str:
    """A value as one line without control characters: names and logs of others go to a terminal."""
    text = "" if value is None else str(value)
    return "".join(character if character.isprintable() else "·" for character in text)


def say(text: str) -> None:
    """A line on the error stream: progress and notes, so that stdout holds results only."""
    print(text, file=sys.stderr, flush=True)
