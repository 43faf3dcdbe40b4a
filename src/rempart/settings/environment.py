"""Settings from the environment: ``REMPART_SERVER__PORT=9000`` is ``server.port = 9000``.

Two underscores go one level down; a number is a list's element (``REMPART_MODELS__0__API_KEY``);
lists and tables are JSON. What begins with ``REMPART_`` and is no setting is an error, since a
misspelt limit that is ignored would be found too late.
"""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rempart.settings.explain import LATER_SECTIONS, Problem
from rempart.settings.model import SECRETS
from rempart.settings.schema import Kind, Path, every_setting, kind_at, names_of

PREFIX = "REMPART_"
FILE_ENDING = "_file"

NOT_SETTINGS = {
    "REMPART_ADMIN_KEY": "the first admin key, 32 printable characters or more; unset: one is made",
    "REMPART_ADMIN_KEY_FILE": "a file with it instead",
    "REMPART_API_KEY": "the key that commands send to a server named by `--url`",
    "REMPART_CONFIG": "the configuration's file, as `--config`",
    "REMPART_URL": "the control address of a server elsewhere, as `--url`",
}
"""Variables with a meaning of their own; these are their lines in docs/reference/cli.md."""

# Kubernetes puts these into every container beside a Service that is called rempart(-something).
_SERVICE_LINK = re.compile(
    r"REMPART_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_(ADDR|PORT|PROTO))?)"
)


@dataclass(frozen=True)
class Assignment:
    """One value that goes over what the file says.

    Args:
        origin: where it was written, for messages.
    """

    path: Path
    value: Any
    origin: str


def from_environment(environment: Mapping[str, str]) -> tuple[list[Assignment], list[str]]:
    """The settings among the variables, tables before what stands in them, and what is wrong."""
    assignments: list[Assignment] = []
    problems: list[str] = []
    for variable in sorted(environment):
        text = environment[variable]
        if (
            not variable.startswith(PREFIX)
            or variable in NOT_SETTINGS
            or _is_service_link(variable, text)
        ):
            continue
        origin = f"environment variable {variable}"
        path = _path_of(variable)
        kind = _kind_of(path)
        if kind is None:
            problems.append(f"{origin}: {_unknown(variable, path)}")
            continue
        if is_secret_file(path) and variable.removesuffix("_FILE") in environment:
            problems.append(
                f"{origin}: {variable.removesuffix('_FILE')} is set too. Unset one of them."
            )
            continue
        value = _value(text, kind)
        if isinstance(value, Problem):
            problems.append(f"{origin}: {variable} {value.text}")
        else:
            assignments.append(Assignment(path, value, origin))
    assignments.sort(key=lambda assignment: len(assignment.path))
    return assignments, problems


def variable_of(name: str) -> str:
    """The variable of a setting: ``server.port`` → ``REMPART_SERVER__PORT``."""
    return PREFIX + name.replace(".", "__").upper()


def is_secret_file(path: Path) -> bool:
    """Whether ``path`` names the file of a secret text (``secrets.master_key_file``)."""
    name = names_of(path)
    if not name.endswith(FILE_ENDING) or name.removesuffix(FILE_ENDING) not in SECRETS:
        return False
    kind = kind_at((*path[:-1], str(path[-1]).removesuffix(FILE_ENDING)))
    return kind is not None and kind.base is str


def _is_service_link(variable: str, text: str) -> bool:
    if variable.endswith("_PORT") and text.startswith(("tcp://", "udp://")):
        return True
    return _SERVICE_LINK.fullmatch(variable) is not None and "__" not in variable


def _path_of(variable: str) -> Path:
    path: Path = ()
    for part in variable.removeprefix(PREFIX).split("__"):
        above = kind_at(path)
        if part.isascii() and part.isdigit():
            path = (*path, int(part))
        elif above is not None and above.base is dict:
            path = (*path, part)  # names in a runner's environment keep their case
        else:
            path = (*path, part.lower())
    return path


def _kind_of(path: Path) -> Kind | None:
    return Kind(base=str) if is_secret_file(path) else kind_at(path)


def _value(text: str, kind: Kind) -> Any:
    """The text as the setting's type; text that does not fit is left for the checks to explain."""
    if kind.is_table or kind.base in (list, dict):
        try:
            return json.loads(text)
        except ValueError as error:
            # The value itself may hold secrets.
            where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
            shape = "list" if kind.base is list else "object"
            return Problem((), f"must be a JSON {shape}, found something else{where}. Write JSON.")
    if kind.base is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)
    if kind.base in (int, float):
        try:
            return kind.base(text)
        except ValueError:
            return text
    if kind.base is Literal:
        return text.strip()
    return text


def _unknown(variable: str, path: Path) -> str:
    if isinstance(path[0], str) and path[0] in LATER_SECTIONS:
        return f"{LATER_SECTIONS[path[0]]} is not available in this version. Unset it."
    names = [variable_of(setting.name) for setting in every_setting()]
    # REMPART_SERVER_PORT is the usual mistake: one underscore where two are meant.
    flat = {name.replace("__", "_"): name for name in names}
    guess = flat.get(variable.replace("__", "_"))
    if guess is None:
        bare = {name.removeprefix(PREFIX): name for name in [*names, *NOT_SETTINGS]}
        close = difflib.get_close_matches(variable.removeprefix(PREFIX), bare, n=1, cutoff=0.75)
        guess = bare[close[0]] if close else None
    return f"{variable} is not a setting. " + (f"Did you mean {guess}?" if guess else "Unset it.")
