"""What commands print."""

import json

import pytest

from rempart.cli.output import print_listing, print_table, printable

COLUMNS = [("NAME", lambda row: row["name"]), ("N", lambda row: row["n"])]


def test_values_of_others_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"name": "[red]a\x1b[2J\n", "n": None}], COLUMNS)
    assert "[red]a·[2J·" in capsys.readouterr().out
    assert printable("é ✓") == "é ✓"


def test_a_long_value_is_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"name": "x" * 150, "n": 1}], COLUMNS)
    assert "x" * 150 in capsys.readouterr().out


def test_a_listing_is_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"name": "a", "n": 1}]
    print_listing(items, None, COLUMNS, as_json=False)
    assert capsys.readouterr().out.split() == ["NAME", "N", "a", "1"]
    print_listing(items, "next-one", COLUMNS, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"items": items, "next": "next-one"}
