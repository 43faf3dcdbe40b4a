"""What ``serve`` was asked for, kept for a reload."""

from pathlib import Path

import pytest

from rempart.cli.failure import CommandFailed
from rempart.cli.serve_file import Asked, resolve_again


def test_a_reload_sees_the_file_as_it_is_then_and_refuses_a_missing_model(tmp_path: Path) -> None:
    asked = Asked(model="", config="c.toml", options={}, folder=str(tmp_path))
    (tmp_path / "serve.json").write_text(asked.written())
    text = '[[models]]\nname = "a"\nsource = "demo"\n'
    (tmp_path / "c.toml").write_text(text)
    assert resolve_again(tmp_path / "serve.json").models[0].name == "a"
    (tmp_path / "c.toml").write_text(text.replace("demo", "gone.gguf"))
    with pytest.raises(
        CommandFailed, match=r"c.toml line 3: models\[0\].source must be an existing"
    ):
        resolve_again(tmp_path / "serve.json")
