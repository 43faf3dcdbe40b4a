"""Embeddings and rerank: a request's inputs as calls of one input each, and their answers as one. Pure.

One input at a time, so that the request has one slot and can be stopped between two of them.
"""

from typing import Any

import msgspec

from rempart.runners.llama_cpp_server.plan import PROMPTS_MAX, Json, read_object
from rempart.runners.llama_cpp_server.refusals import failed, invalid


def embedding_calls(body: bytes) -> list[bytes]:
    """The calls for an embeddings request.

    Raises:
        Refused: its input makes no sense.
    """
    document = read_object(body)
    found = document.get("input", document.get("content"))
    inputs = found if isinstance(found, list) and not _is_tokens(found) else [found]
    if not inputs or any(one in (None, "", []) for one in inputs):
        raise invalid("input must be a text, a list of tokens, or a list of those, and not empty")
    if not all(isinstance(one, str) or _is_tokens(one) for one in inputs):
        raise invalid("input must be a text, a list of tokens, or a list of those")
    if len(inputs) > PROMPTS_MAX:
        raise invalid(f"input has {len(inputs)} entries; at most {PROMPTS_MAX} are taken")
    rest = {name: value for name, value in document.items() if name not in ("input", "content")}
    return [msgspec.json.encode(rest | {"input": one}) for one in inputs]


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) is int for one in value)


def join_embeddings(answers: list[bytes]) -> tuple[bytes, int]:
    """The answer to all calls together, and its prompt tokens."""
    whole = _read(answers[0])
    if len(answers) == 1:
        return answers[0], whole["usage"]["prompt_tokens"]
    data: list[Any] = []
    prompt_tokens = 0
    for at, answer in enumerate(answers):
        part = whole if at == 0 else _read(answer)
        for entry in part["data"]:
            data.append(entry | {"index": at})
        prompt_tokens += part["usage"]["prompt_tokens"]
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return msgspec.json.encode(whole | {"data": data, "usage": usage}), prompt_tokens


def rerank_calls(body: bytes) -> list[bytes]:
    """The calls for a rerank request.

    Raises:
        Refused: its documents or its query make no sense.
    """
    document = read_object(body)
    texts = _texts(document)
    if not isinstance(document.get("query"), str) or not document["query"]:
        raise invalid("query must be a text that is not empty")
    top = document.get("top_n")
    if top is not None and (type(top) is not int or top < 1):
        raise invalid("top_n must be a whole number from 1")
    return [
        msgspec.json.encode({"query": document["query"], "documents": [text]}) for text in texts
    ]


def _texts(document: Json) -> list[str]:
    listed = document.get("documents")
    if not isinstance(listed, list) or not 0 < len(listed) <= PROMPTS_MAX:
        raise invalid(f"documents must be a list of 1 to {PROMPTS_MAX} texts")
    texts: list[str] = []
    for one in listed:
        text = one.get("text") if isinstance(one, dict) else one
        if not isinstance(text, str):
            raise invalid("documents must be texts, or objects with a text")
        texts.append(text)
    return texts


def join_rerank(body: bytes, answers: list[bytes]) -> tuple[bytes, int]:
    """The answer to all calls together, the best document first, and its prompt tokens."""
    document = read_object(body)
    texts = _texts(document)
    returns_texts = document.get("return_documents") is True
    whole: Json = {}
    results: list[Json] = []
    prompt_tokens = 0
    for at, answer in enumerate(answers):
        whole = _read(answer)
        prompt_tokens += whole["usage"]["prompt_tokens"]
        score = whole["results"][0]["relevance_score"]
        entry: Json = {"index": at, "relevance_score": score}
        if returns_texts:
            entry["document"] = {"text": texts[at]}
        results.append(entry)
    results.sort(key=lambda entry: -entry["relevance_score"])
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    answered = whole | {"usage": usage, "results": results[: document.get("top_n")]}
    return msgspec.json.encode(answered), prompt_tokens


def _read(answer: bytes) -> Json:
    try:
        document = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise failed("the library's answer cannot be read") from exc
    if not isinstance(document, dict):
        raise failed("the library's answer is not an object")
    return document
