"""The way's own parts; what becomes of a request at each step is in tests/contract/test_way.py."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.exchanges import call_of
from lab.gateway import KEY, running_gateway
from lab.http_client import Answer, request
from rempart.gateway.path import PROMPT_CHARACTERS_MAX, prompt_text
from rempart.settings.model import Server


def asked(folder: Path, method: str, path: str, *, key: str = KEY, base_path: str = "") -> Answer:
    async def body() -> Answer:
        async with running_gateway(folder, server=Server(base_path=base_path)) as gateway:
            return await request(gateway.port, method, path, key=key)

    return asyncio.run(body())


def test_a_path_that_is_not_there_is_told_as_it_was_asked_for(tmp_path: Path) -> None:
    answer = asked(tmp_path, "GET", "/nowhere?key=hunter2")
    assert answer.status == 404
    assert answer.json["error"]["message"].startswith("There is nothing at /nowhere.")
    assert b"hunter2" not in answer.body


def test_a_path_outside_of_the_configured_prefix_is_told_like_any_other(tmp_path: Path) -> None:
    answer = asked(tmp_path, "GET", "/v1/models", base_path="/llm")
    assert answer.status == 404
    assert answer.json["error"]["message"].startswith("There is nothing at /v1/models.")
    refused = asked(tmp_path / "2", "GET", "/v1/models", key="", base_path="/llm")
    assert refused.status == 401, "without a key nobody learns what is there"


def test_a_method_that_is_not_taken_names_those_that_are(tmp_path: Path) -> None:
    answer = asked(tmp_path, "PUT", "/v1/models")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.json["error"]["message"] == "/v1/models does not take PUT; it takes GET, HEAD."


@pytest.mark.parametrize("kind", ["document", "bytes"])
def test_a_prompt_that_is_kept_is_shortened(kind: str) -> None:
    document: dict[str, Any] = {
        "messages": [{"role": "user", "content": "é" * 3 * PROMPT_CHARACTERS_MAX}]
    }
    short = {"messages": [{"role": "user", "content": "Bonjour, ça va ?"}]}
    for sent in (document, short):
        call = call_of(document=sent)
        if kind == "bytes":
            call = call_of(document=None, raw=msgspec.json.encode(sent))
        text = prompt_text(call)
        whole = json.dumps(sent, ensure_ascii=False, separators=(",", ":"))
        assert text == whole[:PROMPT_CHARACTERS_MAX]


def test_bytes_that_are_no_text_are_kept_as_far_as_they_are() -> None:
    assert prompt_text(call_of(document=None, raw=b"a\xffb")) == "a\ufffdb"
