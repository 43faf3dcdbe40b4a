"""``/api/keys`` as clients see it."""

from typing import Any

import pytest

from lab.control_client import Answer, ask
from lab.control_server import ControlServer


def make(control: ControlServer, key: str = "all-scopes", **fields: Any) -> Answer:
    return ask(control.port, "POST", "/api/keys", key, json_body={"name": "droit", **fields})


def test_a_key_is_made_listed_shown_changed_rotated_and_revoked(control: ControlServer) -> None:
    made = make(control, limits={"requests_per_minute": 5})
    assert made.status == 201
    id_, secret = made.json["id"], made.json["key"]
    assert secret.startswith(f"rmp_{id_}_")
    shown = ask(control.port, "GET", f"/api/keys/{id_}", "all-scopes")
    assert shown.json["limits"] == {"requests_per_minute": 5}
    listed = ask(control.port, "GET", "/api/keys", "reads-only").json
    assert ([item["id"] for item in listed["items"]], listed["next"]) == ([id_], None)
    changed = ask(control.port, "PATCH", f"/api/keys/{id_}", "all-scopes", json_body={"name": "b"})
    assert changed.json["name"] == "b"
    path = f"/api/keys/{id_}/rotate"
    rotated = ask(control.port, "POST", path, "all-scopes", json_body={"grace_s": 60})
    assert rotated.json["key"] != secret
    assert rotated.json["old_secret_until"]
    assert ask(control.port, "POST", path, "all-scopes").status == 200
    revoked = ask(control.port, "POST", f"/api/keys/{id_}/revoke", "all-scopes")
    assert revoked.json["state"] == "revoked"
    for answer in (shown, changed, revoked):
        assert "key" not in answer.json
    assert control.store.actions == [
        "key.create", "key.update", "key.rotate", "key.rotate", "key.revoke",
    ]  # fmt: skip
    actors = {(entry.act.actor, entry.act.address) for entry in control.store.entries}
    assert actors == {("all", "127.0.0.1")}


def test_a_listing_goes_on_after_its_cursor(control: ControlServer) -> None:
    ids = [make(control).json["id"] for _ in range(3)][::-1]
    first = ask(control.port, "GET", "/api/keys?limit=2", "all-scopes").json
    rest = ask(control.port, "GET", f"/api/keys?cursor={first['next']}", "all-scopes").json
    assert [item["id"] for item in first["items"] + rest["items"]] == ids
    assert rest["next"] is None
    assert ask(control.port, "GET", "/api/keys?cursor=gone", "all-scopes").status == 400


@pytest.mark.requirement("errors-structured")
def test_every_wrong_field_is_named_with_what_was_found(control: ControlServer) -> None:
    answer = make(
        control,
        name="",
        scopes=["everything"],
        limits={"requests_per_minute": -1, "per_second": 1},
        networks=["10.0.0.1/8"],
        labels={"rempart/origin": "me"},
        surprise=1,
    )
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
    found = {item["field"]: item for item in answer.error["details"]["fields"]}
    assert set(found) == {
        "name",
        "scopes.0",
        "limits.requests_per_minute",
        "limits.per_second",
        "networks.0",
        "labels.rempart/origin.[key]",
        "surprise",
    }
    assert "10.0.0.0/8" in found["networks.0"]["problem"]
    assert found["networks.0"]["found"] == "10.0.0.1/8"
    assert control.store.entries == []


@pytest.mark.parametrize(
    "body", [[], "text", 3, {}, {"name": 3}, {"name": "a", "limits": {"requests_per_minute": "5"}}]
)
def test_a_body_of_the_wrong_shape_is_refused(control: ControlServer, body: Any) -> None:
    answer = ask(control.port, "POST", "/api/keys", "all-scopes", json_body=body)
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")


def test_who_may_only_read_makes_nothing(control: ControlServer) -> None:
    assert make(control, "reads-only").error["code"] == "insufficient_scope"
    assert make(control, "infers-only").error["code"] == "insufficient_scope"
    assert control.store.entries == []


def test_while_the_database_is_away_writes_and_reads_are_refused_by_name(
    control: ControlServer,
) -> None:
    control.store.is_away = True
    for answer in (make(control), ask(control.port, "GET", "/api/keys", "all-scopes")):
        assert (answer.status, answer.error["code"]) == (503, "state_unavailable")
        assert answer.headers["retry-after"] == "1"


def test_an_unknown_key_is_404(control: ControlServer) -> None:
    for method, path in (
        ("GET", "/api/keys/none"),
        ("POST", "/api/keys/none/rotate"),
        ("POST", "/api/keys/none/revoke"),
    ):
        answer = ask(control.port, method, path, "all-scopes")
        assert (answer.status, answer.error["code"]) == (404, "not_found")
