"""``rempart secrets``: the server's own secrets."""

from typing import Annotated

import typer

from rempart.cli.options import DataDir, Json, Url
from rempart.cli.output import print_json
from rempart.cli.reach import reach

app = typer.Typer(help="Rotate the server's own secrets.", no_args_is_help=True)


@app.callback()
def _secrets() -> None:
    """Rotate the server's own secrets."""


@app.command()
def rotate(
    drop_unused: Annotated[
        bool,
        typer.Option("--drop-unused", help="Make no new pepper; forget those that no key needs."),
    ] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
    url: Url = "",
) -> None:
    """Store keys' digests under a new pepper; every key goes on working.

    A key is stored under the new one when it is next used.
    """
    act = "drop-unused" if drop_unused else "rotate"
    with reach(data_dir, url) as server:
        found = server.ask("POST", f"/api/secrets/{act}")
    if as_json:
        print_json(found)
        return
    older = len(found["pepper_ids"]) - 1
    print(f"Secrets are stored under pepper {found['pepper_id']}; {older} older kept.")
    if found["keys_waiting"]:
        print(
            f"{found['keys_waiting']} keys are stored under an older one until they are next used."
        )
