"""Amounts above the operator's bounds are named, all at once."""

from typing import Any

import pytest

from rempart.wire.request_bounds import Bounds, bound_faults

BOUNDS = Bounds(
    messages_max=2, tools_max=1, tool_bytes_max=256, image_bytes_max=30, max_tokens_max=100, n_max=2, stop_max=2
)  # fmt: skip


def paths(body: dict[str, Any], **more: Any) -> list[str]:
    return [fault.path for fault in bound_faults(body, BOUNDS, body_bytes=10_000, **more)]


def part(kind: str, name: str, value: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": kind, kind: {name: value}}]}]}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"max_tokens": 101}, "max_tokens"),
        ({"max_completion_tokens": 10**12}, "max_completion_tokens"),
        ({"n": 3}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"stop": ["a", "b", "c"]}, "stop"),
        ({"messages": [{}] * 3}, "messages"),
        ({"tools": [{}, {}]}, "tools"),
        ({"tools": [{"d": "x" * 300}]}, "tools[0]"),
        ({"response_format": {"d": "x" * 300}}, "response_format"),
        ({"tools": [{"p": {"maxLength": 10**6}}]}, "tools[0]: maxLength"),
        ({"json_schema": {"$ref": "http://10.0.0.1/x"}}, "json_schema: $ref"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
        (
            part("image_url", "url", "data:image/png;base64," + "A" * 44),
            "messages[0].content[0].image_url.url",
        ),
        (part("input_audio", "data", "A" * 44), "messages[0].content[0].input_audio.data"),
    ],
)
def test_what_is_above_a_bound_is_named(body: dict[str, Any], path: str) -> None:
    assert paths(body) == [path]


def test_all_of_them_are_named_at_once_by_the_protocols_own_names() -> None:
    body = {"max_tokens": 1000, "n": 50, "stop": ["a"] * 3}
    names = {"max_tokens": "max_output_tokens"}
    assert paths(body, names=names) == ["max_output_tokens", "n", "stop"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {
            "max_tokens": 100,
            "n": 2,
            "messages": [{}, {}],
            "stop": "abc",
            "tools": [{"$ref": "#/x"}],
        },
        {"messages": 7, "tools": {}, "n": "3", "max_tokens": None, "response_format": []},
        part("image_url", "url", "data:image/png;base64," + "A" * 40),
    ],
)
def test_what_is_within_them_or_of_a_wrong_type_is_not_named_here(body: dict[str, Any]) -> None:
    assert paths(body) == []
