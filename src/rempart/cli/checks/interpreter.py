"""The Python that runs us: its version, and code that it runs before ours."""

from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

from rempart.cli.checks.finding import Finding, error, ok, warning

VERSION_MIN = (3, 11)


def python_version(version: tuple[int, ...]) -> Finding:
    """Whether this Python is new enough."""
    text = ".".join(str(part) for part in version[:3])
    if version < VERSION_MIN:
        return error(
            "python", f"Python {text}", "Install Python 3.11 or newer, then run make setup."
        )
    return ok("python", f"Python {text}")


def startup_files(folders: Iterable[Path], distributions: Iterable[Distribution]) -> list[Finding]:
    """``.pth`` files of the given site-packages folders that belong to no installed package.

    Each line of such a file that begins with ``import`` runs whenever Python starts, in main, the
    workers and every runner: the way in which stolen package releases have hidden their code.
    """
    owned = {path for distribution in distributions for path in _files(distribution)}
    findings = []
    for path in sorted(path for folder in folders for path in folder.glob("*.pth")):
        if path.resolve() in owned:
            continue
        if _runs_code(path):
            found = f"{path} runs code at every start of Python and belongs to no installed package"
            findings.append(
                error(
                    "startup_files",
                    found,
                    "Find out where it comes from. If nobody knows, delete it and change all keys.",
                )
            )
        else:
            found = f"{path} adds folders to the module path and belongs to no installed package"
            findings.append(warning("startup_files", found, "Delete it if nobody needs it."))
    return findings or [ok("startup_files", "no stray .pth files")]


def _files(distribution: Distribution) -> Iterator[Path]:
    for file in distribution.files or ():
        if file.suffix == ".pth":
            yield Path(str(distribution.locate_file(file))).resolve()


def _runs_code(path: Path) -> bool:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return True  # what cannot be read cannot be cleared either
    return any(line.startswith(("import ", "import\t")) for line in lines)
