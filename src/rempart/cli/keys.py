"""``rempart keys``: make keys, see what they may do, change, rotate and revoke them."""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from rempart.cli.key_options import (
    Clear,
    Content,
    ExpiresIn,
    Labels,
    Limits,
    Models,
    Networks,
    Project,
    Scopes,
    labels_of,
    limits_of,
    seconds_of,
)
from rempart.cli.options import Cursor, DataDir, Json, Limit, Url
from rempart.cli.output import Column, print_json, print_listing, print_record, say
from rempart.cli.reach import reach

app = typer.Typer(help="Make, see, change, rotate and revoke keys.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")]


def limits_text(row: Any) -> str:
    """Limits in one cell of a table."""
    if row.get("is_unlimited") and not row["limits"]:
        return "none apply"
    return " ".join(
        f"{name}={'none' if amount is None else amount}" for name, amount in row["limits"].items()
    )


def moment_text(moment: str | None) -> str:
    """A moment in one cell of a table, to the minute."""
    return moment[:16].replace("T", " ") if moment else ""


COLUMNS: list[Column] = [
    ("ID", lambda key: key["id"]),
    ("NAME", lambda key: key["name"]),
    ("STATE", lambda key: key["state"]),
    ("SCOPES", lambda key: " ".join(key["scopes"])),
    ("LIMITS", limits_text),
    ("PROJECT", lambda key: key["project"]),
    ("LAST USED", lambda key: moment_text(key["last_used_at"])),
    ("EXPIRES", lambda key: moment_text(key["expires_at"])),
]


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What it is called.")],
    scope: Scopes = None,
    model: Models = None,
    limit: Limits = None,
    network: Networks = None,
    project: Project = None,
    expires_in: ExpiresIn = None,
    content: Content = None,
    label: Labels = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """Make a key; it is shown now and never again."""
    body = _body(
        name=name,
        scopes=scope,
        models=model,
        limits=limits_of(limit, can_clear=False),
        networks=network,
        project=project,
        expires_in_s=seconds_of(expires_in, "--expires-in"),
        content=content,
        labels=labels_of(label, can_clear=False),
    )
    with reach(data_dir, url) as server:
        _show_once(server.ask("POST", "/api/keys", body=body), as_json=as_json)


@app.command("list")
def list_keys(
    as_json: Json = False,
    limit: Limit = 100,
    cursor: Cursor = "",
    project: Annotated[
        str, typer.Option("--project", metavar="PROJECT", help="Only keys of this project.")
    ] = "",
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """List keys, newest first; never their secrets."""
    query: dict[str, Any] = {"limit": limit}
    query |= {"cursor": cursor} if cursor else {}
    query |= {"project": project} if project else {}
    with reach(data_dir, url) as server:
        page = server.ask("GET", f"/api/keys?{urlencode(query)}")
    print_listing(page["items"], page["next"], COLUMNS, as_json=as_json)


@app.command()
def show(id_: Id, as_json: Json = False, data_dir: DataDir = None, url: Url = "") -> None:
    """Show what a key may do."""
    with reach(data_dir, url) as server:
        print_record(server.ask("GET", _path(id_)), as_json=as_json)


@app.command()
def update(
    id_: Id,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What it is called.")
    ] = None,
    scope: Scopes = None,
    model: Models = None,
    limit: Limits = None,
    network: Networks = None,
    project: Project = None,
    expires_in: ExpiresIn = None,
    content: Content = None,
    label: Labels = None,
    clear: Clear = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """Change a key. Limits and labels are set one by one; the other lists are replaced whole.

    `--limit NAME=default` and `--label NAME=` take one away.
    """
    body = _body(
        name=name,
        scopes=scope,
        models=model,
        limits=limits_of(limit, can_clear=True),
        networks=network,
        project=project,
        expires_in_s=seconds_of(expires_in, "--expires-in"),
        content=content,
        labels=labels_of(label, can_clear=True),
    )
    empty: dict[str, Any] = {"models": [], "networks": [], "project": "", "expiry": None}
    for field in clear or ():
        body["expires_at" if field == "expiry" else field.value] = empty[field.value]
    with reach(data_dir, url) as server:
        print_record(server.ask("PATCH", _path(id_), body=body), as_json=as_json)


@app.command()
def rotate(
    id_: Id,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="How long the old secret stays valid.")
    ] = "0s",
    as_json: Json = False,
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """Give a key a new secret; it is shown now and never again."""
    body = {"grace_s": seconds_of(grace, "--grace")}
    with reach(data_dir, url) as server:
        _show_once(server.ask("POST", f"{_path(id_)}/rotate", body=body), as_json=as_json)


@app.command()
def revoke(id_: Id, as_json: Json = False, data_dir: DataDir = None, url: Url = "") -> None:
    """End a key for good, with its streams in flight."""
    with reach(data_dir, url) as server:
        revoked = server.ask("POST", f"{_path(id_)}/revoke")
    if as_json:
        print_json(revoked)
    else:
        print(f"{revoked['id']} is revoked.")


def _body(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _path(id_: str) -> str:
    return f"/api/keys/{quote(id_, safe='')}"


def _show_once(key: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    print(f"id   {key['id']}\nkey  {key['key']}")
    say("This is the only time the key is shown.")
    if key["old_secret_until"]:
        say(f"The old one is valid until {key['old_secret_until']}.")
