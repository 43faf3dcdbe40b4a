"""SQLite, as this Python brings it."""

from rempart.cli.checks.finding import Finding, ok, warning

WAL_SINCE = (3, 7, 0)
FIXED_IN = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""First good release of each line; from 3.53.0 on all are (3.52.0 was withdrawn)."""
FIXED_FOR_GOOD = (3, 53, 0)


def sqlite_version(version: tuple[int, int, int]) -> Finding:
    """Whether this SQLite may lose commits when a checkpoint meets a reset of the write-ahead log.

    Source: https://sqlite.org/releaselog/3_51_3.html
    """
    text = ".".join(str(part) for part in version)
    if is_affected(version):
        return warning(
            "sqlite",
            f"SQLite {text} can lose committed data when two connections checkpoint its log at once",
            "Use a Python built with SQLite 3.51.3 or newer, or keep more than one program from "
            "opening Rempart's database at a time.",
        )
    return ok("sqlite", f"SQLite {text}")


def is_affected(version: tuple[int, int, int]) -> bool:
    """Whether the release has the fault."""
    if version < WAL_SINCE or version >= FIXED_FOR_GOOD:
        return False
    return not any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED_IN)
