"""Step 5, last: whether prompt and answer fit the model's context, in its own tokens, before anything waits.

Bytes bound tokens from above, so that a tokenizer is asked only where that bound is too large, and only one
that is loaded. As with OpenAI and vLLM the prompt and ``max_tokens`` together must fit; nothing is ever cut.
"""

from typing import Any, Protocol

from rempart.domain.errors import ContextLengthExceeded, RempartError
from rempart.domain.models import ModelStatus
from rempart.gateway.exchange import Exchange
from rempart.wire.prompt_bound import chat_tokens_max, texts_tokens_max

COUNTING_KINDS = frozenset({"llama_cpp", "vllm"})
"""Kinds whose tokenizer can be asked."""
INPUTS_COUNTED_MAX = 256


class TokenCounts(Protocol):
    """Counts with a loaded model's own tokenizer; takes no slot."""

    async def count_text(self, exchange: Exchange, status: ModelStatus, text: str) -> int:
        """Tokens of a text."""
        ...

    async def count_chat(
        self, exchange: Exchange, status: ModelStatus, chat: dict[str, Any]
    ) -> int:
        """Tokens of a chat request's prompt."""
        ...


def prompt_tokens_bound(document: dict[str, Any]) -> int:
    """Tokens that the longest prompt of a request for the runner has at most."""
    if "messages" in document:
        return chat_tokens_max(document)
    return max((texts_tokens_max(one) for one in _inputs(document)), default=0)


async def exact_prompt_tokens(
    exchange: Exchange, status: ModelStatus, document: dict[str, Any], counts: TokenCounts
) -> int | None:
    """Tokens of the longest prompt, by the model's own tokenizer; None where it cannot be asked now."""
    if status.kind not in COUNTING_KINDS or not status.replicas:
        return None
    try:
        if "messages" in document:
            return await counts.count_chat(exchange, status, document)
        longest = 0
        for one in sorted(_inputs(document), key=texts_tokens_max)[-INPUTS_COUNTED_MAX:]:
            is_text = isinstance(one, str)
            longest = max(
                longest, await counts.count_text(exchange, status, one) if is_text else len(one)
            )
    except (
        RempartError
    ):  # what is wrong with the request or the runner shows when it is asked to answer
        return None
    return longest


async def require_fit(
    exchange: Exchange, status: ModelStatus, document: dict[str, Any], counts: TokenCounts | None
) -> None:
    """Refuse what cannot fit.

    Raises:
        ContextLengthExceeded: with the counts.
    """
    context = status.facts.more.get("input_tokens_max") or status.facts.context_length
    if not isinstance(context, int) or counts is None:
        return
    asked = document.get("max_completion_tokens") or document.get("max_tokens") or 0
    if prompt_tokens_bound(document) + asked <= context:
        return
    prompt = await exact_prompt_tokens(exchange, status, document, counts)
    if prompt is None:
        return
    room = 1 if "messages" in document or "prompt" in document else 0
    if prompt + max(asked, room) > context:
        raise ContextLengthExceeded(
            context_length=context,
            prompt_tokens=prompt,
            param="messages" if "messages" in document else None,
            details={"max_tokens": asked} if asked else None,
            message=f"This model's context is {context} tokens per request; the prompt has {prompt} and "
            f"max_tokens asks for {asked} more. Shorten the messages, or ask for fewer tokens."
            if asked
            else None,
        )


def _inputs(document: dict[str, Any]) -> list[Any]:
    """Each prompt of a request without messages: texts, or lists of token ids."""
    found = document.get("prompt", document.get("input"))
    if isinstance(found, list) and not (found and type(found[0]) is int):
        return found
    return [] if found is None else [found]
