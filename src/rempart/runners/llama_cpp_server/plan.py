"""From a request's body to the library's calls that answer it. Pure.

A request has one slot, so that whoever hands out slots knows what is free. Several choices, prompts
or inputs are therefore made one after the other in that slot (they share the prompt that is already
in it), not beside each other as the library would.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from rempart.runners.llama_cpp_server import tool_choice
from rempart.runners.llama_cpp_server.refusals import invalid
from rempart.runners.llama_cpp_server.tool_choice import Tool

CHOICES_MAX = 128
PROMPTS_MAX = 2048
"""Prompts, inputs or documents of one request."""

Json = dict[str, Any]

# A slot of the library's own, and its adapters, are not for a request to choose.
_NOT_FOR_REQUESTS = ("id_slot", "slot_id", "lora", "n", "n_cmpl", "best_of")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a request is answered.

    Args:
        calls: bodies of library calls, one after the other.
        choices: how many of them in a row belong to one prompt.
        streams: the client wants events.
        wants_usage: it wants a chunk with the usage.
        wants_progress: it wants chunks that tell how far the prompt is read.
        wants_timings: it wants timings in each chunk.
        forced: tools of which one must be called.
    """

    calls: list[bytes]
    choices: int = 1
    streams: bool = False
    wants_usage: bool = False
    wants_progress: bool = False
    wants_timings: bool = False
    forced: list[Tool] = field(default_factory=list)


def read_object(body: bytes) -> Json:
    """The body as a JSON object.

    Raises:
        Refused: it is none.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise invalid(f"the body is not JSON: {exc}", "invalid_json") from exc
    if not isinstance(document, dict):
        raise invalid("the body must be one JSON object", "invalid_json")
    return document


def plan_chat(body: bytes, *, template_takes_tools: bool) -> Plan:
    """How a chat request is answered.

    Raises:
        Refused: it makes no sense.
    """
    document = read_object(body)
    forced = tool_choice.forced_tools(document)
    asked = document
    if forced:
        asked = tool_choice.as_schema_request(
            document, forced, template_takes_tools=template_takes_tools
        )
    choices = _choices(document)
    calls = [_call(asked, choice) for choice in range(choices)]
    return _plan(document, calls, choices, forced)


def plan_completions(body: bytes) -> Plan:
    """How a text completion is answered.

    Raises:
        Refused: it makes no sense.
    """
    document = read_object(body)
    prompts = _prompts(document.get("prompt"))
    choices = _choices(document)
    if len(prompts) * choices > PROMPTS_MAX:
        raise invalid(f"n times the number of prompts must be at most {PROMPTS_MAX}")
    calls = [
        _call(document | {"prompt": prompt}, choice)
        for prompt in prompts
        for choice in range(choices)
    ]
    return _plan(document, calls, choices, [])


def _plan(document: Json, calls: list[bytes], choices: int, forced: list[Tool]) -> Plan:
    options = document.get("stream_options")
    return Plan(
        calls=calls,
        choices=choices,
        streams=document.get("stream") is True,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        wants_progress=document.get("return_progress") is True,
        wants_timings=document.get("timings_per_token") is True,
        forced=forced,
    )


def _choices(document: Json) -> int:
    choices = document.get("n")
    if choices is None:
        return 1
    if type(choices) is not int or not 1 <= choices <= CHOICES_MAX:
        raise invalid(f"n must be a whole number from 1 to {CHOICES_MAX}")
    return choices


def _prompts(prompt: Any) -> list[Any]:
    """The prompts of a completion: a text, a list of tokens, or a list of either."""
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        if len(prompt) > PROMPTS_MAX:
            raise invalid(f"prompt has {len(prompt)} entries; at most {PROMPTS_MAX} are taken")
        return prompt
    if prompt is None or prompt == []:
        raise invalid("prompt must be a text, a list of tokens, or a list of those")
    return [prompt]


def _call(document: Json, choice: int) -> bytes:
    """One library call; it is always streamed and tells all we want to know.

    With progress it can be stopped between two batches of the prompt, and with timings in each
    chunk the tokens of a stopped one are known.
    """
    asked = {name: value for name, value in document.items() if name not in _NOT_FOR_REQUESTS}
    asked["stream"] = True
    asked["stream_options"] = {"include_usage": True}
    asked["return_progress"] = True
    asked["timings_per_token"] = True
    seed = asked.get("seed")
    if choice and type(seed) is int and seed >= 0:
        asked["seed"] = seed + choice  # the same seed would give the same choice again
    return msgspec.json.encode(asked)
