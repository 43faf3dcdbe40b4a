"""``rempart projects`` against a running control API."""

import json
from pathlib import Path

from lab.command import rempart
from lab.control_server import ControlServer


def test_projects_are_made_listed_shown_and_changed(control: ControlServer, tmp_path: Path) -> None:
    limits = ("--limit", "tokens_per_day=10", "--limit", "cost_per_day=1.5")
    ran = rempart("projects", "create", "--name", "law", *limits, "--json", cwd=tmp_path)
    made = json.loads(ran.out)
    change = ("--limit", "tokens_per_day=default", "--label", "a=b", "--name", "art")
    ran = rempart("projects", "update", "law", *change, "--json", cwd=tmp_path)
    changed = json.loads(ran.out)
    assert changed == {**made, "name": "art", "limits": {"cost_per_day": 1.5}, "labels": {"a": "b"}}
    shown = rempart("projects", "show", made["id"], "--json", cwd=tmp_path)
    assert json.loads(shown.out) == changed
    listed = rempart("projects", "list", cwd=tmp_path).out.splitlines()
    assert listed[1].split()[:3] == [made["id"], "art", "cost_per_day=1.5"]


def test_a_name_that_is_taken_ends_with_1(control: ControlServer, tmp_path: Path) -> None:
    assert rempart("projects", "create", "--name", "law", cwd=tmp_path).code == 0
    ran = rempart("projects", "create", "--name", "law", cwd=tmp_path)
    assert (ran.code, "another project" in ran.err) == (1, True)
