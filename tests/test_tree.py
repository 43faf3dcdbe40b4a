"""House rules of the tree that neither ruff nor import-linter can keep.

``pytest tests/test_tree.py -rP`` also lists the longest files and functions, and files without
a test of their own: places to look at, no verdicts.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "rempart"
UNIT = ROOT / "tests" / "unit"

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "stuff"}
LOCKS_WITH_ADDRESSES = {"uv.lock", "poetry.lock", "Pipfile.lock", "package-lock.json", "yarn.lock"}
# Put together here, so that this file does not hold what it forbids.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("download", "pytorch", "org"),
        ("deb", "debian", "org"),
        ("proxy", "golang", "org"),
    )
]
LEFT_FOR_LATER = re.compile(
    r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b"
)
BOUND = {
    "Queue": "maxsize",
    "LifoQueue": "maxsize",
    "PriorityQueue": "maxsize",
    "deque": "maxlen",
    "lru_cache": "maxsize",
}
UNBOUNDED_BY_NATURE = {"SimpleQueue", "cache"}
LONGEST_SHOWN = 12


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["/usr/bin/env", "git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def python_files(*folders: Path) -> list[Path]:
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def rel(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """Each call with its name and what it is called on: ``asyncio.Queue()`` → Queue, asyncio."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, node.func.attr, ast.unparse(node.func.value)
            elif isinstance(node.func, ast.Name):
                yield node, node.func.id, ""


def test_a_file_is_named_after_what_lives_in_it() -> None:
    folders = [SRC, ROOT / "lab", ROOT / "bench", ROOT / "tests"]
    vague = [
        rel(file)
        for file in python_files(*folders)
        if VAGUE
        & {part.removeprefix("test_") for part in file.relative_to(ROOT).with_suffix("").parts}
    ]
    assert vague == []


def test_every_package_says_what_it_is_for() -> None:
    silent = [
        rel(file)
        for file in SRC.rglob("__init__.py")
        if not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert silent == []


def test_every_unit_test_stands_where_its_source_stands() -> None:
    astray = []
    for file in UNIT.rglob("test_*.py"):
        folder = SRC / file.parent.relative_to(UNIT)
        name = file.stem.removeprefix("test_")
        if not (folder / f"{name}.py").exists() and not (folder / name).is_dir():
            astray.append(rel(file))
    assert astray == []


def test_tests_are_no_packages() -> None:
    """With importmode=importlib an __init__.py would make two tests of one name collide."""
    assert [rel(file) for file in (ROOT / "tests").rglob("__init__.py")] == []


def test_nothing_is_left_for_later_in_a_comment() -> None:
    found = [
        f"{rel(file)}:{number}"
        for file in python_files(SRC, ROOT / "lab", ROOT / "bench", ROOT / "tests", ROOT / "docs")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if LEFT_FOR_LATER.search(line)
    ]
    assert found == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    """What a test needs is installed by make, so there is nothing to skip for."""
    skipping = {"skip", "skipif", "xfail", "importorskip"}
    found = [
        f"{rel(file)}:{node.lineno}"
        for file in python_files(ROOT / "tests")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in skipping
        and ast.unparse(node.value) in ("pytest", "pytest.mark")
    ]
    assert found == []


def test_every_container_of_a_queue_s_kind_has_a_bound() -> None:
    """Where something else bounds it, the line says so: ``deque()  # bounded by ...``."""
    found = []
    for file in python_files(SRC):
        lines = file.read_text().splitlines()
        for call, name, owner in calls(ast.parse(file.read_text())):
            if owner not in ("", "asyncio", "collections", "queue", "functools", "multiprocessing"):
                continue
            unbounded = name in UNBOUNDED_BY_NATURE and owner in ("queue", "functools")
            if name in BOUND:
                place = 2 if name == "deque" else 1
                given = {keyword.arg for keyword in call.keywords}
                unbounded = len(call.args) < place and BOUND[name] not in given
            if unbounded and "# bounded" not in lines[call.lineno - 1]:
                found.append(f"{rel(file)}:{call.lineno} {name}")
    assert found == []


def test_no_task_is_made_on_the_bare_loop() -> None:
    """Ruff refuses asyncio.create_task; this is the way round it."""
    found = [
        f"{rel(file)}:{call.lineno}"
        for file in python_files(SRC)
        for call, name, owner in calls(ast.parse(file.read_text()))
        if name == "create_task" and "loop" in owner
    ]
    assert found == []


def test_no_file_says_where_packages_come_from() -> None:
    """Whoever installs decides that, by the configuration of pip, uv, npm or apt."""
    files = tracked()
    assert files
    assert [rel(file) for file in files if file.name in LOCKS_WITH_ADDRESSES] == []
    found = []
    for file in files:
        text = file.read_bytes()
        found += [f"{rel(file)}: {host}" for host in REGISTRIES if host.encode() in text]
    assert found == []


@pytest.mark.requirement("setup")
def test_every_locked_package_has_hashes() -> None:
    by_version_only = {"torch.txt", "without-torch.txt"}
    for file in (ROOT / "requirements").glob("*.txt"):
        if file.name in by_version_only:
            continue
        entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", file.read_text()))
        without = [entry for entry in entries if entry.strip() and "--hash=sha256:" not in entry]
        assert without == [], file.name


def test_a_package_has_one_version_for_each_python() -> None:
    """The sets are installed over one another into .venv: they must agree."""
    seen: dict[str, tuple[str, str]] = {}
    for name in ("base", "local", "test", "lint", "bench", "transformers"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        for match in re.finditer(r"(?m)^([a-z0-9._-]+)==(\S+)( ; [^\\]*)? \\$", text):
            package, version, marker = (
                match.group(1),
                match.group(2),
                (match.group(3) or "").strip(),
            )
            held_by, held = seen.setdefault(f"{package} {marker}", (name, version))
            assert version == held, f"{package}: {version} in {name}.txt, {held} in {held_by}.txt"


def test_places_to_look_at() -> None:
    """Never fails: lists for the reviewer (``-rP`` shows them)."""
    files = python_files(SRC)
    lines = {rel(file): file.read_text().count("\n") for file in files}
    functions = [
        (node.end_lineno - node.lineno + 1, f"{rel(file)}:{node.lineno} {node.name}")
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno
    ]
    unmirrored = [
        rel(file)
        for file in files
        if file.name not in ("__init__.py", "__main__.py")
        and lines[rel(file)] > 20
        and not (UNIT / file.parent.relative_to(SRC) / f"test_{file.name}").exists()
    ]
    by_length = sorted(((count, name) for name, count in lines.items()), reverse=True)
    print("longest files", *by_length[:LONGEST_SHOWN], sep="\n  ")
    print("longest functions", *sorted(functions, reverse=True)[:LONGEST_SHOWN], sep="\n  ")
    print("without a test of their own", *unmirrored, sep="\n  ")
