"""``/api/projects`` as clients see it."""

from lab.control_client import ask
from lab.control_server import ControlServer


def test_a_project_is_made_listed_shown_and_changed(control: ControlServer) -> None:
    body = {"name": "law", "limits": {"tokens_per_day": 10}}
    made = ask(control.port, "POST", "/api/projects", "all-scopes", json_body=body)
    assert made.status == 201
    path = f"/api/projects/{made.json['id']}"
    changes = {"limits": {"tokens_per_day": None}, "labels": {"a": "b"}}
    changed = ask(control.port, "PATCH", path, "all-scopes", json_body=changes)
    assert changed.json["limits"] == {"tokens_per_day": None}
    assert ask(control.port, "GET", "/api/projects/law", "reads-only").json == changed.json
    listed = ask(control.port, "GET", "/api/projects", "reads-only").json
    assert listed == {"items": [changed.json], "next": None}
    assert control.store.actions == ["project.create", "project.update"]


def test_a_name_that_is_taken_or_looks_like_an_id_is_refused(control: ControlServer) -> None:
    for name, status in (("law", 201), ("law", 400), ("prj_law", 400)):
        answer = ask(control.port, "POST", "/api/projects", "all-scopes", json_body={"name": name})
        assert answer.status == status
    answer = ask(control.port, "GET", "/api/projects/none", "all-scopes")
    assert (answer.status, answer.error["code"]) == (404, "not_found")


def test_keys_are_listed_by_their_project(control: ControlServer) -> None:
    for name in ("law", "art"):
        ask(control.port, "POST", "/api/projects", "all-scopes", json_body={"name": name})
        body = {"name": f"of {name}", "project": name}
        ask(control.port, "POST", "/api/keys", "all-scopes", json_body=body)
    listed = ask(control.port, "GET", "/api/keys?project=law", "all-scopes").json
    assert [item["name"] for item in listed["items"]] == ["of law"]
