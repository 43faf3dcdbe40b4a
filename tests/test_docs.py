"""The documentation says what is so: links, commands, settings, requirements, reference pages."""

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rempart.settings.schema import kind_at

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
GENERATED = {DOCS / "requirements.md", *(DOCS / "reference").glob("*.md")}
CHANGES = ("Security", "Removed", "Deprecated", "Added", "Changed", "Fixed")


def rel(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, text in re.findall(r"(?ms)^```(\w*)\n(.*?)^```", page.read_text()):
        if language in languages:
            yield text


def prose(page: Path) -> list[tuple[int, str]]:
    """Lines outside code blocks and tables, with their numbers."""
    found, inside = [], False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            inside = not inside
        elif not inside and not line.startswith("|"):
            found.append((number, line))
    return found


@pytest.mark.parametrize("page", PAGES, ids=rel)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
            if "://" not in target and not (page.parent / target).exists():
                dead.append(f"{rel(page)}:{number} {target}")
    assert dead == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED], ids=rel)
def test_one_sentence_per_line(page: Path) -> None:
    """A change then shows as the sentence that changed."""
    two = [
        f"{rel(page)}:{number}"
        for number, line in prose(page)
        if re.search(r"[a-z`)”\"]\. +[A-Z`]", re.sub(r"^\s*\d+\. ", "", line))
    ]
    assert two == []


def make_targets() -> set[str]:
    return set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED], ids=rel)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`make ([a-z-]+)", page.read_text()))
    for text in blocks(page, "sh", "console"):
        named |= set(re.findall(r"(?m)^(?:\$ )?make ([a-z-]+)", text))
    assert named - make_targets() == set()


def commands() -> set[str]:
    page = (DOCS / "reference" / "cli.md").read_text()
    return set(re.findall(r"(?m)^## `rempart ([a-z ]+)`$", page))


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED], ids=rel)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    lines = re.findall(r"`rempart ([^`]*)`", page.read_text())
    for text in blocks(page, "sh"):
        lines += re.findall(r"(?m)^(?:sudo )?(?:\.venv/bin/)?rempart (.*)$", text)
    known = commands()
    nouns = {command.split()[0] for command in known}
    wrong = []
    for line in lines:
        words = line.split()
        if words[0].startswith("-") or words[0] in known or " ".join(words[:2]) in known:
            continue
        if not (len(words) == 1 and words[0] in nouns):
            wrong.append(line)
    assert wrong == []


def test_make_help_names_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    shown = set(re.findall(r"(?m)^([a-z-]+):.*## ", text))
    inner = {"system-programs"}
    assert make_targets() - shown == inner


@pytest.mark.parametrize("page", PAGES, ids=rel)
def test_every_path_of_the_tree_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(
        r"`((?:src|docs|deploy|examples|tests|lab|bench|requirements)/[^`\s*<]*)`", page.read_text()
    )
    assert [path for path in named if not (ROOT / path.split("::")[0]).exists()] == []


def example_configurations() -> list[tuple[str, str]]:
    found = [
        (f"{rel(page)} {number}", text)
        for page in PAGES
        for number, text in enumerate(blocks(page, "toml"), 1)
    ]
    files = [*(ROOT / "examples").rglob("*.toml"), *(ROOT / "deploy").rglob("*.toml")]
    return found + [(rel(file), file.read_text()) for file in files]


@pytest.mark.parametrize(("place", "text"), example_configurations(), ids=lambda value: value[:50])
def test_configurations_shown_have_only_settings_that_exist(place: str, text: str) -> None:
    unknown = []

    def walk(value: object, path: tuple[str | int, ...]) -> None:
        kind = kind_at(path)
        if kind is None:
            unknown.append(path)
        elif isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, (*path, name))
        elif isinstance(value, list) and kind.is_table_list:
            for number, inner in enumerate(value):
                walk(inner, (*path, number))

    walk(tomllib.loads(text), ())
    assert unknown == [], place


def test_the_changelog_speaks_in_its_sections() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert versions
    assert all(
        re.fullmatch(r"## (Unreleased|\d+\.\d+\.\d+( — \d{4}-\d{2}-\d{2})?)", line)
        for line in versions
    )
    sections: list[str] = []
    for line in lines:
        if line.startswith("## "):
            sections = []
        elif line.startswith("### "):
            sections.append(line[4:])
            assert sections == [name for name in CHANGES if name in sections]


def test_reference_pages_are_what_the_code_says() -> None:
    """`make reference` writes them anew."""
    assert module(DOCS / "reference.py").stale() == []


# Requirements


def marked_tests() -> dict[str, set[str]]:
    """Test (``file::name``) → the lines it says that it shows."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(file.read_text())
        whole_file: set[str] = set()
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
                whole_file |= _named(node.value)
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith(
                "test_"
            ):
                named = set(whole_file)
                for decorator in node.decorator_list:
                    named |= _named(decorator)
                found[f"{rel(file)}::{node.name}"] = named
    return found


def _named(node: ast.AST) -> set[str]:
    return {
        argument.value
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.requirement"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def test_every_line_that_a_test_names_exists() -> None:
    known = {
        line.id for lines in module(DOCS / "requirements.py").read().values() for line in lines
    }
    unknown = {test: named - known for test, named in marked_tests().items() if named - known}
    assert unknown == {}


def test_the_requirements_page_shows_every_line_and_tests_that_exist() -> None:
    """`make requirements` writes it anew, after full runs of the tests."""
    page = (DOCS / "requirements.md").read_text()
    requirements = module(DOCS / "requirements.py")
    for lines in requirements.read().values():
        for line in lines:
            rows = [row for row in page.splitlines() if row.startswith(f"| {line.text} | *")]
            assert any(line.where in row and line.later in row for row in rows), line.id
    marked = {test for test, named in marked_tests().items() if named}
    shown = set(re.findall(r"`(tests/[^`]*::[^`]*)`", page))
    assert shown - marked == set()


def test_a_line_is_passed_only_when_every_part_of_it_is_shown() -> None:
    requirements = module(DOCS / "requirements.py")
    line = requirements.Line
    lines = {
        one.id: one
        for one in (
            line("own", "", ""),
            line("late", "", "", later="more"),
            line("both", "", "", shown_by=("own", "late")),
            line("bare", "", ""),
        )
    }

    def state(name: str, results: dict[str, dict[str, str]]) -> str:
        return str(requirements.state_of(lines[name], lines, results)[0])

    assert state("own", {}) == "not yet"
    assert state("own", {"own": {"t": "passed"}}) == "passed"
    assert state("own", {"own": {"t": "passed", "u": "failed"}}) == "failed"
    assert state("late", {"late": {"t": "passed"}}) == "in part"
    assert state("both", {"own": {"t": "passed"}}) == "in part"
    assert state("both", {"own": {"t": "passed"}, "late": {"u": "passed"}}) == "passed"
    assert state("both", {"own": {"t": "passed"}, "late": {"u": "failed"}}) == "failed"
    assert state("bare", {"own": {"t": "passed"}}) == "not yet"
