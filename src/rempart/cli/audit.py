"""``rempart audit``: who did what, and whether the log is whole."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO
from urllib.parse import urlencode

import typer

from rempart.cli.failure import CommandFailed
from rempart.cli.options import Cursor, DataDir, Json, Limit, Url
from rempart.cli.output import Column, print_json, print_listing
from rempart.cli.reach import reach

app = typer.Typer(help="Read, verify and export the audit log.", no_args_is_help=True)

EXPORT_PAGE = 1000
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


@app.command()
def verify(as_json: Json = False, data_dir: DataDir = None, url: Url = "") -> None:
    """Follow the chain of hashes and compare it with the signed checkpoints; exit code 1 when it is broken."""
    with reach(data_dir, url) as server:
        found = server.ask("GET", "/api/audit/verify")
    if as_json:
        print_json(found)
    if not found["is_whole"]:
        raise CommandFailed(
            f"the audit log is not whole: {found['fault']}. Up to entry {found['entries']} it is; "
            "compare with an earlier export or a backup."
        )
    if not as_json:
        print(
            f"The chain of {found['entries']} entries is whole. Its last hash is {found['head']}. "
            f"Signed checkpoints that it agrees with: {found['checkpoints']}."
        )


@app.command()
def export(
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write there, not to stdout.")
    ] = None,
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """Write all entries as JSON lines, the oldest first, each with its hash and the one before."""
    with reach(data_dir, url) as server, _opened(to) as file:
        cursor = ""
        while True:
            query = {"limit": EXPORT_PAGE, "order": "oldest"} | (
                {"cursor": cursor} if cursor else {}
            )
            page = server.ask("GET", f"/api/audit?{urlencode(query)}")
            for entry in page["items"]:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            cursor = page["next"]
            if cursor is None:
                return


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from error
    with open(descriptor, "w", encoding="utf-8") as file:
        yield file
