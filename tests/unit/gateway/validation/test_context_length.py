"""Prompt and answer together fit the context, or are refused with the counts."""

import asyncio
from typing import Any, cast

import pytest

from rempart.domain.errors import ContextLengthExceeded, RunnerError
from rempart.domain.models import Facts, ModelStatus, Replica, RunnerState
from rempart.gateway.exchange import Exchange
from rempart.gateway.validation.context_length import prompt_tokens_bound, require_fit

NOBODY = cast("Exchange", None)


class Counts:
    """A tokenizer with a token per four characters."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    async def count_text(self, exchange: Exchange, status: ModelStatus, text: str) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return len(text) // 4

    async def count_chat(
        self, exchange: Exchange, status: ModelStatus, chat: dict[str, Any]
    ) -> int:
        return await self.count_text(exchange, status, chat["messages"][0]["content"])


def status(
    context: int | None = 1000, *, kind: str = "llama_cpp", ready: bool = True
) -> ModelStatus:
    replicas = [Replica(id="r", url="http://x")] if ready else []
    facts = Facts(context_length=context)
    return ModelStatus(name="m", kind=kind, state=RunnerState.READY, replicas=replicas, facts=facts)


def chat(size: int, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x" * size}], **more}


def fit(document: dict[str, Any], model: ModelStatus, counts: Counts) -> None:
    asyncio.run(require_fit(NOBODY, model, document, counts))


def test_what_fits_by_its_bytes_is_not_counted() -> None:
    counts = Counts()
    fit(chat(100, max_tokens=500), status(), counts)
    assert counts.asked == 0


def test_what_may_not_fit_is_counted_and_let_in_if_it_does() -> None:
    counts = Counts()
    fit(chat(3000, max_tokens=250), status(), counts)
    fit({"prompt": ["x" * 3600, "y"], "max_tokens": 100}, status(), counts)
    fit({"input": ["x" * 4000]}, status(), counts)
    assert counts.asked == 4


@pytest.mark.parametrize(
    ("document", "prompt"),
    [
        (chat(4000), 1000),
        (chat(3000, max_tokens=251), 750),
        (chat(3000, max_completion_tokens=251), 750),
        (chat(4, max_tokens=5000), 1),
        ({"prompt": "x" * 4000}, 1000),
        ({"prompt": [1] * 1000}, 1000),
        ({"input": ["a", "x" * 4004]}, 1001),
    ],
)
def test_what_does_not_fit_is_refused_with_its_counts(
    document: dict[str, Any], prompt: int
) -> None:
    with pytest.raises(ContextLengthExceeded) as caught:
        fit(document, status(), Counts())
    assert caught.value.details["prompt_tokens"] == prompt
    assert caught.value.details["context_length"] == 1000


@pytest.mark.parametrize(
    "model",
    [status(None), status(ready=False), status(kind="transformers"), status(kind="upstream")],
)
def test_what_cannot_be_counted_is_left_to_the_runner(model: ModelStatus) -> None:
    fit(chat(9999), model, Counts())


def test_a_tokenizer_that_fails_refuses_nobody() -> None:
    counts = Counts()
    counts.error = RunnerError(reason="gone")
    fit(chat(9999), status(), counts)


def test_the_bound_is_that_of_the_longest_prompt() -> None:
    assert prompt_tokens_bound({"prompt": ["a" * 10, "b" * 50]}) < 60
    assert prompt_tokens_bound(chat(1000)) >= 1000
    assert prompt_tokens_bound({}) == 0
