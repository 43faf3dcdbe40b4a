"""Only what is known, or a documented extra, goes on to a runner."""

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types import EmbeddingCreateParams
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from rempart.wire.chat_request import (
    KNOWN_FIELDS_CHAT,
    KNOWN_FIELDS_COMPLETIONS,
    KNOWN_FIELDS_EMBEDDINGS,
    KNOWN_FIELDS_MESSAGES,
    KNOWN_FIELDS_RERANK,
    KNOWN_FIELDS_RESPONSES,
    REFUSED_FIELDS,
    split_fields,
)

ALL_KNOWN = [
    KNOWN_FIELDS_CHAT,
    KNOWN_FIELDS_COMPLETIONS,
    KNOWN_FIELDS_EMBEDDINGS,
    KNOWN_FIELDS_MESSAGES,
    KNOWN_FIELDS_RERANK,
    KNOWN_FIELDS_RESPONSES,
]
# Members of the official clients' types that mean something at their makers' own servers only.
FOREIGN = {
    "access_programs",
    "background_options",
    "context_management",
    "image",
    "user_profile_id",
    "workspace_id",
}


@pytest.mark.parametrize(
    ("known", "params"),
    [
        (KNOWN_FIELDS_CHAT, ChatParams),
        (KNOWN_FIELDS_COMPLETIONS, CompletionCreateParamsBase),
        (KNOWN_FIELDS_EMBEDDINGS, EmbeddingCreateParams),
        (KNOWN_FIELDS_RESPONSES, ResponseCreateParamsBase),
        (KNOWN_FIELDS_MESSAGES, MessageCreateParamsNonStreaming),
    ],
)
def test_the_official_clients_own_fields_are_known(known: frozenset[str], params: type) -> None:
    assert set(params.__annotations__) - FOREIGN <= known


@pytest.mark.parametrize("known", ALL_KNOWN)
def test_nothing_is_both_known_and_refused(known: frozenset[str]) -> None:
    assert not known & REFUSED_FIELDS


def test_names_are_split_in_the_bodys_order() -> None:
    body = dict.fromkeys(["model", "zzz", "lora", "grammar", "aaa", "id_slot"])
    assert split_fields(body, KNOWN_FIELDS_CHAT, frozenset({"grammar"})) == (
        ["zzz", "aaa"],
        ["lora", "id_slot"],
    )
    assert split_fields(body, KNOWN_FIELDS_CHAT)[0] == ["zzz", "grammar", "aaa"]


@pytest.mark.requirement("validation-sanitising")
def test_no_list_of_extras_lets_through_what_touches_others_work() -> None:
    assert split_fields(["priority"], KNOWN_FIELDS_CHAT, frozenset({"priority"})) == (
        [],
        ["priority"],
    )


@pytest.mark.parametrize("name", ["id_slot", "lora", "n_predict", "cache_prompt", "n_probs"])
def test_llama_cpps_own_switches_are_refused(name: str) -> None:
    assert split_fields([name], KNOWN_FIELDS_CHAT) == ([], [name])


@pytest.mark.parametrize(
    "name", ["priority", "request_id", "cache_salt", "kv_transfer_params", "prompt_logprobs"]
)
def test_vllms_own_switches_are_refused(name: str) -> None:
    assert split_fields([name], KNOWN_FIELDS_CHAT) == ([], [name])
