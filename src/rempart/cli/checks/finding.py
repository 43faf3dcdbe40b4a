"""The shape of what a check finds."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at.

    Args:
        check: what was looked at, a short fixed name.
        level: ``error`` keeps the server from working, ``warning`` will hurt at some time, ``note``
            is good to know.
        found: what is so.
        remedy: what to do; empty only for ``ok`` and ``note``.
    """

    check: str
    level: Level
    found: str
    remedy: str = ""

    def as_row(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check=check, level="ok", found=found)


def note(check: str, found: str, remedy: str = "") -> Finding:
    """Good to know."""
    return Finding(check=check, level="note", found=found, remedy=remedy)


def warning(check: str, found: str, remedy: str) -> Finding:
    """It will hurt at some time."""
    return Finding(check=check, level="warning", found=found, remedy=remedy)


def error(check: str, found: str, remedy: str) -> Finding:
    """The server does not work like this."""
    return Finding(check=check, level="error", found=found, remedy=remedy)
