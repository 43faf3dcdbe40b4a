"""How many tokens a prompt has at most, from its bytes: no tokenizer is asked.

Each token of a byte-level or byte-fallback tokenizer stands for at least one byte of its text, so that the
UTF-8 bytes of all texts that reach the template bound their tokens from above. What the template itself
adds, and what has no text (pictures, sounds), is allowed for by the constants below.
"""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode

MESSAGE_TOKENS = 16
"""Per message: the marks of its role and its ends. Llama 3, Qwen, Gemma, Mistral and ChatML take 3 to 6."""
TEMPLATE_TOKENS = 96
"""Per prompt: its beginning, the mark of the answer, and the system prompt that some templates have (up to 50)."""
TOOLS_TOKENS = 384
"""Per prompt with tools: how they are to be called, in the template's own words (Qwen 150, Hermes 300)."""
TOOL_BYTES_FACTOR = 2
"""Tools are JSON; templates write it with indents, and some with ``<`` as ``\\u003c``."""
MEDIA_TOKENS = 4096
"""Per picture, sound, video or file: no current open model takes more for one within the body's bounds."""
TEXT_TOKENS = 4
"""Per text that is no chat: a beginning, an end, and the blank that some tokenizers put before it."""
BYTES_PER_TOKEN_MAX = 32
"""For what a count could be at least: tokens of more bytes are runs of blanks."""

_NOT_TEXT = frozenset(
    {"image_url", "input_audio", "audio_url", "video_url", "file", "image", "audio"}
)


def text_bytes(text: str) -> int:
    """UTF-8 bytes of a text."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def chat_tokens_max(document: dict[str, Any]) -> int:
    """Tokens that a chat request's prompt has at most; parts of the wrong shape count by their JSON."""
    total = TEMPLATE_TOKENS
    messages = document.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            total += MESSAGE_TOKENS + _members(message)
    for name in ("tools", "functions"):
        tools = document.get(name)
        if tools:
            total += TOOLS_TOKENS + TOOL_BYTES_FACTOR * len(_encode(tools))
    form = document.get("response_format")
    if form:  # some servers put the schema into the prompt
        total += TOOL_BYTES_FACTOR * len(_encode(form))
    return total


def _members(message: dict[str, Any]) -> int:
    total = 0
    for name, value in message.items():
        if name == "role":
            continue
        if isinstance(value, str):
            total += text_bytes(value)
        elif name == "content" and isinstance(value, list):
            total += sum(map(_part, value))
        elif value is not None:
            total += TOOL_BYTES_FACTOR * len(_encode(value))
    return total


def _part(part: Any) -> int:
    if isinstance(part, dict):
        if part.get("type") in _NOT_TEXT:
            return MEDIA_TOKENS
        text = part.get("text")
        if isinstance(text, str):
            return text_bytes(text)
    return len(_encode(part))


def texts_tokens_max(value: Any) -> int:
    """Tokens of a completion's prompt or an embedding's input: a text, texts, token ids, or lists of them."""
    if isinstance(value, str):
        return TEXT_TOKENS + text_bytes(value)
    if isinstance(value, list):
        if value and type(value[0]) is int:
            return TEXT_TOKENS + len(value)
        return sum(map(texts_tokens_max, value))
    return len(_encode(value)) if value is not None else 0


def texts_count(value: Any) -> int:
    """Prompts in a completion's ``prompt``: each is answered by itself."""
    if isinstance(value, list) and value and type(value[0]) is not int:
        return len(value)
    return 1


def rerank_tokens_max(document: dict[str, Any]) -> int:
    """Tokens of a rerank request: the query is read with each document."""
    documents = document.get("documents")
    texts = documents if isinstance(documents, list) else []
    query = texts_tokens_max(document.get("query"))
    return sum(
        query + texts_tokens_max(one.get("text") if isinstance(one, dict) else one) for one in texts
    )
