"""Python itself, and what it runs before us."""

from collections.abc import Sequence
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

from rempart.cli.checks.interpreter import python_version, startup_files


def test_an_old_python_is_an_error() -> None:
    finding = python_version((3, 10, 4))
    assert (finding.level, finding.found) == ("error", "Python 3.10.4")
    assert "3.11" in finding.remedy
    assert python_version((3, 11, 0)).level == "ok"
    assert python_version((4, 0, 0)).level == "ok"


def installed(folder: Path, name: str, *files: str) -> Distribution:
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    return PathDistribution(info)


def levels(folder: Path, distributions: Sequence[Distribution] = ()) -> list[str]:
    return [finding.level for finding in startup_files([folder], distributions)]


def test_a_stray_file_that_runs_code_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_text("import os; os.system('x')\n")
    (finding,) = startup_files([tmp_path], [])
    assert finding.level == "error"
    assert f"{tmp_path}/evil.pth runs code at every start" in finding.found
    assert "change all keys" in finding.remedy


def test_a_stray_file_that_adds_folders_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "paths.pth").write_text("# import nothing\n/some/where\n")
    assert levels(tmp_path) == ["warning"]


def test_a_file_of_an_installed_package_is_no_finding(tmp_path: Path) -> None:
    (tmp_path / "good.pth").write_text("import good\n")
    assert levels(tmp_path, [installed(tmp_path, "good", "good.pth", "good/__init__.py")]) == ["ok"]
    assert levels(tmp_path, [installed(tmp_path, "other", "other.pth")]) == ["error"]


def test_a_package_without_a_list_of_files_owns_none(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_text("import a\n")
    distribution = installed(tmp_path, "bare")
    (tmp_path / "bare-1.dist-info/RECORD").unlink()
    assert levels(tmp_path, [distribution]) == ["error"]
