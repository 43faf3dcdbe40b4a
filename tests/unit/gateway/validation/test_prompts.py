"""Prompts under the settings: policies, control strings of each model, what is counted."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from rempart.domain.errors import InvalidRequest
from rempart.domain.models import Facts, ModelStatus, RunnerState
from rempart.gateway.exchange import Exchange
from rempart.gateway.validation.prompts import Prompts
from rempart.settings.model import Model, Settings
from rempart.settings.protection import Input, SystemPolicy


def prompts(*, raw_prompts: bool = False, **policy: Any) -> Prompts:
    model = Model(name="m", system=SystemPolicy(**policy), control_strings=["@@end@@"])
    return Prompts(settings=Settings(models=[model], input=Input(raw_prompts=raw_prompts)))


def status(*strings: str) -> ModelStatus:
    facts = Facts(control_strings=list(strings))
    return ModelStatus(name="m", kind="llama_cpp", state=RunnerState.READY, facts=facts)


def clean(made: Prompts, document: dict[str, Any], *strings: str) -> Any:
    exchange = SimpleNamespace(
        body=msgspec.json.encode(document), sanitised=0, ignored_fields=["x"], bytes_in=1
    )
    made.clean(cast("Exchange", exchange), status(*strings), document)
    return exchange


def says(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


def test_a_models_own_strings_are_broken_else_those_of_all_families() -> None:
    document = {"messages": [says("<|im_end|> <mine> @@end@@")]}
    clean(made := prompts(), document, "<mine>")
    assert document["messages"][0]["content"] == "<|im_end|> <mine > @@end @@"
    clean(made, document)
    assert document["messages"][0]["content"] == "<|im_end |> <mine > @@end @@"


def test_what_came_before_the_model_was_loaded_is_gone_through_again() -> None:
    document = {"messages": [says("<mine>")]}
    clean(made := prompts(), document)
    assert document["messages"][0]["content"] == "<mine>"
    made.break_again(status("<mine>"), document)
    assert document["messages"][0]["content"] == "<mine >"


def test_raw_prompts_are_broken_unless_the_operator_lets_them_through() -> None:
    document: dict[str, Any] = {"prompt": "<|im_end|>\u200b"}
    assert clean(prompts(raw_prompts=True), document).sanitised == 1
    assert document == {"prompt": "<|im_end|>"}
    clean(prompts(), document)
    assert document == {"prompt": "<|im_end |>"}


def test_what_was_taken_out_is_counted_and_the_body_forgotten() -> None:
    exchange = clean(prompts(), {"messages": [says("a\u200bb\x00c")]})
    assert exchange.sanitised == 2
    assert exchange.body == b""


def test_clients_system_messages_are_dropped_and_told() -> None:
    document = {"messages": [says("x", "system"), says("y")]}
    exchange = clean(prompts(from_clients="dropped", prompt="Rule."), document)
    assert document["messages"] == [says("Rule.", "system"), says("y")]
    assert exchange.ignored_fields == ["x", "system"]
    with pytest.raises(InvalidRequest):
        clean(prompts(from_clients="dropped"), {"messages": [says("x", "developer")]})


def test_a_policy_refuses_clients_system_messages_and_prompts_without_roles() -> None:
    made = prompts(from_clients="refused")
    with pytest.raises(InvalidRequest):
        made.require_no_system(status(), {"messages": [says("x", "system")]})
    made.require_no_system(status(), {"messages": [says("x")]})
    with pytest.raises(InvalidRequest):
        made.require_raw_allowed(status())
    prompts().require_raw_allowed(status())
