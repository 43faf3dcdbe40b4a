"""``rempart doctor`` as a whole: every finding reaches the operator, with its exit code."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from lab.command import Ran, rempart
from rempart.cli import doctor

GOOD = "[server]\nport = 0\ncontrol_port = 0\nconnections_max = 100\n"


def findings(ran: Ran) -> dict[str, list[dict[str, Any]]]:
    document = json.loads(ran.out)
    assert document["next"] is None
    by_check: dict[str, list[dict[str, Any]]] = {}
    for item in document["items"]:
        assert set(item) == {"check", "level", "found", "remedy"}
        assert item["remedy"] or item["level"] in ("ok", "note")
        by_check.setdefault(item["check"], []).append(item)
    return by_check


def levels(ran: Ran, check: str) -> list[str]:
    return [finding["level"] for finding in findings(ran)[check]]


def test_a_machine_in_order_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "rempart.toml").write_text(GOOD)
    ran = rempart("doctor", "demo", "--json", cwd=tmp_path)
    assert ran.code == 0, ran.out
    assert set(findings(ran)) == {
        "python", "startup_files", "sqlite", "cores", "memory", "configuration", "open_files",
        "data_folder", "disk", "log", "ports", "gpu", "runner", "model", "tls",
    }  # fmt: skip
    assert levels(ran, "configuration") == levels(ran, "startup_files") == ["ok"]
    assert levels(ran, "runner") == ["ok"]
    assert list(tmp_path.iterdir()) == [tmp_path / "rempart.toml"]


def test_what_is_found_is_told_to_people_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "rempart.toml").write_text(GOOD)
    ran = rempart("doctor", "--data-dir", "rempart.toml/data", cwd=tmp_path)
    assert ran.code == 1
    assert "✗  data_folder" in ran.out
    assert "What to do:\n" in ran.out
    assert "✗ data_folder: Choose another data_dir" in ran.out
    assert "\n1 errors, " in ran.out


@pytest.mark.parametrize(
    ("more", "check", "level"),
    [
        ("", "model", "note"),
        ("\n[[models]]\nname = 'a'\nsource = 'gone.gguf'\n", "model", "error"),
        (
            "\n[[models]]\nname = 'a'\nkind = 'command'\ncommand = ['no-such-program', '{port}']\n",
            "runner",
            "error",
        ),
        (
            "\n[[models]]\nname = 'a'\nkind = 'upstream'\nbase_urls = ['http://127.0.0.1:9/v1']\n",
            "upstream",
            "warning",
        ),
        ("\n[secrets]\nmaster_key = 'x'\n", "config_file", "warning"),
        ("\n[logs]\nfile = 'rempart.toml/api.log'\n", "log", "error"),
        ("\n[memory]\nbudget = 'much'\n", "configuration", "error"),
        ("\n[[modles]]\n", "configuration", "error"),
    ],
)
def test_every_area_is_looked_at(tmp_path: Path, more: str, check: str, level: str) -> None:
    (tmp_path / "rempart.toml").write_text(GOOD + more)
    ran = rempart("doctor", "--json", cwd=tmp_path)
    assert level in levels(ran, check)
    assert ran.code == (1 if level == "error" else 0)


def test_ports_memory_and_open_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = GOOD.replace("\nport = 0", f"\nport = {taken.getsockname()[1]}")
        (tmp_path / "rempart.toml").write_text(text.replace("= 100\n", "= 10000000\n"))
        ran = rempart("doctor", "--json", cwd=tmp_path)
    assert levels(ran, "ports") == ["error", "ok"]
    assert levels(ran, "open_files") == ["warning"]
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 40, 1))
    assert levels(rempart("doctor", "--json", cwd=tmp_path), "sqlite") == ["warning"]


def test_stray_startup_files_of_this_environment_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.pth").write_text("import os\n")
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path)])
    ran = rempart("doctor", "--json", cwd=tmp_path)
    assert (ran.code, levels(ran, "startup_files")) == (1, ["error"])


def test_only_secrets_that_stand_in_the_file_itself_count(tmp_path: Path) -> None:
    model = '[[models]]\nname = "a"\nkind = "upstream"\nbase_urls = ["http://h/v1"]\n'
    for text, has_one in (
        ("", False),
        ("[secrets]\nmaster_key = ''\n", False),
        ("[secrets]\nmaster_key_file = 'x'\n", False),
        ("[secrets]\nmaster_key = 'x'\n", True),
        (model, False),
        (model + "api_key_file = 'x'\n", False),
        (model + "api_key = 'x'\n", True),
        ("models = 5\nsecrets = 5\n", False),
        ("not toml", False),
    ):
        (tmp_path / "c.toml").write_text(text)
        assert doctor._has_secrets(tmp_path / "c.toml") is has_one
