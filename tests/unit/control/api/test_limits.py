"""``/api/limits`` as clients see it."""

from lab.control_client import ask
from lab.control_server import ControlServer
from rempart.base.clock import SystemClock
from rempart.domain.limits import Unit
from rempart.state.shared.limits.interface import Demand


def take(control: ControlServer, subject: str, name: str, amount_max: int) -> None:
    demand = Demand(
        subject=subject,
        name=name,
        unit=Unit.REQUESTS,
        window_s=60,
        amount=1,
        amount_max=amount_max,
    )
    now_ms = int(SystemClock().wall().timestamp() * 1000)
    assert control.limits.take([demand], reservation="r", owner="o", now_ms=now_ms).is_taken


def make(control: ControlServer, noun: str, **fields: object) -> str:
    body = {"name": "droit", **fields}
    return str(ask(control.port, "POST", f"/api/{noun}", "all-scopes", json_body=body).json["id"])


def test_a_keys_limits_are_its_own_the_defaults_and_its_projects(control: ControlServer) -> None:
    project = make(control, "projects", limits={"cost_per_day": 2.5})
    key = make(control, "keys", limits={"requests_per_minute": 5}, project=project)
    take(control, f"key:{key}", "requests_per_minute", 5)
    items = ask(control.port, "GET", f"/api/limits?key={key}", "reads-only").json["items"]
    found = {(item["subject"], item["limit_name"]): item for item in items}
    minute = found[f"key:{key}", "requests_per_minute"]
    assert (minute["limit"], minute["used"], minute["remaining"]) == (5, 1, 4)
    assert 0 < minute["full_in_seconds"] <= 60
    assert found[f"key:{key}", "requests_per_hour"]["limit"] == 1000
    assert found[f"project:{project}", "cost_per_day"]["limit"] == 2.5
    shared = ask(control.port, "GET", f"/api/limits?project={project}", "reads-only").json["items"]
    assert [item["subject"] for item in shared] == [f"project:{project}"]


def test_without_a_name_those_of_server_and_models_are_shown(control: ControlServer) -> None:
    assert ask(control.port, "GET", "/api/limits", "reads-only").json == {"items": [], "next": None}


def test_unknown_and_doubtful_questions_are_refused(control: ControlServer) -> None:
    for query, status in (("key=none", 404), ("project=none", 404), ("key=a&project=b", 400)):
        assert ask(control.port, "GET", f"/api/limits?{query}", "reads-only").status == status
