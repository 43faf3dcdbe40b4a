"""``rempart config``."""

import json
from pathlib import Path

import pytest

from lab.command import rempart
from lab.new_certificates import new_pair

MODEL = '[[models]]\nname = "a"\nsource = "demo"\n'


def test_a_right_configuration_is_said_to_be_right(tmp_path: Path) -> None:
    (tmp_path / "rempart.toml").write_text(MODEL)
    ran = rempart("config", "check", cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "The configuration is right. Models: a.\n", "")
    ran = rempart("config", "check", "--json", cwd=tmp_path)
    assert json.loads(ran.out) == {"status": "ok", "models": ["a"]}


@pytest.mark.requirement("configuration")
def test_all_errors_are_listed_and_the_exit_code_is_1(tmp_path: Path) -> None:
    (tmp_path / "rempart.toml").write_text("[server]\nport = 'x'\nprot = 1\n")
    ran = rempart("config", "check", cwd=tmp_path)
    assert (ran.code, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert lines[0] == "rempart: the configuration cannot be used:"
    assert lines[1].startswith("rempart.toml line 2: server.port must be a whole number")
    assert lines[2].endswith("Did you mean server.port?")


def test_a_model_file_that_is_not_here_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "rempart.toml").write_text(MODEL.replace("demo", "models/x.gguf"))
    ran = rempart("config", "check", cwd=tmp_path)
    assert ran.code == 0
    assert ran.err.startswith(
        'note: models[0].source must be an existing file or folder, found "models/x.gguf"'
    )


def test_another_file_can_be_named_by_option_and_variable(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[server]\nport = 7\n")
    for ran in (
        rempart("config", "show", "--config", "other.toml", cwd=tmp_path),
        rempart("config", "show", cwd=tmp_path, environment={"REMPART_CONFIG": "other.toml"}),
    ):
        assert json.loads(ran.out)["server"]["port"] == 7


def test_every_setting_is_shown_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "rempart.toml").write_text(
        '[secrets]\nmaster_key = "hunter2"\n' + MODEL + 'env = {A = "hunter2"}\n'
    )
    environment = {"REMPART_SERVER__PORT": "9"}
    ran = rempart("config", "show", cwd=tmp_path, environment=environment)
    values = json.loads(ran.out)
    assert values["server"]["port"] == 9
    assert values["deadline"]["total_s"] == 600
    assert values["models"][0]["env"] == {"A": "********"}
    assert "hunter2" not in ran.out


def test_resolve_gives_what_serve_was_asked_for_as_it_is_then(tmp_path: Path) -> None:
    file = tmp_path / "serve.json"
    asked = {
        "model": "",
        "config": "",
        "options": {"server.port": ["--port", 5]},
        "folder": str(tmp_path),
    }
    file.write_text(json.dumps(asked))
    (tmp_path / "rempart.toml").write_text(MODEL + '[secrets]\nmaster_key = "hunter2"\n')
    ran = rempart("config", "resolve", "--serve-file", str(file), cwd=Path("/"))
    values = json.loads(ran.out)
    assert values["server"]["port"] == 5
    assert values["models"][0]["name"] == "a"
    assert values["secrets"]["master_key"] == "hunter2"
    (tmp_path / "rempart.toml").write_text("x")
    ran = rempart("config", "resolve", "--serve-file", str(file), cwd=Path("/"))
    assert (ran.code, ran.out) == (1, "")
    assert "rempart.toml line 1: the file must be TOML" in ran.err


@pytest.mark.parametrize(
    "text", [None, "x", "[]", "{}", '{"model": 1, "config": "", "options": [], "folder": ""}']
)
def test_a_serve_file_that_is_none_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "serve.json").write_text(text)
    ran = rempart("config", "resolve", "--serve-file", "serve.json", cwd=tmp_path)
    assert ran.code == 1
    assert "serve.json is not what `rempart serve` writes" in ran.err


def test_a_certificate_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    one, other = new_pair(tmp_path, "one"), new_pair(tmp_path, "other")
    for cert, key, found in [
        (one.cert.name, one.key.name, ""),
        (one.cert.name, other.key.name, "[tls]: tls.key must be the key of the certificate"),
        (one.cert.name, "none.key", "[tls]: tls.key must be a readable file"),
        (one.cert.name, "", "rempart.toml line 3: tls.key must be set when cert is"),
    ]:
        lines = f'[tls]\ncert = "{cert}"\nkey = "{key}"\n'
        (tmp_path / "rempart.toml").write_text(lines + MODEL)
        ran = rempart("config", "check", cwd=tmp_path)
        assert ran.code == (1 if found else 0)
        assert found in ran.err
