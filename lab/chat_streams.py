"""Chat answers of every shape, and the streams that say the same: hypothesis strategies.

``streams()`` draws a chat.completion and the chunks of it, with members, calls and choices
interleaved as a server might send them.
"""

import json
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
LOGPROB = st.builds(
    lambda token, p: {"token": token, "logprob": p, "bytes": None, "top_logprobs": []},
    TEXT,
    st.floats(-10, 0),
)
CALL = st.builds(
    lambda name, arguments, id: {
        "id": f"call_{id}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
    },
    TEXT,
    st.dictionaries(TEXT, TEXT | st.integers(0, 9), max_size=2),
    st.uuids(),
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": draw(TEXT)}
    if draw(st.booleans()):
        message["reasoning_content"] = draw(TEXT)
    if draw(st.booleans()):
        message["refusal"] = draw(TEXT)
    if draw(st.booleans()):
        message["x_note"] = draw(TEXT)
    if draw(st.booleans()):
        message["x_number"] = draw(st.integers())
    if draw(st.booleans()):
        message["tool_calls"] = draw(st.lists(CALL, min_size=1, max_size=3))
        if draw(st.booleans()):
            message["content"] = None
    return message


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": draw(messages()),
            "logprobs": draw(
                st.none()
                | st.fixed_dictionaries({"content": st.lists(LOGPROB, min_size=1, max_size=4)})
            ),
            "finish_reason": draw(
                st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
            ),
        }
        for index in range(draw(st.integers(1, 3)))
    ]
    document = {
        "id": "c-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": choices,
    }
    if draw(st.booleans()):
        document["usage"] = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    for name in ("system_fingerprint", "service_tier"):
        if draw(st.booleans()):
            document[name] = "default"
    if draw(st.booleans()):
        document["timings"] = {"prompt_n": 3}
    return document


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def choice_parts(draw: st.DrawFn, choice: dict[str, Any]) -> list[dict[str, Any]]:
    """One choice as the parts of chunks, members in any order, each member's pieces in theirs."""
    lanes: list[list[dict[str, Any]]] = []
    for name, value in choice["message"].items():
        if name == "role" or value is None:
            continue
        if name == "tool_calls":
            for index, call in enumerate(value):
                head = {"index": index, "id": call["id"], "type": "function"}
                lane = [
                    {
                        "tool_calls": [
                            head | {"function": {"name": call["function"]["name"], "arguments": ""}}
                        ]
                    }
                ]
                for piece in pieces(draw, call["function"]["arguments"]):
                    lane.append(
                        {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                    )
                lanes.append(lane)
        elif isinstance(value, str):
            lanes.append([{name: piece} for piece in pieces(draw, value)])
        else:
            lanes.append([{name: value}])
    parts = [{"delta": {"role": "assistant", "content": None}}]
    while lanes:
        lane = draw(st.sampled_from(lanes))
        parts.append({"delta": lane.pop(0)})
        lanes = [lane for lane in lanes if lane]
    if choice["logprobs"]:
        for entry in choice["logprobs"]["content"]:
            parts.append({"delta": {}, "logprobs": {"content": [entry]}})
    parts.append({"delta": {}, "finish_reason": choice["finish_reason"]})
    return [
        {"index": choice["index"], "logprobs": None, "finish_reason": None} | part for part in parts
    ]


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    document = draw(documents())
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    rest = {
        name: value for name, value in document.items() if name not in head and name != "choices"
    }
    lanes = [choice_parts(draw, choice) for choice in document["choices"]]
    chunks = []
    while lanes:
        lane = draw(st.sampled_from(lanes))
        chunks.append(head | {"choices": [lane.pop(0)]})
        lanes = [lane for lane in lanes if lane]
    chunks.append(head | {"choices": []} | rest)
    return document, chunks
