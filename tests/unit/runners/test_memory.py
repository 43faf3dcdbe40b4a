"""The estimate of a model's memory."""

import pytest

from rempart.runners.memory import estimate_bytes

MIB = 1024**2
SMOLLM2 = {
    "general.architecture": "llama",
    "llama.block_count": 30,
    "llama.context_length": 8192,
    "llama.embedding_length": 576,
    "llama.feed_forward_length": 1536,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
}


def test_it_is_what_was_measured_on_the_demo_model() -> None:
    """331 MiB resident with 8192 tokens of context and batches of 64."""
    assert estimate_bytes(SMOLLM2, 94 * MIB, context=8192, batch=64) == pytest.approx(
        331 * MIB, rel=0.05
    )


def test_context_is_what_costs() -> None:
    short = estimate_bytes(SMOLLM2, 0, context=1000)
    assert estimate_bytes(SMOLLM2, 0, context=2000) - short == 2 * 30 * 1000 * 3 * 64 * 2
    assert estimate_bytes(SMOLLM2, 0) == estimate_bytes(SMOLLM2, 0, context=8192)
    assert estimate_bytes(SMOLLM2 | {"llama.context_length": 10**6}, 0) == estimate_bytes(
        SMOLLM2, 0
    )


def test_a_head_that_says_nothing_leaves_the_weights() -> None:
    assert estimate_bytes({}, 100 * MIB) == 160 * MIB
