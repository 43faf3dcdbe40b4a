"""Which strings a model's tokenizer or chat template takes as more than text, from its files.

Control tokens all count. What a vocabulary calls user-defined counts where the template writes it
(``<tool_call>``); otherwise it is text in one piece, such as Gemma's runs of line ends and its HTML tags.
"""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from rempart.runners.files.gguf_header import GgufError, read_header
from rempart.wire.control_strings import FAMILIES, literals, without_numbers

STRINGS_MAX = 1024
"""More are left out: a status line has its bound, and numbered ones count once."""
BYTES_MAX = 24 * 1024
FILE_BYTES_MAX = 64 * 1024 * 1024
_CONTROL, _USER_DEFINED = 3, 4
_TOKENS, _TYPES = b"tokenizer.ggml.tokens", b"tokenizer.ggml.token_type"
_KNOWN = frozenset(FAMILIES)


def of_gguf(path: Path, template: str = "") -> list[str]:
    """The control strings of a GGUF file, those of its own template (or the one that replaces it) with them.

    Args:
        template: a chat template that is used instead of the file's.
    Raises:
        GgufError: the head is not well-formed.
        OSError: the file cannot be read.
    """
    header = read_header(path)
    template = template or str(header.get("tokenizer.chat_template", ""))
    tokens, types = _vocabulary(path)
    found = []
    for token, kind in zip(tokens, types, strict=False):
        if kind in (_CONTROL, _USER_DEFINED) or (token.startswith(b"<") and len(token) < 64):
            text = token.decode("utf-8", "replace")
            # llama.cpp makes control tokens of the known ends of turns, whatever their type says.
            if kind == _CONTROL or text in _KNOWN or (kind == _USER_DEFINED and text in template):
                found.append(text)
    return _bounded([*literals(template), *found])


def of_folder(folder: Path) -> list[str]:
    """The control strings of a checkpoint in Hugging Face's form; empty where its files do not tell."""
    config = _json(folder / "tokenizer_config.json")
    added = list(_json(folder / "tokenizer.json").get("added_tokens") or [])
    decoder = config.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        added += decoder.values()
    template = _template(folder, config)
    found = [
        one["content"]
        for one in added
        if isinstance(one, dict)
        and isinstance(one.get("content"), str)
        and (one.get("special") is True or one["content"] in template)
    ]
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        token = config.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            found.append(token)
    return _bounded([*literals(template), *found]) if found else []


def _bounded(strings: Iterable[str]) -> list[str]:
    kept: list[str] = []
    size = 0
    for one in without_numbers(one for one in strings if one.strip()):
        size += len(one.encode("utf-8", "replace"))
        if size > BYTES_MAX or len(kept) == STRINGS_MAX:
            break
        kept.append(one)
    return kept


def _template(folder: Path, config: dict[str, Any]) -> str:
    try:
        return (folder / "chat_template.jinja").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        found = config.get("chat_template")
    if isinstance(found, list):  # several, by name
        return "\n".join(str(one.get("template", "")) for one in found if isinstance(one, dict))
    return found if isinstance(found, str) else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(FILE_BYTES_MAX))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _vocabulary(path: Path) -> tuple[list[bytes], list[int]]:
    """The tokens and their types; a head without them gives none."""
    with path.open("rb") as file:
        head = file.read(FILE_BYTES_MAX)
    return _array(head, _TOKENS), _array(head, _TYPES)


def _array(head: bytes, key: bytes) -> list[Any]:
    """An array of texts or 32-bit numbers of a head that is known to be well-formed."""
    at = head.find(struct.pack("<Q", len(key)) + key + struct.pack("<I", 9))
    if at < 0:
        return []
    at += 8 + len(key) + 4
    kind, count = struct.unpack_from("<IQ", head, at)
    at += 12
    if kind in (4, 5):
        return list(struct.unpack_from(f"<{count}i", head, at))
    tokens = []
    size_of = struct.Struct("<Q").unpack_from
    try:
        for _ in range(count):
            (size,) = size_of(head, at)
            tokens.append(head[at + 8 : at + 8 + size])
            at += 8 + size
    except struct.error as error:
        raise GgufError("the vocabulary is broken off") from error
    return tokens
