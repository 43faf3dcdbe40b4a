"""``rempart config``: is the configuration right, and what does it come to?"""

from pathlib import Path
from typing import Annotated

import typer

from rempart.cli import serve_file
from rempart.cli.certificates import check_certificate
from rempart.cli.configuration import resolved
from rempart.cli.options import Config, Json
from rempart.cli.output import print_json, say

app = typer.Typer(help="Check the configuration, or show what it comes to.", no_args_is_help=True)


@app.command()
def check(config: Config = None, as_json: Json = False) -> None:
    """Check file and environment whole; exit code 1 when something is wrong.

    A model file that is not on this machine is a note, not an error: the configuration may be meant
    for another one. The files of [tls] must be there and belong together.
    """
    from rempart.settings.source import missing_files

    settings = resolved(config, {})
    check_certificate(settings)
    for found in missing_files(settings):
        say(f"note: {found.text}")
    names = [model.name for model in settings.models]
    if as_json:
        print_json({"status": "ok", "models": names})
    else:
        print(f"The configuration is right. Models: {', '.join(names) or 'none'}.")


@app.command()
def show(config: Config = None) -> None:
    """Print every setting as it takes effect, as JSON; secrets are masked."""
    from rempart.settings.resolved import masked

    print_json(masked(resolved(config, {})))


@app.command(hidden=True)
def resolve(
    file: Annotated[Path, typer.Option("--serve-file", help="What `serve` was asked for.")],
) -> None:
    """Resolve what a running server was started with once more, secrets and all: for main's reload."""
    from rempart.settings.resolved import dump

    print(dump(serve_file.resolve_again(file)).decode())
