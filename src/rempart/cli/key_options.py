"""What keys and projects take on the command line, and the JSON it becomes."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from rempart.cli.failure import CommandFailed


class ScopeChoice(StrEnum):
    """``domain.keys.Scope``, here so that --help imports nothing."""

    INFERENCE = "inference"
    METRICS = "metrics"
    ADMIN_READ = "admin:read"
    ADMIN_WRITE = "admin:write"


class ContentChoice(StrEnum):
    """``domain.keys.Content``."""

    OFF = "off"
    HASHED = "hashed"
    ON = "on"


class ClearChoice(StrEnum):
    """Fields of a key that can be emptied."""

    MODELS = "models"
    NETWORKS = "networks"
    PROJECT = "project"
    EXPIRY = "expiry"


Scopes = Annotated[
    list[ScopeChoice] | None,
    typer.Option("--scope", help="What it may do; repeat it for more. Without: inference."),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="MODEL", help="A model it may use; repeat it. Without: all."),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=N",
        help="A limit of its own, such as requests_per_minute=10; N may be none. Repeat it.",
    ),
]
Networks = Annotated[
    list[str] | None,
    typer.Option(
        "--network", metavar="CIDR", help="A network it may come from; repeat it. Without: all."
    ),
]
Project = Annotated[
    str | None,
    typer.Option("--project", metavar="PROJECT", help="Id or name of the project it belongs to."),
]
ExpiresIn = Annotated[
    str | None,
    typer.Option("--expires-in", metavar="TIME", help="How long it is valid, such as 90d."),
]
Content = Annotated[
    ContentChoice | None,
    typer.Option("--content", help="What may be kept of its requests' texts. Without: off."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME=TEXT", help="A label of your own; repeat it."),
]
Clear = Annotated[
    list[ClearChoice] | None, typer.Option("--clear", help="Empty this field; repeat it.")
]


def limits_of(given: Sequence[str] | None, *, can_clear: bool) -> dict[str, Any] | None:
    """``NAME=N`` … as JSON.

    Args:
        can_clear: whether ``NAME=default`` may take a limit away.
    Raises:
        CommandFailed: one is none.
    """
    if given is None:
        return None
    from rempart.domain.limits import BY_NAME

    found: dict[str, Any] = {}
    for text in given:
        name, _, amount = text.partition("=")
        if name not in BY_NAME:
            raise CommandFailed(
                f'--limit must be NAME=N with one of these names: {", ".join(BY_NAME)}; found "{text}".',
                exit_code=2,
            )
        found[name] = _amount(amount, text, can_clear=can_clear)
    return found


def labels_of(given: Sequence[str] | None, *, can_clear: bool) -> dict[str, str | None] | None:
    """``NAME=TEXT`` … as JSON.

    Args:
        can_clear: whether ``NAME=`` takes a label away; else it is an empty text.
    Raises:
        CommandFailed: one is none.
    """
    if given is None:
        return None
    found: dict[str, str | None] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CommandFailed(f'--label must be NAME=TEXT, found "{text}".', exit_code=2)
        found[name] = None if can_clear and not value else value
    return found


def seconds_of(text: str | None, option: str) -> float | None:
    """A length of time in seconds.

    Raises:
        CommandFailed: it is none.
    """
    if text is None:
        return None
    from rempart.base.quantities import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise CommandFailed(f'{option} must be {error}, found "{text}".', exit_code=2) from error


def _amount(amount: str, text: str, *, can_clear: bool) -> Any:
    if amount == "none":
        return None
    if can_clear and amount == "default":
        return amount
    try:
        return int(amount)
    except ValueError:
        pass
    try:
        return float(amount)
    except ValueError as error:
        words = "a number, none or default" if can_clear else "a number or none"
        raise CommandFailed(
            f'--limit must be NAME=N where N is {words}, found "{text}".', exit_code=2
        ) from error
