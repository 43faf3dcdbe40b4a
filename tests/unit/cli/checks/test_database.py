"""Releases of SQLite that can lose commits."""

import pytest

from rempart.cli.checks.database import is_affected, sqlite_version


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), True),
        ((3, 53, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_the_fault_is_known_by_release(version: tuple[int, int, int], affected: bool) -> None:
    assert is_affected(version) is affected


def test_an_affected_release_is_a_warning_that_names_a_good_one() -> None:
    finding = sqlite_version((3, 40, 1))
    assert (finding.level, "3.51.3" in finding.remedy) == ("warning", True)
    assert sqlite_version((3, 53, 1)).found == "SQLite 3.53.1"
