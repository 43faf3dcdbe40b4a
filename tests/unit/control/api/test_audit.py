"""``/api/audit`` as clients see it."""

from lab.control_client import ask
from lab.control_server import ControlServer


def test_entries_are_listed_newest_or_oldest_first(control: ControlServer) -> None:
    for name in ("a", "b"):
        ask(control.port, "POST", "/api/keys", "all-scopes", json_body={"name": name})
    newest = ask(control.port, "GET", "/api/audit", "reads-only").json["items"]
    assert [entry["sequence"] for entry in newest] == [2, 1]
    oldest = ask(control.port, "GET", "/api/audit?order=oldest", "reads-only").json["items"]
    assert oldest == newest[::-1]
    first = oldest[0]
    assert (first["actor"], first["address"], first["action"]) == ("all", "127.0.0.1", "key.create")
    assert first["after"]["name"] == "a"
    assert len(first["hash"]) == 64
