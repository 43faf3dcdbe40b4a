"""Options that several commands share, each with its words in one place."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="REMPART_CONFIG",
        help="Configuration; rempart.toml here if there is one.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="FOLDER", help="Data folder; as configured, else ./rempart-data."
    ),
]
Url = Annotated[
    str,
    typer.Option(
        "--url",
        metavar="ADDRESS",
        envvar="REMPART_URL",
        help="Control address of a server elsewhere; its key is taken from REMPART_API_KEY.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="Entries at most.")]
Cursor = Annotated[
    str, typer.Option("--cursor", metavar="CURSOR", help="Go on after the listing that gave this.")
]
