"""Errors of the library are put into one shape with the status that fits."""

import json
from typing import Any

import pytest

from rempart.runners.llama_cpp_server.refusals import from_library, no_slot


def library_error(code: int, kind: str, message: str = "m", **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "type": kind, "message": message} | more}).encode()


def test_a_prompt_beyond_the_context_keeps_its_numbers() -> None:
    refused = from_library(
        library_error(400, "exceed_context_size_error", n_prompt_tokens=9, n_ctx=5)
    )
    assert refused.status == 400
    assert refused.document()["error"] == {
        "message": "m",
        "type": "exceed_context_size_error",
        "code": "context_length_exceeded",
        "param": None,
        "n_prompt_tokens": 9,
        "n_ctx": 5,
    }


def test_an_input_beyond_the_batch_is_the_requests_fault() -> None:
    message = (
        "input (101 tokens) is too large to process. increase the physical batch size "
        "(current batch size: 64)"
    )
    refused = from_library(library_error(500, "server_error", message))
    assert refused.status == 400
    assert refused.more == {"n_prompt_tokens": 101, "n_ctx": 64}
    assert "physical batch" not in refused.message


@pytest.mark.parametrize(
    ("code", "kind", "status", "said"),
    [
        (400, "invalid_request_error", 400, "invalid_request"),
        (501, "not_supported_error", 501, "not_supported"),
        (503, "unavailable_error", 503, "overloaded"),
        (500, "server_error", 500, "server_error"),
        (200, "odd", 500, "odd"),
    ],
)
def test_its_number_is_the_status(code: int, kind: str, status: int, said: str) -> None:
    refused = from_library(library_error(code, kind))
    assert (refused.status, refused.code, refused.kind) == (status, said, kind)


@pytest.mark.parametrize(
    "chunk", [b'{"error":{}}', b'{"error":3}', b"{", b'{"error":{"code":"x","message":1,"type":2}}']
)
def test_an_error_that_cannot_be_read_is_a_failure(chunk: bytes) -> None:
    assert from_library(chunk).status == 500


def test_the_body_is_the_document() -> None:
    refused = no_slot(4)
    assert json.loads(refused.body()) == refused.document()
    assert "4 slots" in refused.message
