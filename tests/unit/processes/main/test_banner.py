"""What is shown at the start works when it is pasted."""

import json
import subprocess
from pathlib import Path

import pytest

from rempart.domain.peppers import Peppers
from rempart.processes.main.banner import ready_lines
from rempart.state.bootstrap import AdminKey, load_admin_key

PEPPERS = Peppers.of([b"p" * 32])
ADDRESS, CONTROL = "http://127.0.0.1:8000", "http://127.0.0.1:8001"
GIVEN = "an-administrator-s-key-of-32-and-more"
# Shows its arguments instead of sending them.
CURL = 'curl() { for argument in "$@"; do printf \'%s\\0\' "$argument"; done; }\n'


def banner(
    admin: AdminKey | None, model: str = "demo", log_file: str = "logs/api.log"
) -> list[str]:
    return ready_lines(ADDRESS, CONTROL, model, admin, log_file)


def pasted(lines: list[str], **environment: str) -> list[str]:
    """What curl is given when the shown line is pasted into a shell."""
    (command,) = [line for line in lines if line.strip().startswith("curl ")]
    ended = subprocess.run(
        ["/bin/sh", "-c", CURL + command],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    assert ended.stderr == ""
    return ended.stdout.split("\0")[:-1]


@pytest.mark.parametrize("folder", ["data", "my data", "l'été $HOME `x`", 'a"b\\'])
@pytest.mark.parametrize("model", ["demo", "org/modèle", 'l\'autre "modèle" \\ $x'])
def test_the_command_is_right_whatever_the_names(tmp_path: Path, folder: str, model: str) -> None:
    data_dir = tmp_path / folder
    data_dir.mkdir()
    admin = load_admin_key(data_dir, PEPPERS, None)
    arguments = pasted(banner(admin, model), PATH="/bin:/usr/bin", HOME="/nowhere")
    assert arguments[0] == f"{ADDRESS}/v1/chat/completions"
    headers = [arguments[at + 1] for at, one in enumerate(arguments) if one == "-H"]
    assert headers == [
        f"Authorization: Bearer {admin.secret.reveal()}",
        "Content-Type: application/json",
    ]
    body = json.loads(arguments[arguments.index("-d") + 1])
    assert body["model"] == model
    assert body["messages"][0]["role"] == "user"


def test_a_given_key_is_read_from_the_environment_and_never_shown(tmp_path: Path) -> None:
    lines = banner(load_admin_key(tmp_path, PEPPERS, GIVEN))
    assert not any(GIVEN in line for line in lines)
    arguments = pasted(lines, PATH="/bin:/usr/bin", REMPART_ADMIN_KEY=GIVEN)
    assert f"Authorization: Bearer {GIVEN}" in arguments


def test_a_new_key_is_shown_at_the_start_that_made_it_and_not_again(tmp_path: Path) -> None:
    first = load_admin_key(tmp_path, PEPPERS, None)
    shown = "\n".join(banner(first))
    assert shown.count(first.secret.reveal()) == 1
    again = load_admin_key(tmp_path, PEPPERS, None)
    assert first.secret.reveal() not in "\n".join(banner(again))


def test_the_addresses_and_the_log_are_named(tmp_path: Path) -> None:
    admin = load_admin_key(tmp_path, PEPPERS, GIVEN)
    shown = "\n".join(banner(admin))
    for text in (f"{ADDRESS}/v1", CONTROL, "logs/api.log", "demo"):
        assert text in shown
    assert "console only" in "\n".join(banner(admin, log_file=""))


def test_without_a_model_there_is_nothing_to_try(tmp_path: Path) -> None:
    lines = banner(load_admin_key(tmp_path, PEPPERS, GIVEN), model="")
    assert not any("curl" in line for line in lines)
    assert any("model: none" in line for line in lines)


def test_a_key_that_nobody_here_knows_is_left_to_the_reader() -> None:
    lines = banner(None)
    assert any("$REMPART_API_KEY" in line for line in lines)
    assert not any("Admin key" in line for line in lines)
