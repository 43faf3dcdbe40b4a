"""``rempart keys`` against a running control API."""

import json
from pathlib import Path
from typing import Any

import pytest

from lab.command import Ran, rempart
from lab.control_server import ControlServer


@pytest.fixture
def folder(control: ControlServer, tmp_path: Path) -> Path:
    return tmp_path


def made(folder: Path, *options: str) -> Any:
    ran = rempart("keys", "create", "--name", "droit", *options, "--json", cwd=folder)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_a_key_is_printed_once_and_its_secret_alone_goes_to_stdout(folder: Path) -> None:
    ran = rempart("keys", "create", "--name", "droit", cwd=folder)
    assert ran.code == 0
    (id_word, id_), (key_word, key) = (line.split() for line in ran.out.splitlines())
    assert (id_word, key_word) == ("id", "key")
    assert key.startswith(f"rmp_{id_}_")
    assert ran.err == "This is the only time the key is shown.\n"


def test_every_option_reaches_the_key(control: ControlServer, folder: Path) -> None:
    project = rempart("projects", "create", "--name", "law", "--json", cwd=folder)
    key = made(
        folder,
        *("--scope", "inference", "--scope", "metrics"),
        *("--model", "demo", "--model", "far"),
        *("--limit", "requests_per_minute=10", "--limit", "cost_per_day=1.5"),
        *("--limit", "requests_per_hour=none"),
        *("--network", "10.0.0.0/8"),
        *("--project", "law", "--expires-in", "90d", "--content", "hashed", "--label", "team=a=b"),
    )
    assert key["scopes"] == ["inference", "metrics"]
    assert key["models"] == ["demo", "far"]
    assert key["limits"] == {
        "requests_per_minute": 10,
        "requests_per_hour": None,
        "cost_per_day": 1.5,
    }
    assert key["networks"] == ["10.0.0.0/8"]
    assert key["project"] == json.loads(project.out)["id"]
    assert key["content"] == "hashed"
    assert key["labels"] == {"team": "a=b"}
    assert key["expires_at"]


def test_keys_are_listed_and_shown_without_their_secrets(folder: Path) -> None:
    key = made(folder, "--limit", "tokens_per_day=5")
    listed = rempart("keys", "list", cwd=folder)
    title, line = listed.out.splitlines()
    assert title.split("  ")[0] == "ID"
    assert "tokens_per_day=5" in line
    page = json.loads(rempart("keys", "list", "--json", cwd=folder).out)
    assert [item["id"] for item in page["items"]] == [key["id"]]
    assert page["next"] is None
    shown = rempart("keys", "show", key["id"], cwd=folder)
    assert "limits            tokens_per_day=5\n" in shown.out
    for text in (listed.out, json.dumps(page), shown.out):
        assert key["key"] not in text


def test_an_update_sets_limits_one_by_one_and_empties_what_is_cleared(folder: Path) -> None:
    key = made(folder, "--limit", "tokens_per_day=5", "--model", "demo", "--expires-in", "1d")
    ran = rempart(
        "keys",
        "update",
        key["id"],
        *("--limit", "tokens_per_day=default", "--limit", "requests_per_minute=7"),
        *("--clear", "models", "--clear", "expiry", "--json"),
        cwd=folder,
    )
    changed = json.loads(ran.out)
    assert changed["limits"] == {"requests_per_minute": 7}
    assert changed["models"] == []
    assert changed["expires_at"] is None


def test_a_rotation_says_how_long_the_old_secret_lasts(folder: Path) -> None:
    key = made(folder)
    ran = rempart("keys", "rotate", key["id"], "--grace", "10m", cwd=folder)
    assert ran.out.splitlines()[0].split() == ["id", key["id"]]
    assert "The old one is valid until 20" in ran.err


def test_a_revoked_key_is_told(folder: Path) -> None:
    key = made(folder)
    assert rempart("keys", "revoke", key["id"], cwd=folder).out == f"{key['id']} is revoked.\n"
    assert json.loads(rempart("keys", "show", key["id"], "--json", cwd=folder).out)["state"] == (
        "revoked"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--limit", "per_second=1"), "one of these names: requests_per_minute"),
        (("--limit", "requests_per_minute=many"), "a number or none"),
        (("--limit", "requests_per_minute=default"), "a number or none"),
        (("--label", "team"), "NAME=TEXT"),
        (("--expires-in", "soon"), "a length of time"),
        (("--scope", "everything"), "everything"),
        (("--content", "maybe"), "maybe"),
    ],
)
def test_wrong_usage_ends_with_2(folder: Path, options: tuple[str, ...], words: str) -> None:
    ran: Ran = rempart("keys", "create", "--name", "droit", *options, cwd=folder)
    assert ran.code == 2
    assert words in ran.err
    assert ran.out == ""


def test_what_the_server_refuses_ends_with_1(folder: Path) -> None:
    ran = rempart("keys", "create", "--name", "droit", "--network", "10.0.0.1/8", cwd=folder)
    assert ran.code == 1
    assert "10.0.0.0/8" in ran.err
    assert rempart("keys", "revoke", "nobody", cwd=folder).code == 1


def test_elsewhere_a_key_is_needed_and_its_scopes_count(
    control: ControlServer, folder: Path
) -> None:
    arguments = ("keys", "create", "--name", "far", "--url", control.url)
    assert rempart(*arguments, cwd=folder).code == 2
    read = rempart(*arguments, cwd=folder, environment={"REMPART_API_KEY": "reads-only"})
    assert (read.code, "admin:write" in read.err) == (1, True)
    ran = rempart(*arguments, cwd=folder, environment={"REMPART_API_KEY": "all-scopes"})
    assert ran.code == 0
