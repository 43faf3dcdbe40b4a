"""What a client gets of a runner's stream: the same for every cut of its bytes, and never a half as a whole."""

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from rempart.domain.errors import RempartError, RunnerError, UpstreamError
from rempart.gateway.operations.answers import (
    DONE_EVENT,
    TOKENS_MAX,
    AssembledDocument,
    ConvertedDocument,
    ConvertedStream,
    Observer,
    WholeDocument,
)
from rempart.gateway.operations.passed_stream import PassedStream
from rempart.wire import envelope, messages, responses
from rempart.wire.chat import ChatAssembler
from rempart.wire.completions import CompletionAssembler
from rempart.wire.sse import EventSplitter, iter_data

# Texts of the model that look like what the relay looks for.
TRICKY = [
    '"usage":{',
    '"usage":{"prompt_tokens":99}',
    "[DONE]",
    "data: [DONE]",
    '"finish_reason":"stop"',
    '{"error":{"message":"no"}}',
    '"timings":{',
    "prompt_progress",
    "\\",
    '\\"',
    "\n\n",
    "\r\n\r\ndata: x",
    "\u2028",
    "é\x00",
]
TEXTS = st.sampled_from(TRICKY) | st.text(st.characters(codec="utf-8"), max_size=8)
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def dumped(document: Any, spaced: bool = False) -> str:
    separators = None if spaced else (",", ":")
    return json.dumps(document, separators=separators, ensure_ascii=False)


def content(text: str, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None} | more
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    }


END = content("", finish_reason="stop")
USAGE = {"id": "c", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
PROGRESS = {"choices": [], "prompt_progress": {"total": 9, "processed": 3}}


def event(data: Any, line_end: str = "\n", *, spaced: bool = False) -> bytes:
    text = data if isinstance(data, str) else dumped(data, spaced)
    return f"data: {text}{line_end}{line_end}".encode()


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    found = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(found)]


def fed(shape: Any, reads: Iterable[bytes]) -> bytes:
    """What the client gets, as the relay feeds the shape: whole events only, up to an error."""
    splitter, out = EventSplitter(), b""
    for read in reads:
        events = splitter.feed(read)
        if events and shape.error is None:
            out += shape.feed(events)
    return out


def data_of(stream: bytes) -> list[str]:
    return [one.decode() for one in iter_data(stream)]


def passed(**options: Any) -> PassedStream:
    return PassedStream(**{"is_runner": True, "wants_usage": False, **options})


parts = st.one_of(
    TEXTS.map(content),
    st.just(USAGE),
    st.just(PROGRESS),
    st.just(END),
    st.just("[DONE]"),
    st.just("{not json"),
    st.just(": a comment"),
    st.just(content("x", finish_reason="stop") | {"usage": {"prompt_tokens": 1}}),
    st.just({"choices": []}),
)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(parts, LINE_ENDS, st.booleans()), max_size=10),
    st.lists(st.integers(0, 900), max_size=60),
    st.booleans(),
    st.booleans(),
)
@example([(USAGE, "\r\n", False), (content("a"), "\r\n", False)], list(range(900)), False, False)
@example([("[DONE]", "\r", False), (content("a"), "\r\n", False)], list(range(900)), False, False)
def test_for_any_cut_of_the_bytes_the_client_gets_the_same(
    events: list[tuple[Any, str, bool]], cuts: list[int], wants_usage: bool, wants_progress: bool
) -> None:
    stream = b""
    wanted = b""
    for part, line_end, spaced in events:
        one = event(part, line_end, spaced=spaced)
        if part == ": a comment":
            one = f"{part}{line_end}{line_end}".encode()
        stream += one
        is_left_out = (
            part in ("[DONE]", "{not json")
            or (part is USAGE and not wants_usage)
            or (part is PROGRESS and not wants_progress)
        )
        wanted += b"" if is_left_out else one
    options = {"wants_usage": wants_usage, "wants_progress": wants_progress}
    whole = passed(**options)
    assert fed(whole, [stream]) == wanted
    in_pieces = passed(**options)
    assert fed(in_pieces, cut(stream, cuts)) == wanted
    for shape in (whole, in_pieces):
        assert shape.is_done == any(part == "[DONE]" for part, _, _ in events)
        assert shape.malformed_count == sum(part == "{not json" for part, _, _ in events)
        assert bool(shape.finish_reason) == any(
            isinstance(part, dict) and any(c.get("finish_reason") for c in part["choices"])
            for part, _, _ in events
        )
        if any(part is USAGE for part, _, _ in events):
            assert (shape.completion_tokens, shape.error) == (5, None)


@given(st.lists(TEXTS, min_size=1, max_size=8), st.booleans(), LINE_ENDS)
def test_text_of_the_model_never_counts_as_anything_else(
    texts: list[str], spaced: bool, line_end: str
) -> None:
    shape = passed()
    stream = b"".join(event(content(text), line_end, spaced=spaced) for text in texts)
    assert fed(shape, [stream]) == stream
    assert shape.finish_reason == ""
    assert shape.prompt_tokens is shape.completion_tokens is shape.error is None
    assert not shape.is_done
    assert shape.malformed_count == 0
    with pytest.raises(RunnerError, match="ended before the answer was whole"):
        shape.finish()


@pytest.mark.parametrize("wants_usage", [True, False])
def test_the_usage_goes_on_to_those_who_asked_for_it_and_is_known_to_us_anyway(
    wants_usage: bool,
) -> None:
    shape = passed(wants_usage=wants_usage)
    out = b"".join(shape.feed(event(one)) for one in (content("a"), END, USAGE, "[DONE]"))
    assert out == event(content("a")) + event(END) + (event(USAGE) if wants_usage else b"")
    assert (shape.prompt_tokens, shape.completion_tokens, shape.finish_reason) == (7, 5, "stop")
    assert shape.finish() == DONE_EVENT


def test_the_end_mark_goes_out_last_also_where_the_runner_sends_none() -> None:
    for ends in ([END], [END, "[DONE]"], [content("a"), "[DONE]"]):
        shape = passed()
        assert b"[DONE]" not in b"".join(shape.feed(event(one)) for one in ends)
        assert shape.finish() == b"data: [DONE]\n\n"


@pytest.mark.parametrize("is_runner", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda is_runner: passed(is_runner=is_runner),
        lambda is_runner: assembled(is_runner=is_runner),
        lambda is_runner: message_stream(is_runner=is_runner),
        lambda is_runner: message_document(is_runner=is_runner),
        lambda is_runner: response_stream(is_runner=is_runner),
    ],
)
def test_a_stream_that_just_stops_is_an_error_of_whoever_sent_it(
    make: Callable[[bool], Any], is_runner: bool
) -> None:
    shape = make(is_runner)
    shape.feed(event(content("a")))
    with pytest.raises(RunnerError if is_runner else UpstreamError):
        shape.finish()


def test_an_error_in_the_stream_is_kept_and_what_came_before_it_goes_out() -> None:
    failure = {"error": {"message": "out of memory", "code": 500}}
    for reads in (
        [b"".join(map(event, (content("a"), failure, content("b"))))],
        [event(content("a")), event(failure)],
    ):
        shape = passed()
        assert fed(shape, reads) == event(content("a"))
        assert isinstance(shape.error, RunnerError)
        assert "out of memory" in shape.error.message


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        ("it broke", "it broke"),
        ({"message": 7}, "7"),
        ({"code": 1}, "it sent an error"),
        (["x"], "['x']"),
        (True, "True"),
    ],
)
def test_an_error_of_any_shape_says_what_it_can(failure: Any, says: str) -> None:
    shape = passed()
    shape.feed(event({"error": failure}))
    assert shape.error is not None
    assert says in shape.error.message


def test_an_error_that_is_none_is_none() -> None:
    shape = passed()
    assert shape.feed(event({"error": None, **END})) == event({"error": None, **END})
    assert shape.error is None


def test_chunks_with_content_are_counted_and_comments_are_not() -> None:
    for joined in (True, False):
        shape = passed()
        events = [
            b": ping\n\n",
            *(event(content(text)) for text in ("a", '"', "b", "c")),
            event(END),
        ]
        for one in [b"".join(events)] if joined else events:
            shape.feed(one)
        assert shape.chunk_count == 5


@pytest.mark.parametrize(
    ("usage", "prompt", "completion"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 5}, 7, 5),
        ({"prompt_tokens": 7, "total_tokens": 7}, 7, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, 0, 0),
        ({"prompt_tokens": -1, "completion_tokens": -5}, None, None),
        ({"prompt_tokens": TOKENS_MAX + 1, "completion_tokens": 10**30}, None, None),
        ({"prompt_tokens": "7", "completion_tokens": 5.0}, None, None),
        ({"prompt_tokens": True, "completion_tokens": None}, None, None),
        ([7, 5], None, None),
    ],
)
def test_only_counts_that_can_be_are_believed(
    usage: Any, prompt: int | None, completion: int | None
) -> None:
    """A negative one would make a counter fall."""
    shape = passed()
    shape.see({"choices": [], "usage": usage})
    assert (shape.prompt_tokens, shape.completion_tokens) == (prompt, completion)


def test_timings_count_where_no_usage_is_told() -> None:
    shape = passed()
    timings = {"prompt_n": 3, "cache_n": 4, "predicted_n": 5}
    assert shape.feed(event(END | {"timings": timings})) != b""
    assert (shape.prompt_tokens, shape.completion_tokens) == (7, 5)
    shape.feed(event(USAGE | {"usage": {"prompt_tokens": 8, "completion_tokens": 6}}))
    assert (shape.prompt_tokens, shape.completion_tokens) == (8, 6)
    for broken in (
        {"prompt_n": 3},
        {"prompt_n": "3", "cache_n": 4, "predicted_n": 5},
        {**timings, "predicted_n": -1},
    ):
        shape = passed()
        shape.feed(event(END | {"timings": broken}))
        assert shape.completion_tokens is None


# Documents, and other protocols.


def assembled(*, is_runner: bool = True, is_chat: bool = True) -> AssembledDocument:
    assembler = ChatAssembler() if is_chat else CompletionAssembler()
    return AssembledDocument(assembler, is_runner=is_runner, default_id="made-up", created=9)


def message_stream(*, is_runner: bool = True) -> ConvertedStream:
    return ConvertedStream(
        messages.MessagesStream(message_id="msg_1", model="near"),
        lambda error, request_id, timestamp: envelope.messages_error_event(
            error, request_id=request_id, timestamp=timestamp
        ),
        is_runner=is_runner,
    )


def response_stream(*, is_runner: bool = True) -> ConvertedStream:
    converter = responses.ResponsesStream({"input": "x"}, id="resp_1", created=9, model="near")
    return ConvertedStream(
        converter,
        lambda error, *_: converter.fail(error.code, error.message, {}),
        is_runner=is_runner,
    )


def message_document(*, is_runner: bool = True) -> ConvertedDocument:
    return ConvertedDocument(
        ChatAssembler(),
        lambda answer: messages.message_document(answer, model="near"),
        is_runner=is_runner,
        default_id="msg_1",
        created=0,
    )


def response_document(*, is_runner: bool = True) -> ConvertedDocument:
    return ConvertedDocument(
        ChatAssembler(),
        lambda answer: responses.response_document(
            answer, request={"input": "x"}, id="resp_1", created=9, model="near"
        ),
        is_runner=is_runner,
        default_id="resp_1",
        created=9,
    )


SHAPES: list[Callable[[], Any]] = [
    passed,
    assembled,
    message_stream,
    message_document,
    response_stream,
    response_document,
    lambda: assembled(is_chat=False),
]
whole_streams = st.lists(TEXTS, min_size=1, max_size=6).map(
    lambda texts: [content(text) for text in texts] + [END, USAGE, "[DONE]"]
)


@pytest.mark.parametrize("make", SHAPES)
@settings(max_examples=40)
@given(
    events=whole_streams,
    line_end=LINE_ENDS,
    cuts=st.lists(st.integers(0, 1500), max_size=40),
)
def test_for_any_cut_every_shape_makes_the_same(
    make: Callable[[], Any], events: list[Any], line_end: str, cuts: list[int]
) -> None:
    stream = b"".join(event(one, line_end) for one in events)
    made = []
    for reads in ([stream], cut(stream, cuts)):
        shape = make()
        made.append(fed(shape, reads) + shape.finish())
        assert (shape.prompt_tokens, shape.completion_tokens) == (7, 5)
    assert made[0] == made[1]


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_a_document_is_what_the_chunks_amount_to(texts: list[str]) -> None:
    shape = assembled()
    out = fed(shape, [b"".join(event(one) for one in [*map(content, texts), END, USAGE, "[DONE]"])])
    assert out == b"", "nothing goes out before the end"
    document = json.loads(shape.finish())
    assert document["object"] == "chat.completion"
    (choice,) = document["choices"]
    assert choice["message"] == {"role": "assistant", "content": "".join(texts)}
    assert choice["finish_reason"] == "stop"
    assert document["usage"] == USAGE["usage"]


def test_what_the_chunks_leave_out_is_made_up() -> None:
    shape = assembled()
    shape.feed(event({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}))
    document = json.loads(shape.finish())
    assert (document["id"], document["created"]) == ("made-up", 9)


def test_progress_reaches_the_converters_that_want_it_and_nobody_s_document() -> None:
    stream = message_stream()
    assert stream.feed(event(PROGRESS)) == b""
    assert b'"input_tokens":9' in stream.feed(event(content("a"))), "known from the progress alone"
    document = assembled()
    document.feed(event(PROGRESS) + event(END))
    assert "prompt_progress" not in json.loads(document.finish())


def test_an_error_in_mid_stream_ends_each_protocol_in_its_own_form() -> None:
    for make, begin in (
        (passed, b'data: {"error":'),
        (message_stream, b"event: error\n"),
        (response_stream, b"event: "),
    ):
        shape = make()
        shape.feed(event(content("a")) + event({"error": {"message": "no"}}))
        last = shape.fail(shape.error, "r-1", "2026-11-24T16:00:00.000Z")
        assert last.startswith(begin)
        assert last.endswith(b"\n\n")
        assert b"[DONE]" not in last


# Servers that do not stream.

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Bonjour", "tool_calls": [CALL, CALL]},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
}
TEXT = {
    "id": "c",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "text": "Bonjour", "finish_reason": "stop", "logprobs": None}],
}


@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_document_becomes_a_stream_of_one_chunk(wants_usage: bool) -> None:
    shape = passed(wants_usage=wants_usage)
    first, last = data_of(shape.whole(dumped(CHAT).encode()))
    assert last == "[DONE]"
    chunk = ChatCompletionChunk.model_validate(json.loads(first), strict=True)
    assert chunk.object == "chat.completion.chunk"
    delta = chunk.choices[0].delta
    assert (delta.content, chunk.choices[0].finish_reason) == ("Bonjour", "stop")
    assert [call.index for call in delta.tool_calls or ()] == [0, 1]
    assert (chunk.usage is not None) is wants_usage
    assert (shape.completion_tokens, shape.chunk_count) == (5, 1)
    assert "message" not in json.loads(first)["choices"][0]


def test_a_text_completion_s_document_keeps_its_form() -> None:
    first, last = data_of(passed().whole(dumped(TEXT).encode()))
    assert json.loads(first) == TEXT
    assert last == "[DONE]"


def test_a_document_for_who_does_not_stream_goes_through() -> None:
    body = dumped(CHAT, spaced=True).encode()
    assert assembled().whole(body) is body


def test_a_document_is_turned_into_the_other_protocols_too() -> None:
    body = dumped(CHAT).encode()
    assert json.loads(message_document().whole(body))["type"] == "message"
    assert json.loads(response_document().whole(body))["object"] == "response"
    for make, ends in ((message_stream, "message_stop"), (response_stream, "response.completed")):
        events = [json.loads(one) for one in data_of(make().whole(body))]
        assert events[-1]["type"] == ends
        assert "Bonjour" in json.dumps(events)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>", b'"\xff"', b'{"choices": "\xff"}'])
@pytest.mark.parametrize("make", SHAPES)
def test_what_is_no_document_is_an_error_of_the_runner_s(
    make: Callable[[], Any], body: bytes
) -> None:
    with pytest.raises(RunnerError, match="not a JSON object"):
        make().whole(body)


@pytest.mark.parametrize("make", SHAPES)
def test_a_document_that_reports_an_error_is_that_error(make: Callable[[], Any]) -> None:
    with pytest.raises(RunnerError, match="out of memory"):
        make().whole(b'{"error": {"message": "out of memory"}}')


@pytest.mark.parametrize("make", [passed, message_stream, response_stream])
def test_a_document_without_an_end_is_no_whole_answer(make: Callable[[], Any]) -> None:
    unfinished = {
        **CHAT,
        "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": None}],
    }
    with pytest.raises(RunnerError, match="before the answer was whole"):
        make().whole(dumped(unfinished).encode())


# Whatever an upstream sends.

names = st.sampled_from(
    ["choices", "usage", "timings", "delta", "message", "tool_calls", "content", "finish_reason", "index", "id",
     "object", "created", "function", "arguments", "name", "logprobs", "prompt_progress", "text", "role", "x",
     "prompt_tokens", "completion_tokens", "reasoning_content", "refusal", "prompt_n", "cache_n", "predicted_n",
     "prompt_tokens_details", "cached_tokens", "stop_reason", "total_tokens", "type"]
)  # fmt: skip
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "stop", "tool_calls", "function", "{}", "assistant"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=14,
)
chunks = st.dictionaries(names, anything, max_size=6) | st.builds(
    lambda choices, usage: {"choices": choices, "usage": usage},
    st.lists(st.dictionaries(names, anything, max_size=5), max_size=2),
    anything,
)


@pytest.mark.parametrize("make", SHAPES)
@settings(max_examples=150)
@given(sent=st.lists(chunks, max_size=4))
def test_no_chunk_whatsoever_breaks_a_shape(make: Callable[[], Any], sent: list[Any]) -> None:
    """A bug here would be an internal_error to the client, for what its upstream did."""
    shape = make()
    assert isinstance(fed(shape, [b"".join(map(event, sent))]), bytes)
    try:
        assert isinstance(shape.finish(), bytes)
    except RempartError:
        pass


@pytest.mark.parametrize("make", SHAPES)
@settings(max_examples=150)
@given(sent=chunks)
def test_no_document_whatsoever_breaks_a_shape(make: Callable[[], Any], sent: Any) -> None:
    shape = make()
    try:
        assert isinstance(shape.whole(dumped(sent).encode()), bytes)
    except RempartError:
        pass


@pytest.mark.parametrize(
    "data", ["\ud800".encode("utf-8", "surrogatepass"), b'{"error":"\xff"}', b'{"a":[DONE]}']
)
@pytest.mark.parametrize("make", SHAPES)
def test_an_event_that_is_no_chunk_is_left_out_and_counted(
    make: Callable[[], Any], data: bytes
) -> None:
    shape = make()
    shape.feed(b'data: {"timings":' + data + b"\n\n" + event(content("a")) + event(END))
    assert shape.malformed_count == 1
    assert shape.error is None
    shape.finish()


# Documents that go through as they are.


def test_a_whole_document_goes_through_untouched_and_its_usage_is_read() -> None:
    body = b'{"object": "list",  "data": [ ], "usage": {"prompt_tokens": 7, "total_tokens": 7}}'
    shape = WholeDocument(is_runner=True)
    assert shape.whole(body) is body
    assert shape.prompt_tokens == 7
    assert not shape.is_stream


@pytest.mark.parametrize("place", ["end", "start", "nowhere", "broken", "no text"])
def test_of_a_large_document_only_both_ends_are_looked_at(place: str) -> None:
    numbers = b'"data":[' + b"0.1," * 100_000 + b"0]"
    usage = b'"usage":{"prompt_tokens":7}'
    body = {
        "end": b"{" + numbers + b"," + usage + b"}",
        "start": b"{" + usage + b"," + numbers + b"}",
        "nowhere": b"{" + numbers + b"}",
        "broken": b"{" + numbers + b',"usage":{prompt_tokens}}',
        "no text": b"{" + numbers + b',"usage":{"a":"\xff"}}',
    }[place]
    shape = WholeDocument(is_runner=True)
    assert shape.whole(body) is body
    assert shape.prompt_tokens == (7 if place in ("end", "start") else None)


def test_a_stream_where_none_was_asked_for_is_an_error() -> None:
    shape = WholeDocument(is_runner=False)
    for act in (lambda: shape.feed(b"data: x\n\n"), shape.finish):
        with pytest.raises(UpstreamError, match="no stream"):
            act()


def test_what_is_seen_first_is_nothing() -> None:
    shape = Observer(is_runner=True)
    assert (shape.chunk_count, shape.malformed_count, shape.finish_reason, shape.error) == (
        0,
        0,
        "",
        None,
    )
