"""What a request may take at most: prompt and answer, each in tokens, and what they cost. No I/O.

The largest answer is also written into the request that is sent on, so that no answer is longer than what was
reserved for it.
"""

from typing import Any, NamedTuple

from rempart.domain.limits import MICROS
from rempart.settings.protection import Prices
from rempart.wire.prompt_bound import (
    chat_tokens_max,
    rerank_tokens_max,
    texts_count,
    texts_tokens_max,
)

TOKENS_PER_PRICE = 1_000_000
DEFAULT_SHARE = 4
"""Of the smallest limit of tokens, an answer whose ``max_tokens`` is not given may have one part in so many."""
DEFAULT_TOKENS_MAX = 4096


class Estimate(NamedTuple):
    """Tokens that a request may take.

    Args:
        prompt: all its prompts together.
        answer: the longest answer, times the number of answers.
    """

    prompt: int
    answer: int

    @property
    def total(self) -> int:
        """Both."""
        return self.prompt + self.answer


def prompt_tokens_max(document: dict[str, Any]) -> int:
    """Tokens of all prompts of a request for a runner, from above."""
    if "messages" in document:
        return chat_tokens_max(document)
    if "documents" in document:
        return rerank_tokens_max(document)
    return texts_tokens_max(document.get("prompt", document.get("input")))


def answers_count(document: dict[str, Any]) -> int:
    """How many answers are generated: ``n`` or ``best_of`` for each prompt; 0 for what generates none."""
    if "messages" in document:
        return max(1, _count(document.get("n")))
    if "prompt" in document:
        each = max(1, _count(document.get("n")), _count(document.get("best_of")))
        return each * texts_count(document["prompt"])
    return 0


def answer_tokens_max(document: dict[str, Any]) -> int | None:
    """The longest answer that the client asked for; None where it left that open."""
    asked = [document.get(name) for name in ("max_completion_tokens", "max_tokens")]
    # Runners differ in which of the two they heed.
    return max((one for one in asked if type(one) is int), default=None)


def default_answer_tokens(*, context: int | None, prompt: int, smallest_limit: int) -> int:
    """An answer's length where the client left it open: what fits the context, but only a part of its limit."""
    room = DEFAULT_TOKENS_MAX if context is None else max(1, context - prompt)
    return max(1, min(room, DEFAULT_TOKENS_MAX, smallest_limit // DEFAULT_SHARE))


def cost_micros(prices: Prices, prompt: int, answer: int) -> int:
    """What tokens cost, in millionths of the currency, rounded up."""
    exact = (prices.prompt * prompt + prices.completion * answer) * MICROS / TOKENS_PER_PRICE
    whole = int(exact)
    return whole if whole == exact else whole + 1


def _count(value: Any) -> int:
    return value if type(value) is int else 0
