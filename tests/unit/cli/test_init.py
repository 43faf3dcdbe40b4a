"""``rempart init``."""

from pathlib import Path

import pytest

from lab.command import rempart


@pytest.mark.requirement("configuration")
def test_the_file_it_writes_is_right(tmp_path: Path) -> None:
    assert rempart("init", cwd=tmp_path).code == 0
    ran = rempart("config", "check", cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "The configuration is right. Models: demo.\n")


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "rempart.toml").write_text("mine")
    ran = rempart("init", cwd=tmp_path)
    assert ran.code == 1
    assert "is there already" in ran.err
    assert (tmp_path / "rempart.toml").read_text() == "mine"
    assert rempart("init", "--force", cwd=tmp_path).code == 0
    assert "[server]" in (tmp_path / "rempart.toml").read_text()


def test_another_file_can_be_named(tmp_path: Path) -> None:
    assert rempart("init", "--config", "other.toml", cwd=tmp_path).code == 0
    assert (tmp_path / "other.toml").exists()
    ran = rempart("init", "--config", "none/other.toml", cwd=tmp_path)
    assert ran.code == 1
    assert "cannot be written: No such file or directory" in ran.err
