"""The tree of commands. A new noun is a file beside this one and a line here."""

from typing import Annotated

import typer

from rempart import __version__
from rempart.cli import audit, config, doctor, init, keys, models, projects, secrets, serve

app = typer.Typer(
    name="rempart",
    help="One command turns a language model into a production API.",
    no_args_is_help=True,
    # Rich would take three times the CPU for --help, and show local variables (secrets) in a traceback.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        print(f"rempart {__version__}")
        raise typer.Exit


@app.callback()
def _rempart(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print it.")
    ] = False,
) -> None:
    """One command turns a language model into a production API."""


app.command("serve")(serve.serve)
app.command("init")(init.init)
app.command("doctor")(doctor.doctor)
app.add_typer(config.app, name="config")
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(projects.app, name="projects")
app.add_typer(audit.app, name="audit")
app.add_typer(secrets.app, name="secrets")
