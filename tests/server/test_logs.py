"""What stands in the log about a request, and what does not."""

import asyncio
from pathlib import Path

import pytest

from lab.http_client import request
from lab.server import ADMIN_KEY, running_server
from lab.upstream_server import chat, config_for, upstream

SECRET_TEXT = "un texte confidentiel"


def ask(folder: Path, more: str) -> list[dict[str, object]]:
    with upstream() as fake, running_server(folder, config_for(fake, more=more)) as server:
        server.until_ready()
        body = chat(stream=False) | {
            "messages": [{"role": "user", "content": SECRET_TEXT}],
            "unheard_of": 1,
        }
        answer = asyncio.run(
            request(
                server.port,
                "POST",
                "/v1/chat/completions",
                key=ADMIN_KEY,
                body=body,
                headers={"x-request-id": "mine-1"},
            )
        )
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["x-rempart-ignored-fields"] == "unheard_of"
        assert fake.requests[0]["headers"]["x-request-id"] == "mine-1", (
            "the runner's call has it too"
        )
        assert "unheard_of" not in fake.requests[0]["body"]
        return [line for line in server.log() if line["event"] == "request"]


@pytest.mark.requirement(
    "logs", "logs-requests", "authentication-tracking", "performance-metrics", "request-id"
)
def test_one_line_per_request_says_how_it_went_without_its_text(tmp_path: Path) -> None:
    (line,) = ask(tmp_path, "")
    assert SECRET_TEXT not in str(line)
    assert line["request_id"] == "mine-1"
    assert line["id"] != "mine-1"
    for name in ("key_id", "model", "status", "prompt_tokens", "completion_tokens", "queue_ms", "ttft_ms",
                 "duration_ms", "bytes_in", "bytes_out", "end_reason"):  # fmt: skip
        assert name in line, name
    assert (line["key_id"], line["model"], line["status"], line["end_reason"]) == (
        "bootstrapkey",
        "far",
        200,
        "stop",
    )


@pytest.mark.requirement("logs-requests")
def test_texts_are_logged_where_the_operator_asked_for_it(tmp_path: Path) -> None:
    (line,) = ask(tmp_path, "[logs]\nprompts = true\n")
    assert SECRET_TEXT in str(line["prompt"])
