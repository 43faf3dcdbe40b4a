"""``rempart audit``: who did what, and whether the log is whole."""

from typing import Annotated
from urllib.parse import urlencode

import typer

from rempart.cli.options import Cursor, DataDir, Json, Limit, Url
from rempart.cli.output import Column, print_listing
from rempart.cli.reach import reach

app = typer.Typer(help="Read, verify and export the audit log.", no_args_is_help=True)

COLUMNS: list[Column] = [
    ("NUMBER", lambda entry: entry["sequence"]),
    ("AT", lambda entry: entry["at"]),
    ("ACTOR", lambda entry: entry["actor"]),
    ("ADDRESS", lambda entry: entry["address"]),
    ("ACTION", lambda entry: entry["action"]),
    ("TARGET", lambda entry: entry["target"]),
]


@app.command("list")
def list_entries(
    as_json: Json = False,
    limit: Limit = 100,
    cursor: Cursor = "",
    oldest: Annotated[bool, typer.Option("--oldest-first", help="Begin at the beginning.")] = False,
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """List what operators did and what failed to authenticate, newest first."""
    query = {"limit": limit, "order": "oldest" if oldest else "newest"}
    query |= {"cursor": cursor} if cursor else {}
    with reach(data_dir, url) as server:
        page = server.ask("GET", f"/api/audit?{urlencode(query)}")
    print_listing(page["items"], page["next"], COLUMNS, as_json=as_json)
