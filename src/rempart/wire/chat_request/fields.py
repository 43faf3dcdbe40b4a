"""Which fields of a body go on to a runner: the protocols' own, and nothing that touches others' work.

Passing unknown fields on would hand every client the runner's own switches: another's slot, adapters,
the order of the queue, timing of a shared cache.
"""

from collections.abc import Iterable, Set

_EVERYWHERE = frozenset({"model", "user"})
_SAMPLING = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "n",
        "presence_penalty",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
    }
)

# Source: openai-python 3.57, anthropic-python 2.13, Cohere's and Jina's rerank as vLLM serves it.
KNOWN_FIELDS_CHAT = (
    _EVERYWHERE
    | _SAMPLING
    | {
        "audio",
        "function_call",
        "functions",
        "max_completion_tokens",
        "messages",
        "metadata",
        "modalities",
        "moderation",
        "parallel_tool_calls",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "service_tier",
        "store",
        "tool_choice",
        "tools",
        "top_logprobs",
        "verbosity",
        "web_search_options",
    }
)
KNOWN_FIELDS_COMPLETIONS = _EVERYWHERE | _SAMPLING | {"best_of", "echo", "prompt", "suffix"}
KNOWN_FIELDS_EMBEDDINGS = _EVERYWHERE | {"dimensions", "encoding_format", "input"}
KNOWN_FIELDS_RERANK = _EVERYWHERE | {"documents", "query", "return_documents", "top_n"}
KNOWN_FIELDS_MESSAGES = frozenset(
    {
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
KNOWN_FIELDS_RESPONSES = _EVERYWHERE | {
    "background",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
}

REFUSED_FIELDS = frozenset(
    {
        # llama.cpp: another's slot, adapters for all, a way round max_tokens, the shared prompt cache.
        "id_slot",
        "slot_id",
        "lora",
        "n_predict",
        "n_probs",
        "cache_prompt",
        "action",
        "filename",
        # vLLM: the queue's order, others' requests by their id, its caches, work without a bound.
        "priority",
        "request_id",
        "kv_transfer_params",
        "cache_salt",
        "prompt_logprobs",
        "use_beam_search",
        "logits_processors",
    }
)
"""Fields that touch the work of others; no configuration of extras lets them through."""


def split_fields(
    body: Iterable[str], known: Set[str], extras: Set[str] = frozenset()
) -> tuple[list[str], list[str]]:
    """The names in ``body`` that do not go on: (unknown, refused), each in the body's order.

    Args:
        body: the body, or its names.
        known: the protocol's own fields.
        extras: further fields that this runner takes.
    """
    unknown, refused = [], []
    for name in body:
        if name in REFUSED_FIELDS:
            refused.append(name)
        elif name not in known and name not in extras:
            unknown.append(name)
    return unknown, refused
