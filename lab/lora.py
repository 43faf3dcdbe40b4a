"""A LoRA adapter for the demo model, made on the spot: one layer's query weights, shifted at random."""

import random
import struct
from pathlib import Path

EMBEDDING, RANK, ALIGNMENT = 576, 2, 32
"""Of SmolLM2-135M; the adapter's own; and GGUF's default."""
_FLOAT32 = 0


def write_adapter(path: Path, *, strength: float, seed: int = 1) -> Path:
    """Write the adapter as GGUF.

    Args:
        strength: size of the numbers; 0 changes nothing, 1 turns the model's answers into others.
    """
    rng = random.Random(seed)
    shapes = {
        "blk.0.attn_q.weight.lora_a": (EMBEDDING, RANK),
        "blk.0.attn_q.weight.lora_b": (RANK, EMBEDDING),
    }
    pairs = [
        _text("general.architecture") + _string("llama"),
        _text("general.type") + _string("adapter"),
        _text("adapter.type") + _string("lora"),
        _text("adapter.lora.alpha") + struct.pack("<If", 6, float(RANK)),
    ]
    infos, data = b"", b""
    for name, shape in shapes.items():
        infos += _text(name) + struct.pack("<IQQIQ", 2, *shape, _FLOAT32, len(data))
        count = shape[0] * shape[1]
        data += struct.pack(f"<{count}f", *(strength * rng.gauss(0, 1) for _ in range(count)))
        data += b"\0" * (-len(data) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(pairs)) + b"".join(pairs) + infos
    path.write_bytes(head + b"\0" * (-len(head) % ALIGNMENT) + data)
    return path


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def _string(value: str) -> bytes:
    return struct.pack("<I", 8) + _text(value)
