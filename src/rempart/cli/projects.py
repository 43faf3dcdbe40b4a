"""``rempart projects``: keys that share limits."""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from rempart.cli.key_options import Labels, Limits, labels_of, limits_of
from rempart.cli.keys import limits_text, moment_text
from rempart.cli.options import Cursor, DataDir, Json, Limit, Url
from rempart.cli.output import Column, print_listing, print_record
from rempart.cli.reach import reach

app = typer.Typer(
    help="Make, see and change projects, whose keys share limits.", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The project's id or name.")]
COLUMNS: list[Column] = [
    ("ID", lambda project: project["id"]),
    ("NAME", lambda project: project["name"]),
    ("LIMITS", limits_text),
    ("CREATED", lambda project: moment_text(project["created_at"])),
]


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Its name, used once.")],
    limit: Limits = None,
    label: Labels = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """Make a project."""
    body: dict[str, Any] = {"name": name}
    if limit is not None:
        body["limits"] = limits_of(limit, can_clear=False)
    if label is not None:
        body["labels"] = labels_of(label, can_clear=False)
    with reach(data_dir, url) as server:
        print_record(server.ask("POST", "/api/projects", body=body), as_json=as_json)


@app.command("list")
def list_projects(
    as_json: Json = False,
    limit: Limit = 100,
    cursor: Cursor = "",
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """List projects, newest first."""
    query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
    with reach(data_dir, url) as server:
        page = server.ask("GET", f"/api/projects?{urlencode(query)}")
    print_listing(page["items"], page["next"], COLUMNS, as_json=as_json)


@app.command()
def show(id_: Id, as_json: Json = False, data_dir: DataDir = None, url: Url = "") -> None:
    """Show a project."""
    with reach(data_dir, url) as server:
        print_record(server.ask("GET", f"/api/projects/{quote(id_, safe='')}"), as_json=as_json)


@app.command()
def update(
    id_: Id,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="A new name.")] = None,
    limit: Limits = None,
    label: Labels = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """Change a project. `--limit NAME=default` and `--label NAME=` take one away."""
    body: dict[str, Any] = {}
    if name is not None:
        body["name"] = name
    if limit is not None:
        body["limits"] = limits_of(limit, can_clear=True)
    if label is not None:
        body["labels"] = labels_of(label, can_clear=True)
    with reach(data_dir, url) as server:
        answer = server.ask("PATCH", f"/api/projects/{quote(id_, safe='')}", body=body)
    print_record(answer, as_json=as_json)
