"""Writes docs/requirements.md: what the description asks for, where it is answered, what shows it.

    make requirements

Reads docs/requirements.toml and what the last full runs of ``make test``, ``make test-system``,
``make test-hf`` and ``make soak`` left in .cache/requirements/.
"""

import json
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "docs" / "requirements.toml"
PAGE = ROOT / "docs" / "requirements.md"
RESULTS = ROOT / ".cache" / "requirements"
TESTS_SHOWN_MAX = 4
STATES = ("passed", "in part", "failed", "not yet")

Results = dict[str, dict[str, str]]
"""Line's id → test → ``passed`` or ``failed``."""

HEAD = """\
# Requirements

Every line of the description that this project began with, where the product answers it, \
and the tests that show it.
Written by `make requirements` from `docs/requirements.toml` and the last full runs of the \
tests ({suites}); do not edit it by hand.

*passed*: tests show it and all of them passed.
*in part*: they passed, but something named beside it is missing, or not \
every part of the line has a test.
*failed*: one of them failed.
*not yet*: no test shows it.

{counts}
"""


@dataclass(frozen=True)
class Line:
    """One line of the description; the fields are explained in requirements.toml."""

    id: str
    text: str
    where: str
    shown_by: tuple[str, ...] = ()
    later: str = ""


def read(source: Path = SOURCE) -> dict[str, list[Line]]:
    """Title of a section → its lines.

    Raises:
        ValueError: an id stands twice, or ``as`` names one that does not exist.
    """
    sections = {
        section["title"]: [
            Line(
                row["id"], row["text"], row["where"], tuple(row.get("as", ())), row.get("later", "")
            )
            for row in section["lines"]
        ]
        for section in tomllib.loads(source.read_text())["sections"]
    }
    count = Counter(line.id for lines in sections.values() for line in lines)
    for line in (line for lines in sections.values() for line in lines):
        if count[line.id] > 1:
            raise ValueError(f"{source.name}: the id {line.id!r} stands {count[line.id]} times")
        unknown = [name for name in line.shown_by if name not in count]
        if unknown:
            raise ValueError(f"{source.name}: {line.id!r} names {unknown}, which do not exist")
    return sections


def state_of(line: Line, lines: dict[str, Line], results: Results) -> tuple[str, list[str]]:
    """How a line stands, and the tests that say so."""
    parts = _parts(line, lines)
    tests = {name: outcome for part in parts for name, outcome in results.get(part, {}).items()}
    if not tests:
        return "not yet", []
    if any(outcome != "passed" for outcome in tests.values()):
        return "failed", sorted(tests)
    # A line that stands for others alone needs no test of its own, but each of them needs one.
    needed = parts[1:] or parts
    whole = not line.later and all(results.get(part) for part in needed)
    return "passed" if whole else "in part", sorted(tests)


def _parts(line: Line, lines: dict[str, Line]) -> list[str]:
    found = [line.id]
    for name in line.shown_by:
        found += [part for part in _parts(lines[name], lines) if part not in found]
    # A line between that only points on is no part with tests of its own.
    return [found[0], *(part for part in found[1:] if not lines[part].shown_by)]


def render(sections: dict[str, list[Line]], results: Results, suites: list[str]) -> str:
    """The page."""
    lines = {line.id: line for rows in sections.values() for line in rows}
    states = {line.id: state_of(line, lines, results) for line in lines.values()}
    count = Counter(state for state, _ in states.values())
    body = []
    for title, rows in sections.items():
        body += [
            "",
            f"## {title}",
            "",
            "| line | state | where | shown by |",
            "| --- | --- | --- | --- |",
        ]
        for line in rows:
            state, tests = states[line.id]
            where = " ".join(
                filter(None, [line.where, line.later and f"Still missing: {line.later}"])
            )
            body.append(f"| {line.text} | *{state}* | {where} | {_shown(tests)} |")
    head = HEAD.format(
        suites=", ".join(f"`make {suite}`" for suite in suites) or "none yet",
        counts=", ".join(f"{count[state]} {state}" for state in STATES) + f"; {len(lines)} lines.",
    )
    return head + "\n".join(body) + "\n"


def _shown(tests: list[str]) -> str:
    named = [f"`{test}`" for test in tests[:TESTS_SHOWN_MAX]]
    more = len(tests) - len(named)
    return "<br>".join(named + ([f"and {more} more"] if more else []))


def merged(folder: Path = RESULTS) -> tuple[Results, list[str]]:
    """The results of all suites together, and the suites they come from."""
    results: Results = {}
    suites = []
    for file in sorted(folder.glob("*.json")):
        suites.append(file.stem)
        for line, tests in json.loads(file.read_text()).items():
            results.setdefault(line, {}).update(tests)
    return results, suites


def main() -> int:
    """Write the page and say in one line how things stand."""
    sections = read()
    results, suites = merged()
    known = {line.id for rows in sections.values() for line in rows}
    unknown = sorted(set(results) - known)
    if unknown:
        print(f"tests name lines that {SOURCE.name} does not have: {unknown}", file=sys.stderr)
        return 1
    page = render(sections, results, suites)
    PAGE.write_text(page)
    print(f"{PAGE.relative_to(ROOT)}: {page.split(chr(10) + chr(10))[3].strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
