"""``/api/models``."""

from lab.control_client import ask
from lab.control_server import ControlServer
from rempart.domain.errors import ModelUnavailable

KEY = "all-scopes"


def test_models_are_listed_with_what_they_do(control: ControlServer) -> None:
    page = ask(control.port, "GET", "/api/models", KEY).json
    assert page["next"] is None
    demo = page["items"][0]
    assert demo.pop("state_seconds") >= 0
    assert demo == {
        "id": "demo",
        "name": "demo",
        "kind": "llama_cpp",
        "state": "ready",
        "reason": "",
        "preload": False,
        "slots": {"total": 4, "busy": 1},
        "queue": {"waiting": 0, "predicted_wait_seconds": 0.0},
        "memory_bytes": 2**20,
        "restarts": 0,
        "context_length": 2048,
        "replicas": 0,
    }


def test_a_page_ends_where_it_is_told_and_the_next_goes_on(control: ControlServer) -> None:
    first = ask(control.port, "GET", "/api/models?limit=1", KEY).json
    assert ([model["id"] for model in first["items"]], first["next"]) == (["demo"], "demo")
    second = ask(control.port, "GET", "/api/models?limit=1&cursor=demo", KEY).json
    assert ([model["id"] for model in second["items"]], second["next"]) == (["org/far"], None)


def test_a_name_with_slashes_is_one_name(control: ControlServer) -> None:
    assert ask(control.port, "GET", "/api/models/org/far", KEY).json["kind"] == "upstream"
    assert ask(control.port, "GET", "/api/models/org%2Ffar/logs?n=1", KEY).json == {
        "items": ["three"],
        "next": None,
    }
    assert ask(control.port, "POST", "/api/models/org/far/load", KEY).json["state"] == "ready"
    assert control.link.acts == [("load", "org/far")]


def test_an_act_answers_with_the_model_as_it_is_then(control: ControlServer) -> None:
    assert ask(control.port, "POST", "/api/models/demo/unload", KEY).json["state"] == "stopped"
    assert ask(control.port, "POST", "/api/models/demo/restart", KEY).json["state"] == "ready"


def test_without_waiting_the_answer_comes_at_once_and_the_act_goes_on(
    control: ControlServer,
) -> None:
    answer = ask(control.port, "POST", "/api/models/demo/unload?wait=false", KEY)
    assert (answer.status, answer.json["id"]) == (202, "demo")
    assert control.link.acted.wait(10)
    assert control.link.acts == [("unload", "demo")]


def test_an_act_that_fails_after_the_answer_is_no_bug(control: ControlServer) -> None:
    control.link.failure = ModelUnavailable(model="demo", reason="it crashed")
    assert ask(control.port, "POST", "/api/models/demo/load?wait=false", KEY).status == 202
    assert control.link.acted.wait(10)
    assert ask(control.port, "GET", "/livez").status == 200
    assert control.bugs.empty()
