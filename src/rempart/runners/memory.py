"""How much memory a model will take, estimated from its file's head.

RSS of a llama.cpp runner was weights + KV cache + compute buffer + a constant within 1 % for one
architecture at five context sizes; others were not checked, so that this is for warnings, not for
refusals. Models with sliding windows or recurrent layers need less KV cache than is said here.
"""

from collections.abc import Mapping

CONTEXT_DEFAULT_MAX = 8192
BATCH_DEFAULT = 512
PROCESS_BYTES = 60 * 1024**2
"""The process, its libraries and a vocabulary of 49,000 entries."""
KV_VALUE_BYTES = 2


def estimate_bytes(
    header: Mapping[str, int | float | bool | str],
    weights_bytes: int,
    context: int | None = None,
    batch: int | None = None,
) -> int:
    """Resident memory of a llama.cpp runner with this model.

    Args:
        header: scalars of the GGUF's head, by key.
        weights_bytes: size of the file, or of all its parts.
        context: tokens for all slots together; None: the model's own, at most 8192.
        batch: prompt tokens per batch.
    """
    architecture = str(header.get("general.architecture", ""))

    def number(name: str, default: int = 0) -> int:
        value = header.get(f"{architecture}.{name}", default)
        return int(value) if isinstance(value, int | float) else default

    heads = max(number("attention.head_count", 1), 1)
    width = number("embedding_length")
    kv_heads = number("attention.head_count_kv", heads)
    head_width = number("attention.key_length", width // heads)
    tokens = context or min(number("context_length", CONTEXT_DEFAULT_MAX), CONTEXT_DEFAULT_MAX)
    kv_bytes = 2 * number("block_count") * tokens * kv_heads * head_width * KV_VALUE_BYTES
    buffer_bytes = (batch or BATCH_DEFAULT) * (6 * width + 2 * number("feed_forward_length")) * 4
    return weights_bytes + kv_bytes + buffer_bytes + PROCESS_BYTES
