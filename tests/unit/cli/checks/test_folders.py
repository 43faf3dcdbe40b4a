"""Where we write."""

import subprocess
import sys
import tempfile
from pathlib import Path

from rempart.cli.checks.folders import config_file, data_folder, log_folder

GIB = 1024**3


def levels(data_dir: Path, free_bytes: int = 2 * GIB) -> list[tuple[str, str]]:
    return [(finding.check, finding.level) for finding in data_folder(data_dir, free_bytes)]


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    assert levels(tmp_path / "a/b/c") == [("data_folder", "ok"), ("disk", "ok")]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (finding,) = data_folder(tmp_path / "file/data")
    assert finding.level == "error"
    assert "cannot be written: Not a directory" in finding.found


def test_a_read_only_folder_is_found_by_trying() -> None:
    """As another user, since mode bits do not stop root."""
    code = (
        "import os, sys; from pathlib import Path; from rempart.cli.checks.folders import data_folder;"
        "os.getuid() or os.setuid(65534);"
        "print(data_folder(Path(sys.argv[1]))[0].found)"
    )
    # Not below tmp_path, which no other user may enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
        )
    assert "Permission denied" in done.stdout


def test_a_folder_that_others_can_enter_is_warned_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    assert levels(tmp_path)[0] == ("data_folder", "warning")
    tmp_path.chmod(0o700)
    assert levels(tmp_path)[0] == ("data_folder", "ok")


def test_too_long_a_path_for_the_control_socket_is_an_error(tmp_path: Path) -> None:
    (finding,) = data_folder(tmp_path / ("x" * 100))
    assert (finding.level, "shorter" in finding.remedy) == ("error", True)


def test_little_room_is_a_warning_and_next_to_none_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert levels(tmp_path, GIB - 1)[1] == ("disk", "warning")
    assert levels(tmp_path, 1024**2)[1] == ("disk", "error")


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert log_folder(str(tmp_path / "file/api.log")).level == "error"
    assert log_folder(str(tmp_path / "logs/api.log")).level == "ok"
    assert log_folder("").level == "ok"


def test_secrets_that_everybody_can_read_are_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "rempart.toml"
    assert config_file(file, True) == []
    file.write_text("")
    file.chmod(0o644)
    assert [finding.level for finding in config_file(file, True)] == ["warning"]
    assert config_file(file, False) == []
    file.chmod(0o600)
    assert config_file(file, True) == []
