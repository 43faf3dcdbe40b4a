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
