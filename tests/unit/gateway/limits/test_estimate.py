"""What a request may take at most."""

from rempart.gateway.limits.estimate import (
    answer_tokens_max,
    answers_count,
    cost_micros,
    default_answer_tokens,
    prompt_tokens_max,
)
from rempart.settings.protection import Prices

CHAT = {"messages": [{"role": "user", "content": "Bonjour"}]}


def test_prompts_of_every_endpoint_are_bounded_by_their_bytes() -> None:
    assert prompt_tokens_max(CHAT) > len("Bonjour")
    assert prompt_tokens_max({"prompt": ["abc", "de"]}) >= 5
    assert prompt_tokens_max({"prompt": [1, 2, 3]}) >= 3
    assert prompt_tokens_max({"input": "é" * 10}) >= 20
    ranked = {"query": "abc", "documents": ["x", "y"]}
    assert prompt_tokens_max(ranked) >= 8, "the query is read with each document"


def test_answers_are_counted_for_n_best_of_and_each_prompt() -> None:
    assert answers_count(CHAT) == 1
    assert answers_count(CHAT | {"n": 3}) == 3
    assert answers_count({"prompt": ["a", "b"], "n": 2, "best_of": 4}) == 8
    assert answers_count({"input": "a"}) == 0


def test_the_longest_answer_is_what_the_client_says() -> None:
    assert answer_tokens_max({"max_tokens": 5}) == 5
    assert answer_tokens_max({"max_tokens": 5, "max_completion_tokens": 7}) == 7
    assert answer_tokens_max({"max_tokens": None}) is None


def test_where_it_says_nothing_an_answer_has_a_part_of_the_limit_that_fits_the_context() -> None:
    assert default_answer_tokens(context=8192, prompt=100, smallest_limit=1000) == 250
    assert default_answer_tokens(context=300, prompt=100, smallest_limit=10**9) == 200
    assert default_answer_tokens(context=None, prompt=100, smallest_limit=10**9) == 4096
    assert default_answer_tokens(context=10, prompt=100, smallest_limit=1) == 1


def test_cost_is_rounded_up_to_a_millionth() -> None:
    prices = Prices(prompt=0.5, completion=1.5)
    assert cost_micros(prices, 2, 2) == 4
    assert cost_micros(prices, 1, 0) == 1
    assert cost_micros(Prices(), 1000, 1000) == 0
