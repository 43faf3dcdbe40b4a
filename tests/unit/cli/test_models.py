"""``rempart models`` against a running control API."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.command import rempart
from lab.control_server import ControlServer
from rempart.cli import models
from rempart.cli.models import unseen
from rempart.domain.errors import ModelUnavailable


def test_models_are_listed_as_a_table(control: ControlServer, tmp_path: Path) -> None:
    ran = rempart("models", "list", cwd=tmp_path)
    assert ran.code == 0
    title, first, second = ran.out.splitlines()
    assert title.split() == [
        "NAME",
        "KIND",
        "STATE",
        "SLOTS",
        "WAITING",
        "MEMORY",
        "CONTEXT",
        "REASON",
    ]
    assert first.split() == ["demo", "llama_cpp", "ready", "1/4", "0", "1.0", "MiB", "2048"]
    assert second.split() == ["org/far", "upstream", "stopped", "0/∞", "0"]


def test_as_json_a_listing_has_items_and_next(control: ControlServer, tmp_path: Path) -> None:
    page = json.loads(rempart("models", "list", "--json", "--limit", "1", cwd=tmp_path).out)
    assert ([item["name"] for item in page["items"]], page["next"]) == (["demo"], "demo")
    page = json.loads(rempart("models", "list", "--json", "--cursor", "demo", cwd=tmp_path).out)
    assert ([item["name"] for item in page["items"]], page["next"]) == (["org/far"], None)
    assert rempart("models", "list", "--limit", "1", cwd=tmp_path).out.endswith(
        "There are more: --cursor demo\n"
    )


def test_the_end_of_a_log_is_printed_without_control_characters(
    control: ControlServer, tmp_path: Path
) -> None:
    control.link.lines = ["one", "two\x1b[31m", "three"]
    assert rempart("models", "logs", "demo", "-n", "2", cwd=tmp_path).out == "two·[31m\nthree\n"
    ran = rempart("models", "logs", "demo", "--json", "-n", "1", cwd=tmp_path)
    assert json.loads(ran.out) == {"items": ["three"], "next": None}


def test_following_prints_what_is_new_until_the_server_is_gone(
    control: ControlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def between(seconds: float) -> None:
        looks.append(seconds)
        control.link.lines = [*control.link.lines[1:], f"new {len(looks)}"]
        if len(looks) == 3:
            control.link.failure = ModelUnavailable(model="demo", reason="it is gone")

    monkeypatch.setattr(models.time, "sleep", between)
    ran = rempart("models", "logs", "demo", "-n", "1", "--follow", cwd=tmp_path)
    assert ran.out == "three\nnew 1\nnew 2\n"
    assert ran.code == 1


def test_loading_and_unloading_wait_unless_told_otherwise(
    control: ControlServer, tmp_path: Path
) -> None:
    assert rempart("models", "unload", "demo", cwd=tmp_path).out == "demo is unloaded.\n"
    assert rempart("models", "load", "org/far", cwd=tmp_path).out == "org/far is ready.\n"
    assert (
        rempart("models", "load", "demo", "--no-wait", cwd=tmp_path).out
        == "demo is being loaded.\n"
    )
    assert rempart("models", "unload", "demo", "--no-wait", cwd=tmp_path).code == 0
    assert control.link.acts[:2] == [("unload", "demo"), ("load", "org/far")]


def test_an_error_of_the_server_is_told_with_its_request(
    control: ControlServer, tmp_path: Path
) -> None:
    ran = rempart("models", "load", "none", cwd=tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert "There is no model 'none' here." in ran.err
    assert "(request " in ran.err


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    ran = rempart("models", "list", cwd=tmp_path)
    assert ran.code == 1
    assert f"no server is running with the data folder {tmp_path}/rempart-data" in ran.err


def test_a_file_is_pulled_into_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUFxyz")
    digest = hashlib.sha256(b"GGUFxyz").hexdigest()
    ran = rempart("models", "pull", "x.gguf", "--sha256", digest, "--json", cwd=tmp_path)
    path = tmp_path / "rempart-data/models/x.gguf"
    assert json.loads(ran.out) == {"path": str(path)}
    assert path.read_bytes() == b"GGUFxyz"
    ran = rempart(
        "models", "pull", "x.gguf", "--sha256", "0" * 64, "--data-dir", "other", cwd=tmp_path
    )
    assert ran.code == 1
    assert f"its SHA-256 is {digest}, expected 000" in ran.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--max-size", "big"), "--max-size must be a size such as"),
        (("--sha256", "xyz"), "--sha256 must be 64 hexadecimal digits"),
    ],
)
def test_wrong_values_of_options_are_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    ran = rempart("models", "pull", "x.gguf", *arguments, cwd=tmp_path)
    assert ran.code == 2
    assert text in ran.err


@given(
    st.lists(st.integers(), unique=True), st.integers(0, 10), st.integers(1, 10), st.integers(1, 10)
)
def test_no_line_is_lost_or_printed_twice_while_windows_overlap(
    numbers: list[int], seen: int, window: int, more: int
) -> None:
    log = [str(number) for number in numbers]
    before = log[:seen][-window:]
    newest = log[: seen + more][-window:]
    fresh = unseen(before, newest)
    assert fresh == log[seen : seen + more][-window:]
