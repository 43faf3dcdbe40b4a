"""``rempart serve`` up to the moment in which it becomes main."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lab.command import Ran, rempart
from rempart.cli import serve
from rempart.cli.failure import CommandFailed
from rempart.cli.serve_file import Asked, resolve_again
from rempart.runners.files.demo_model import DEMO_BYTES, DEMO_FILE


def with_demo(data_dir: Path) -> Path:
    """A data folder in which the demo model seems to be already: a hole of its size."""
    (data_dir / "models").mkdir(parents=True)
    with (data_dir / "models" / DEMO_FILE).open("wb") as file:
        file.write(b"GGUF")
        file.truncate(DEMO_BYTES)
    return data_dir


def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, **environment: str
) -> tuple[Ran, list[str]]:
    became: list[str] = []
    monkeypatch.setattr(serve, "become_main", lambda run_dir: became.append(str(run_dir)))
    return rempart("serve", *arguments, cwd=tmp_path, environment=environment), became


def test_everything_main_needs_is_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = with_demo(tmp_path / "rempart-data")
    ran, became = run(tmp_path, monkeypatch, "demo", "--port", "0", "--workers", "2")
    assert (ran.code, ran.err) == (0, "")
    assert became == [str(data_dir / "run")]
    settings = json.loads((data_dir / "run/settings.json").read_text())
    assert (settings["server"]["port"], settings["server"]["workers"]) == (0, 2)
    assert settings["models"][0]["name"] == "demo"
    assert settings["models"][0]["preload"] is True
    assert json.loads((data_dir / "run/serve.json").read_text()) == {
        "model": "demo",
        "config": "",
        "options": {"server.port": ["--port", 0], "server.workers": ["--workers", 2]},
        "folder": str(tmp_path),
    }


def test_the_data_folder_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = with_demo(tmp_path / "d")
    data_dir.chmod(0o755)
    run(tmp_path, monkeypatch, "demo", "--data-dir", "d")
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in [data_dir, *(data_dir / "run").iterdir()]
    }
    assert modes == {"d": 0o700, "settings.json": 0o600, "serve.json": 0o600}


def test_a_reload_resolves_the_same_again_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = with_demo(tmp_path / "rempart-data")
    run(tmp_path, monkeypatch, "demo", "--port", "5", "--control-port", "6", "--host", "::1")
    ran = rempart(
        "config", "resolve", "--serve-file", str(data_dir / "run/serve.json"), cwd=Path("/")
    )
    assert json.loads(ran.out) == json.loads((data_dir / "run/settings.json").read_text())


def test_without_any_model_it_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, became = run(tmp_path, monkeypatch)
    assert (ran.code, became) == (2, [])
    assert "there is nothing to serve. Name a model (rempart serve demo)" in ran.err


def test_a_wrong_configuration_or_file_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, became = run(tmp_path, monkeypatch, "demo", "--port", "70000")
    assert (ran.code, became) == (1, [])
    assert "--port: server.port must be a whole number from 0 to 65535, found 70000" in ran.err
    assert not (tmp_path / "rempart-data").exists()
    ran, became = run(tmp_path, monkeypatch, "gone.gguf")
    assert (ran.code, became) == (1, [])
    assert "gone.gguf: there is no such file or folder" in ran.err


def test_a_second_server_on_the_same_folder_is_refused_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = with_demo(tmp_path / "rempart-data")
    lock = serve.take_lock(data_dir)
    try:
        ran, became = run(tmp_path, monkeypatch, "demo")
    finally:
        os.close(lock)
    assert (ran.code, became) == (1, [])
    assert "another server uses the data folder" in ran.err
    assert not (data_dir / "run/settings.json").exists()


def test_a_folder_that_cannot_be_made_or_is_too_deep_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    ran, _ = run(tmp_path, monkeypatch, "demo", "--data-dir", "file/data")
    assert ran.code == 1
    assert "cannot be used: Not a directory. Choose another --data-dir" in ran.err
    ran, _ = run(tmp_path, monkeypatch, "demo", "--data-dir", "x" * 120)
    assert ran.code == 1
    assert "path is too long" in ran.err


def test_the_admin_key_may_come_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("k" * 40 + "\n")
    monkeypatch.setenv("REMPART_ADMIN_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.delenv("REMPART_ADMIN_KEY", raising=False)
    serve.take_admin_key_file()
    assert os.environ["REMPART_ADMIN_KEY"] == "k" * 40
    with pytest.raises(CommandFailed, match="must not both be set"):
        serve.take_admin_key_file()
    monkeypatch.delenv("REMPART_ADMIN_KEY")
    monkeypatch.setenv("REMPART_ADMIN_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(CommandFailed, match="must name a readable file"):
        serve.take_admin_key_file()


def test_a_hub_name_that_is_not_here_is_pulled_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pulled(source: str, data_dir: Path) -> None:
        path = data_dir / "models/org/tiny/tiny-Q4_0.gguf"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"GGUF")

    monkeypatch.setattr("rempart.cli.pull.pull", pulled)
    ran, became = run(tmp_path, monkeypatch, "org/tiny:Q4_0")
    assert (ran.code, ran.err, len(became)) == (0, "", 1)
    model = json.loads((tmp_path / "rempart-data/run/settings.json").read_text())["models"][0]
    assert model["name"] == "tiny"
    assert model["source"].endswith("rempart-data/models/org/tiny/tiny-Q4_0.gguf")


def test_the_process_becomes_main_with_its_own_id_and_without_the_folder_as_module_path(
    tmp_path: Path,
) -> None:
    """A file of the same name as Python's own, in the folder where it was started, is not imported."""
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong one')")
    calls: list[tuple[str, list[str]]] = []
    serve.become_main(tmp_path, lambda program, arguments: calls.append((program, arguments)))
    ((program, arguments),) = calls
    assert (program, arguments[0]) == (sys.executable, sys.executable)
    assert arguments[-3:] == ["-m", "rempart.processes.main", str(tmp_path)]
    flags = arguments[1 : arguments.index("-m")]
    done = subprocess.run(
        [program, *flags, "-m", "json.tool", "-h"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0


def test_what_was_asked_for_survives_being_written(tmp_path: Path) -> None:
    asked = Asked(
        model="demo", config="", options={"server.port": ("--port", 4)}, folder=str(tmp_path)
    )
    (tmp_path / "serve.json").write_text(asked.written())
    assert resolve_again(tmp_path / "serve.json").server.port == 4
