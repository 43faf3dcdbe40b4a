"""``rempart models``: what models there are and how they do; load, unload, fetch, read their logs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer

from rempart.cli.configuration import data_folder
from rempart.cli.failure import CommandFailed
from rempart.cli.options import Cursor, DataDir, Json, Limit, Url
from rempart.cli.output import print_json, print_listing, printable

if TYPE_CHECKING:
    from rempart.cli.connection import Connection

LOAD_S = 7200.0
"""How long `load` waits for the server's answer; a model's own start_s ends it much earlier."""
FOLLOW_EVERY_S = 1.0
LINES_MAX = 2000

app = typer.Typer(help="See, load and fetch models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until it is done.")]


@app.command("list")
def list_models(
    as_json: Json = False,
    limit: Limit = 100,
    cursor: Cursor = "",
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """List the models of a running server with their states."""
    query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
    page = _connect(data_dir, url).ask("GET", f"/api/models?{urlencode(query)}")
    columns: list[tuple[str, Callable[[Any], Any]]] = [
        ("NAME", lambda model: model["name"]),
        ("KIND", lambda model: model["kind"]),
        ("STATE", lambda model: model["state"]),
        ("SLOTS", lambda model: _slots(model["slots"])),
        ("WAITING", lambda model: model["queue"]["waiting"]),
        ("MEMORY", lambda model: _memory(model["memory_bytes"])),
        ("CONTEXT", lambda model: model["context_length"]),
        ("REASON", lambda model: model["reason"]),
    ]
    print_listing(page["items"], page["next"], columns, as_json=as_json)


@app.command()
def logs(
    name: Name,
    count: Annotated[
        int, typer.Option("-n", "--lines", min=1, max=LINES_MAX, help="Lines at most.")
    ] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """Print the latest lines of a model's own log."""
    connection = _connect(data_dir, url)
    lines = _lines(connection, name, LINES_MAX if follow else count)
    if as_json:
        print_json({"items": lines[-count:], "next": None})
        return
    _print_lines(lines[-count:])
    while follow:
        time.sleep(FOLLOW_EVERY_S)
        newest = _lines(connection, name, LINES_MAX)
        _print_lines(unseen(lines, newest))
        lines = newest


@app.command()
def load(name: Name, no_wait: NoWait = False, data_dir: DataDir = None, url: Url = "") -> None:
    """Load a model; done when it is ready."""
    _act(_connect(data_dir, url), name, "load", no_wait)
    print(f"{name} is being loaded." if no_wait else f"{name} is ready.")


@app.command()
def unload(name: Name, no_wait: NoWait = False, data_dir: DataDir = None, url: Url = "") -> None:
    """Unload a model; done when its process is gone and its memory free."""
    _act(_connect(data_dir, url), name, "unload", no_wait)
    print(f"{name} is being unloaded." if no_wait else f"{name} is unloaded.")


@app.command()
def pull(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A file, an http(s) address, a hub name (org/name[:quant]) or demo.",
        ),
    ],
    sha256: Annotated[str, typer.Option("--sha256", metavar="HEX", help="Expected digest.")] = "",
    max_size: Annotated[
        str, typer.Option("--max-size", metavar="SIZE", help="Bound for each file.")
    ] = "200GiB",
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Fetch a model into the data folder; a broken download goes on where it broke."""
    from rempart.base.quantities import size_bytes
    from rempart.cli import pull as pulling

    try:
        bytes_max = size_bytes(max_size)
    except ValueError as error:
        raise CommandFailed(
            f'--max-size must be {error}, found "{max_size}".', exit_code=2
        ) from error
    if sha256 and (
        len(sha256) != 64 or not all(digit in "0123456789abcdefABCDEF" for digit in sha256)
    ):
        raise CommandFailed("--sha256 must be 64 hexadecimal digits.", exit_code=2)
    path = pulling.pull(source, data_folder(data_dir), sha256=sha256, bytes_max=bytes_max)
    if as_json:
        print_json({"path": str(path)})
    else:
        print(f"{path}\nServe it with: rempart serve {path}")


def unseen(before: list[str], newest: list[str]) -> list[str]:
    """The lines of ``newest`` that come after those of ``before``.

    Both are windows of one log, of which the later begins no earlier: so a tail of the first is a
    head of the second, unless more came in between than a window holds; then all are new.
    """
    for start in range(len(before)):
        if before[start:] == newest[: len(before) - start]:
            return newest[len(before) - start :]
    return newest


def _connect(data_dir: Path | None, url: str) -> "Connection":
    # Imported here: http.client alone is a sixth of what --help may cost.
    from rempart.cli.connection import connect

    return connect(data_dir, url)


def _lines(connection: "Connection", name: str, count: int) -> list[str]:
    answer = connection.ask("GET", f"/api/models/{quote(name)}/logs?n={count}")
    return [str(line) for line in answer["items"]]


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        print(printable(line), flush=True)


def _act(connection: "Connection", name: str, act: str, no_wait: bool) -> None:
    wait = "false" if no_wait else "true"
    connection.ask("POST", f"/api/models/{quote(name)}/{act}?wait={wait}", timeout_s=LOAD_S)


def _slots(slots: Any) -> str:
    return f"{slots['busy']}/{slots['total'] or '∞'}"


def _memory(count: int) -> str:
    from rempart.base.quantities import bytes_text

    return bytes_text(count) if count else ""
