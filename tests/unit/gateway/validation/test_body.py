"""A body is read within its bounds and is one JSON object, or the client learns what was wrong with it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.exchanges import exchange_of
from lab.sim_loop import simulate
from rempart.domain import errors
from rempart.domain.errors import RempartError
from rempart.domain.models import ModelStatus, RunnerState
from rempart.gateway.validation.body import (
    MODEL_NAME_CHARACTERS_MAX,
    invalid_fields,
    read_bytes,
    read_object,
    take_model,
)
from rempart.net.http1 import errors as http_errors

MODELS = {
    name: ModelStatus(name=name, kind="llama_cpp", state=RunnerState.READY)
    for name in ("near", "far")
}


def read(body: Any, *, bytes_max: int = 2**20, **headers: str) -> dict[str, Any]:
    async def go() -> dict[str, Any]:
        exchange, _ = exchange_of(
            body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        found = await read_object(exchange, bytes_max)
        assert exchange.bytes_in == len(
            body if isinstance(body, bytes) else msgspec.json.encode(body)
        )
        return found

    return simulate(go())


texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_an_object_is_read_as_it_was_sent(document: dict[str, Any]) -> None:
    assert read(json.dumps(document).encode()) == document
    assert read(json.dumps(document, ensure_ascii=False).encode()) == document


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=x",
        "",
        " application/json ",
    ],
)
def test_json_is_taken_under_its_name_in_any_spelling(content_type: str) -> None:
    assert read(b"{}", content_type=content_type) == {}


def test_a_body_without_a_type_is_taken_for_json() -> None:
    async def go() -> dict[str, Any]:
        exchange, _ = exchange_of(body=b"{}")
        del exchange.request._index[b"content-type"]
        return await read_object(exchange, 100)

    assert simulate(go()) == {}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "x" * 500,
    ],
)
def test_any_other_type_is_refused_before_the_body_is_read(content_type: str) -> None:
    async def go() -> None:
        exchange, _ = exchange_of(body=b"{}", headers={"content-type": content_type})
        with pytest.raises(errors.UnsupportedMediaType) as caught:
            await read_object(exchange, 100)
        assert content_type[:40] in caught.value.message
        assert len(caught.value.message) < 300
        assert exchange.bytes_in == 0

    simulate(go())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": 1,}',
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"a": 1e400}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 100_000 + b"x",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_json_object_says_why_in_a_sentence(body: bytes) -> None:
    with pytest.raises(errors.InvalidJson) as caught:
        read(body)
    assert caught.value.message.startswith("The body must be one JSON object: ")
    assert len(caught.value.message) < 400
    json.dumps(caught.value.message).encode()


@pytest.mark.parametrize("size", [10, 11])
def test_the_bound_on_the_size_is_exact(size: int) -> None:
    body = b'{"a": "' + b"x" * (size - 9) + b'"}'
    if size <= 10:
        assert read(body, bytes_max=10) == {"a": "x" * (size - 9)}
        return
    with pytest.raises(errors.BodyTooLarge) as caught:
        read(body, bytes_max=10)
    assert caught.value.details == {"limit_bytes": 10}


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (http_errors.BodyTooSlow("nothing came for 10 s"), errors.RequestReadTimeout),
        (http_errors.BodyMalformed("a chunk has no size"), errors.MalformedRequest),
        (http_errors.PeerClosed("gone"), http_errors.PeerClosed),
    ],
)
def test_a_body_that_does_not_come_is_told_apart(
    failure: Exception, error: type[Exception]
) -> None:
    async def go() -> None:
        exchange, _ = exchange_of(body=b"{}")
        assert exchange.request._body is not None
        exchange.request._body.fail(failure)  # type: ignore[arg-type]
        exchange.request._body.is_complete = False
        with pytest.raises(error) as caught:
            await read_bytes(exchange, 100)
        assert isinstance(caught.value, RempartError) is issubclass(error, RempartError)
        assert str(failure) in str(caught.value)

    simulate(go())


def test_no_body_at_all_is_empty() -> None:
    async def go() -> bytes:
        exchange, _ = exchange_of(method="POST")
        return await read_bytes(exchange, 100)

    assert simulate(go()) == b""


# The model.


def take(document: dict[str, Any], **options: Any) -> str:
    options = {"any_model": False, "default": "near", "models": MODELS, **options}
    return take_model(document, options.pop("models"), **options)


def test_a_configured_model_is_taken() -> None:
    assert take({"model": "far"}) == "far"


@pytest.mark.parametrize(
    ("model", "found"),
    [(None, "nothing"), ("", "''"), (3, "3"), (["near"], "['near']"), ({}, "{}"), (True, "True"), ("x" * 257, "'xxx")],
)  # fmt: skip
def test_a_name_that_is_none_lists_those_there_are(model: Any, found: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        take({} if model is None else {"model": model}, any_model=True)
    assert caught.value.param == "model"
    (field,) = caught.value.details["fields"]
    assert field["path"] == "model"
    assert field["found"].startswith(found)
    assert len(field["found"]) <= 60
    assert "near, far" in field["expected"]
    assert "near, far" in caught.value.message


def test_a_long_list_of_models_is_cut_and_an_empty_one_said() -> None:
    many = {f"m{number}": MODELS["near"] for number in range(12)}
    with pytest.raises(errors.InvalidRequest, match=r"m8, m9, …"):
        take({}, models=many)
    with pytest.raises(errors.InvalidRequest, match="none is configured"):
        take({}, models={})


@pytest.mark.parametrize("name", ["none", "NEAR", "near ", "x" * MODEL_NAME_CHARACTERS_MAX, "\n"])
def test_a_model_that_is_not_there_is_not_found_unless_any_will_do(name: str) -> None:
    with pytest.raises(errors.ModelNotFound) as caught:
        take({"model": name})
    assert caught.value.param == "model"
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 260
    assert take({"model": name}, any_model=True) == "near"
    with pytest.raises(errors.ModelNotFound):
        take({"model": name}, any_model=True, default="")


def test_all_wrong_fields_are_told_the_first_in_the_sentence() -> None:
    error = invalid_fields([("top_p", "a number", "'x'"), ("messages", "a list", "nothing")])
    assert error.param == "top_p"
    assert error.message == "top_p must be a number; found 'x' (1 more in details.fields)."
    assert error.details["fields"] == [
        {"path": "top_p", "expected": "a number", "found": "'x'"},
        {"path": "messages", "expected": "a list", "found": "nothing"},
    ]
    assert (
        invalid_fields([("top_p", "a number", "'x'")]).message
        == "top_p must be a number; found 'x'."
    )
