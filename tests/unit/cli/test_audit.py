"""``rempart audit`` against a running control API."""

import json
from pathlib import Path

from lab.command import rempart
from lab.control_server import ControlServer


def test_entries_are_listed_newest_first(control: ControlServer, tmp_path: Path) -> None:
    for name in ("a", "b"):
        rempart("keys", "create", "--name", name, cwd=tmp_path)
    page = json.loads(rempart("audit", "list", "--json", "--limit", "1", cwd=tmp_path).out)
    assert page["items"][0]["after"]["name"] == "b"
    assert page["next"]
    title, first, second = rempart("audit", "list", "--oldest-first", cwd=tmp_path).out.splitlines()
    assert title.split() == ["NUMBER", "AT", "ACTOR", "ADDRESS", "ACTION", "TARGET"]
    assert first.split()[0] == "1"
    assert "key.create" in second


def test_a_whole_log_is_told_and_a_changed_one_ends_with_1(
    control: ControlServer, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        rempart("keys", "create", "--name", name, cwd=tmp_path)
    ran = rempart("audit", "verify", cwd=tmp_path)
    assert (ran.code, "The chain of 3 entries is whole" in ran.out) == (0, True)
    del control.store.entries[1]
    ran = rempart("audit", "verify", cwd=tmp_path)
    assert (ran.code, "entry 2 is missing" in ran.err) == (1, True)


def test_an_export_is_json_lines_oldest_first(control: ControlServer, tmp_path: Path) -> None:
    for name in ("a", "b"):
        rempart("keys", "create", "--name", name, cwd=tmp_path)
    lines = rempart("audit", "export", cwd=tmp_path).out.splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["sequence"] for entry in entries] == [1, 2]
    assert entries[1]["previous_hash"] == entries[0]["hash"]
    assert rempart("audit", "export", "--to", "log.jsonl", cwd=tmp_path).out == ""
    assert (tmp_path / "log.jsonl").read_text().splitlines() == lines
