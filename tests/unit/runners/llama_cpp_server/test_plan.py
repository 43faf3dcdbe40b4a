"""A request becomes calls of one slot, always streamed, without what is not its own to choose."""

import json
from typing import Any

import pytest

from rempart.runners.llama_cpp_server.plan import (
    CHOICES_MAX,
    PROMPTS_MAX,
    plan_chat,
    plan_completions,
    read_object,
)
from rempart.runners.llama_cpp_server.refusals import Refused

HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def chat(**more: Any) -> Any:
    return plan_chat(json.dumps(HI | more).encode(), template_takes_tools=False)


def completions(**more: Any) -> Any:
    return plan_completions(json.dumps({"prompt": "a"} | more).encode())


def test_a_call_is_streamed_and_tells_all_we_want_to_know() -> None:
    plan = chat(temperature=0.5, stream=False)
    (body,) = plan.calls
    assert json.loads(body) == HI | {
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
        "timings_per_token": True,
    }
    assert [plan.streams, plan.wants_usage, plan.wants_progress, plan.wants_timings] == [False] * 4


def test_what_the_client_wants_is_remembered() -> None:
    plan = chat(
        stream=True,
        stream_options={"include_usage": True},
        return_progress=True,
        timings_per_token=True,
    )
    assert plan.streams
    assert plan.wants_usage
    assert plan.wants_progress
    assert plan.wants_timings


@pytest.mark.parametrize("field", ["id_slot", "lora", "n_cmpl"])
def test_what_would_touch_others_is_left_out(field: str) -> None:
    assert field not in json.loads(chat(**{field: 1}).calls[0])


def test_choices_are_calls_with_seeds_of_their_own() -> None:
    plan = chat(n=3, seed=5)
    assert [json.loads(body)["seed"] for body in plan.calls] == [5, 6, 7]
    assert all("n" not in json.loads(body) for body in plan.calls)
    assert plan.choices == 3


def test_prompts_come_before_choices() -> None:
    plan = completions(prompt=["a", [1, 2]], n=2)
    assert [json.loads(body)["prompt"] for body in plan.calls] == ["a", "a", [1, 2], [1, 2]]
    assert completions(prompt=[1, 2]).calls == completions(prompt=[1, 2], n=1).calls
    assert len(completions(prompt=[1, 2]).calls) == 1


@pytest.mark.parametrize("n", [0, -1, CHOICES_MAX + 1, 1.5, "2", True])
def test_a_number_of_choices_out_of_bounds_is_refused(n: Any) -> None:
    with pytest.raises(Refused, match="n must be a whole number") as refused:
        chat(n=n)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": None},
        {"prompt": []},
        {"prompt": ["a"] * (PROMPTS_MAX + 1)},
        {"prompt": ["a"] * 20, "n": 127},
    ],
)
def test_prompts_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        completions(**wrong)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_object(body)
    assert refused.value.code == "invalid_json"


def test_a_forced_tool_becomes_a_schema() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    plan = chat(tools=[tool], tool_choice="required")
    assert [one.name for one in plan.forced] == ["f"]
    assert json.loads(plan.calls[0])["response_format"]["type"] == "json_schema"
