"""``rempart secrets`` against a running control API."""

import json
from pathlib import Path

from lab.command import rempart
from lab.control_server import ControlServer


def test_a_rotation_is_told(control: ControlServer, tmp_path: Path) -> None:
    rempart("keys", "create", "--name", "a", cwd=tmp_path)
    ran = rempart("secrets", "rotate", cwd=tmp_path)
    assert ran.code == 0
    assert ran.out.splitlines()[1].startswith("1 keys are stored under an older one")
    found = json.loads(rempart("secrets", "rotate", "--drop-unused", "--json", cwd=tmp_path).out)
    assert found["pepper_id"] == found["pepper_ids"][0]
    assert control.store.actions[1:] == ["secrets.rotate", "secrets.drop_unused"]
