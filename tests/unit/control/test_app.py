"""The control API as a whole: the gate, the shape of errors, the description of itself."""

import re

import pytest

from lab.control_client import ask, send_local
from lab.control_server import ControlServer
from rempart.domain.errors import InsufficientMemory, ModelUnavailable


@pytest.mark.parametrize("path", ["/livez", "/openapi.json", "/docs"])
def test_probe_and_description_need_no_key(control: ControlServer, path: str) -> None:
    assert ask(control.port, "GET", path).status == 200


@pytest.mark.requirement("check-invalid-keys", "recommend-admin")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/models"),
        ("GET", "/api/settings"),
        ("GET", "/nowhere"),
        ("POST", "/livez/"),
        ("DELETE", "/api/models"),
        ("POST", "/api/models/demo/load"),
    ],
)
def test_everything_else_unknown_paths_included_is_401_without_a_key(
    control: ControlServer, method: str, path: str
) -> None:
    answer = ask(control.port, method, path)
    assert (answer.status, answer.error["code"]) == (401, "missing_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert control.link.acts == []


def test_a_key_does_what_its_scopes_say(control: ControlServer) -> None:
    assert ask(control.port, "GET", "/api/models", "reads-only").status == 200
    for key, method in (("infers-only", "GET"), ("reads-only", "POST")):
        answer = ask(control.port, method, "/api/models/demo/load", key)
        assert (answer.status, answer.error["code"]) == (403, "insufficient_scope")
    assert ask(control.port, "GET", "/api/models", "made-up").error["code"] == "invalid_api_key"
    assert control.link.acts == []
    assert ask(control.port, "POST", "/api/models/demo/load", "all-scopes").status == 200


def test_on_the_unix_socket_the_owner_needs_no_key(control: ControlServer) -> None:
    request = b"POST /api/models/demo/unload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert send_local(control.socket_path, request).startswith(b"HTTP/1.1 200")
    assert control.link.acts == [("unload", "demo")]


def test_every_answer_has_a_request_id_and_echoes_a_well_formed_one(control: ControlServer) -> None:
    for path, key in (("/livez", ""), ("/nowhere", ""), ("/api/models", "all-scopes")):
        answer = ask(control.port, "GET", path, key, **{"X-Request-ID": "mine-1.a_b"})
        assert answer.headers["x-request-id"] == "mine-1.a_b"
    answer = ask(control.port, "GET", "/nowhere", **{"X-Request-ID": "not well formed"})
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
    assert answer.error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.requirement("errors-structured")
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/models/none", 404, "model_not_found"),
        ("GET", "/api/models/", 404, "model_not_found"),
        ("GET", "/api/models/none/logs", 404, "model_not_found"),
        ("POST", "/api/models/none/load", 404, "model_not_found"),
        ("POST", "/api/models/none/load?wait=false", 404, "model_not_found"),
        ("DELETE", "/api/models", 405, "method_not_allowed"),
        ("POST", "/livez", 405, "method_not_allowed"),
        ("GET", "/api/models?limit=0", 400, "invalid_request"),
        ("GET", "/api/models?limit=x", 400, "invalid_request"),
        ("GET", "/api/models?cursor=gone", 400, "invalid_request"),
        ("GET", "/api/models/demo/logs?n=1000000", 400, "invalid_request"),
        ("POST", "/api/models/demo/load?wait=perhaps", 400, "invalid_request"),
    ],
)
def test_every_error_has_the_one_shape(
    control: ControlServer, method: str, path: str, status: int, code: str
) -> None:
    answer = ask(control.port, method, path, "all-scopes")
    assert (answer.status, answer.error["code"]) == (status, code)
    assert set(answer.error) == {
        "message", "type", "code", "param", "request_id", "timestamp", "details",
    }  # fmt: skip
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["cache-control"] == "private, no-store"


def test_a_wrong_parameter_is_named(control: ControlServer) -> None:
    error = ask(control.port, "GET", "/api/models?limit=0", "all-scopes").error
    assert error["param"] == "limit"
    assert error["details"]["fields"][0]["field"] == "limit"


def test_a_method_that_is_not_taken_says_which_are(control: ControlServer) -> None:
    answer = ask(control.port, "DELETE", "/api/models", "all-scopes")
    assert answer.headers["allow"] == "GET"
    assert answer.error["message"] == "/api/models does not take DELETE; it takes GET."


def test_an_error_of_the_server_keeps_its_status_and_when_to_try_again(
    control: ControlServer,
) -> None:
    control.link.failure = ModelUnavailable(model="demo", reason="it crashed", retry_after_s=2.5)
    answer = ask(control.port, "POST", "/api/models/demo/load", "all-scopes")
    assert (answer.status, answer.error["code"]) == (503, "model_unavailable")
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("3", "2500")
    control.link.failure = InsufficientMemory(reason="it needs 9 GiB")
    answer = ask(control.port, "POST", "/api/models/demo/restart", "all-scopes")
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.requirement("errors-global")
def test_a_bug_is_answered_without_its_text_and_reported(control: ControlServer) -> None:
    control.link.failure = ValueError("secret of the house")
    answer = ask(control.port, "POST", "/api/models/demo/load", "all-scopes")
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert b"secret" not in answer.body
    bug, request_id = control.bugs.get(timeout=10)  # it is told after the answer has gone out
    assert bug is control.link.failure
    assert request_id == answer.headers["x-request-id"]


def test_the_description_lists_the_routes_and_that_they_need_a_key(control: ControlServer) -> None:
    document = ask(control.port, "GET", "/openapi.json").json
    assert set(document["paths"]) == {
        "/livez",
        "/api/audit",
        "/api/audit/verify",
        "/api/keys",
        "/api/keys/{id}",
        "/api/keys/{id}/revoke",
        "/api/keys/{id}/rotate",
        "/api/limits",
        "/api/secrets/drop-unused",
        "/api/secrets/rotate",
        "/api/projects",
        "/api/projects/{id}",
        "/api/models",
        "/api/models/{name}",
        "/api/models/{name}/logs",
        "/api/models/{name}/load",
        "/api/models/{name}/unload",
        "/api/models/{name}/restart",
        "/api/settings",
    }
    assert document["security"] == [{"key": []}]
    assert document["paths"]["/livez"]["get"]["security"] == []
    answers = document["paths"]["/api/models"]["get"]["responses"]
    assert "422" not in answers
    assert answers["401"]["content"]["application/json"]["schema"]["$ref"].endswith("ErrorAnswer")


def test_the_page_of_the_description_needs_nothing_from_elsewhere(control: ControlServer) -> None:
    answer = ask(control.port, "GET", "/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert b"/api/models/{name}/load" in answer.body
    assert not re.search(rb"""(src|href)=["']?(https?:)?//""", answer.body)


def test_requests_of_another_user_on_the_socket_need_a_key(
    control: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket's mode keeps others out; should it be opened wider, the kernel's word still counts."""
    monkeypatch.setattr("rempart.control.server.peer_uid", lambda transport: 4711)
    request = b"GET /api/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert send_local(control.socket_path, request).startswith(b"HTTP/1.1 401")
