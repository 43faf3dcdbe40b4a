"""The same bodies by rules: slower, and every wrong field gets its sentence."""

from collections.abc import Callable, Mapping
from typing import Any

from rempart.wire import faults
from rempart.wire.faults import Faults, Rule

_PENALTY = faults.number(-2, 2)
_SHORT = faults.text(512)
_CALL_ID = faults.text(256, least=1)
_LOGIT_BIAS = Rule(
    "an object of up to 1024 numbers from -100 to 100",
    lambda value: (
        isinstance(value, dict)
        and len(value) <= 1024
        and all(faults.number(-100, 100).holds(bias) for bias in value.values())
    ),
)
_STOP = faults.either(faults.text(1024, least=1), faults.STOP_TEXTS)

_SAMPLING: dict[str, Rule] = {
    "frequency_penalty": _PENALTY,
    "logit_bias": _LOGIT_BIAS,
    "max_tokens": faults.TOKENS,
    "n": faults.whole(1, 128),
    "presence_penalty": _PENALTY,
    "seed": faults.SEED,
    "stop": _STOP,
    "stream": faults.BOOLEAN,
    "temperature": faults.TEMPERATURE,
    "top_p": faults.SHARE,
    "user": _SHORT,
    "grammar": faults.text(65536),
    "min_p": faults.SHARE,
    "top_k": faults.whole(-1, 10**6),
    "chat_template_kwargs": faults.OBJECT,
}
_CHAT = _SAMPLING | {
    "logprobs": faults.BOOLEAN,
    "max_completion_tokens": faults.TOKENS,
    "metadata": faults.METADATA,
    "parallel_tool_calls": faults.BOOLEAN,
    "reasoning_effort": faults.one_of("none", "minimal", "low", "medium", "high", "xhigh"),
    "top_logprobs": faults.whole(0, 20),
}
_COMPLETION = _SAMPLING | {
    "best_of": faults.whole(1, 128),
    "echo": faults.BOOLEAN,
    "logprobs": faults.whole(0, 20),
    "suffix": faults.TEXT,
}
_STREAM_OPTIONS = {"include_usage": faults.BOOLEAN, "include_obfuscation": faults.BOOLEAN}

_TOKEN_IDS = faults.list_of(faults.whole(0, 2**31 - 1), 1 << 20, least=1)
_PROMPT = Rule(
    f"a text, a list of 1 to {faults.PROMPTS_COUNT_MAX} texts, or token ids",
    faults.either(
        faults.TEXT,
        faults.list_of(faults.TEXT, faults.PROMPTS_COUNT_MAX, least=1),
        _TOKEN_IDS,
        faults.list_of(_TOKEN_IDS, faults.PROMPTS_COUNT_MAX, least=1),
    ).holds,
)
INPUTS_COUNT_MAX = 2048
_EMBEDDED = Rule(
    f"a text, a list of 1 to {INPUTS_COUNT_MAX} texts, none empty, or token ids",
    faults.either(
        faults.TEXT_NOT_EMPTY,
        faults.list_of(faults.TEXT_NOT_EMPTY, INPUTS_COUNT_MAX, least=1),
        _TOKEN_IDS,
        faults.list_of(_TOKEN_IDS, INPUTS_COUNT_MAX, least=1),
    ).holds,
)
_EMBEDDINGS = {
    "dimensions": faults.whole(1, 65536),
    "encoding_format": faults.one_of("float", "base64"),
    "user": _SHORT,
}
_DOCUMENTS = Rule(
    f"a list of 1 to {INPUTS_COUNT_MAX} texts, or objects with a text",
    faults.list_of(
        faults.either(
            faults.TEXT,
            Rule("", lambda value: isinstance(value, dict) and isinstance(value.get("text"), str)),
        ),
        INPUTS_COUNT_MAX,
        least=1,
    ).holds,
)
_RERANK = {
    "top_n": faults.whole(1, 10**6),
    "return_documents": faults.BOOLEAN,
    "user": _SHORT,
}

_CONTENT = Rule("a text or a list of parts", lambda value: isinstance(value, str | list))
_TYPED = Rule(
    "an object with a type",
    lambda value: isinstance(value, dict) and isinstance(value.get("type"), str),
)
_ROLE = faults.one_of("system", "developer", "user", "assistant", "tool", "function")
_URL = {"url": faults.TEXT_NOT_EMPTY}
_DETAIL = {"detail": _SHORT}
# A part's type → its member, what that must hold, and what it may.
_PARTS: Mapping[str, tuple[str, Mapping[str, Rule], Mapping[str, Rule]]] = {
    "image_url": ("image_url", _URL, _DETAIL),
    "video_url": ("video_url", _URL, _DETAIL),
    "audio_url": ("audio_url", _URL, _DETAIL),
    "input_audio": ("input_audio", {"data": faults.TEXT_NOT_EMPTY}, {"format": _SHORT}),
    "file": ("file", {"file_data": faults.TEXT_NOT_EMPTY}, {"filename": _SHORT}),
}
_PART_TYPE = faults.one_of("text", "refusal", *_PARTS)
_CALL_TYPE = faults.one_of("function", "custom")
_SCHEMA_MEMBERS = {
    "name": faults.pattern("1 to 64 letters, digits, _ or -", r"[A-Za-z0-9_-]{1,64}"),
    "schema": faults.OBJECT,
    "description": faults.TEXT,
    "strict": faults.BOOLEAN,
}


def check_chat(body: Mapping[str, Any], wrong: Faults) -> None:
    """Every wrong field of a chat request."""
    messages = wrong.required(body, "messages", "", faults.MESSAGES)
    for index, message in enumerate(messages or ()):
        path = f"messages[{index}]"
        if wrong.check(path, message, faults.OBJECT):
            _message(message, f"{path}.", wrong)
    wrong.check_members(body, _CHAT, "")
    _stream_options(body, wrong)
    _response_format(body.get("response_format"), wrong)
    names = _tools(body.get("tools"), wrong)
    _tool_choice(body.get("tool_choice"), names, wrong)
    if body.get("top_logprobs") is not None and body.get("logprobs") is not True:
        wrong.add(
            "logprobs", "true where top_logprobs is given", body.get("logprobs", faults.MISSING)
        )


def check_completion(body: Mapping[str, Any], wrong: Faults) -> None:
    """Every wrong field of a completion request."""
    wrong.required(body, "prompt", "", _PROMPT)
    wrong.check_members(body, _COMPLETION, "")
    _stream_options(body, wrong)
    best_of, n = body.get("best_of"), body.get("n")
    if type(best_of) is int and best_of > (n if type(n) is int else 1):
        # The rest would be generated and thrown away; and answers are always streamed inside.
        wrong.add("best_of", "no more than n", best_of)


def check_embeddings(body: Mapping[str, Any], wrong: Faults) -> None:
    """Every wrong field of an embeddings request."""
    wrong.required(body, "input", "", _EMBEDDED)
    wrong.check_members(body, _EMBEDDINGS, "")


def check_rerank(body: Mapping[str, Any], wrong: Faults) -> None:
    """Every wrong field of a rerank request."""
    wrong.required(body, "query", "", faults.TEXT_NOT_EMPTY)
    wrong.required(body, "documents", "", _DOCUMENTS)
    wrong.check_members(body, _RERANK, "")


def _stream_options(body: Mapping[str, Any], wrong: Faults) -> None:
    options = body.get("stream_options")
    if options is not None and wrong.check("stream_options", options, faults.OBJECT):
        wrong.check_members(options, _STREAM_OPTIONS, "stream_options.")


def _message(message: dict[str, Any], place: str, wrong: Faults) -> None:
    role = wrong.required(message, "role", place, _ROLE)
    if role is None:
        return
    if role == "assistant":
        _assistant(message, place, wrong)
    elif role == "function":
        wrong.required(message, "name", place, faults.FUNCTION_NAME)
        wrong.required(
            message,
            "content",
            place,
            Rule("a text or null", lambda v: v is None or isinstance(v, str)),
        )
    else:
        _content(wrong.required(message, "content", place, _CONTENT), f"{place}content", wrong)
        if role == "tool":
            wrong.required(message, "tool_call_id", place, _CALL_ID)
    if role not in ("tool", "function"):
        wrong.check_members(message, {"name": _SHORT}, place)


def _assistant(message: dict[str, Any], place: str, wrong: Faults) -> None:
    says = [
        message.get(name) for name in ("content", "refusal", "reasoning_content", "function_call")
    ]
    calls = message.get("tool_calls")
    if not calls and all(value is None for value in says):
        wrong.add(
            f"{place}content",
            "a text where no tool is called",
            message.get("content", faults.MISSING),
        )
    content = message.get("content")
    if content is not None and wrong.check(f"{place}content", content, _CONTENT):
        _content(content, f"{place}content", wrong)
    wrong.check_members(message, {"refusal": faults.TEXT, "reasoning_content": faults.TEXT}, place)
    function_call = message.get("function_call")
    if function_call is not None and wrong.check(
        f"{place}function_call", function_call, faults.OBJECT
    ):
        _called(function_call, "arguments", f"{place}function_call.", wrong)
    if calls is None or not wrong.check(f"{place}tool_calls", calls, faults.LIST):
        return
    for index, call in enumerate(calls):
        path = f"{place}tool_calls[{index}]"
        if not wrong.check(path, call, _TYPED):
            continue
        wrong.required(call, "id", f"{path}.", _CALL_ID)
        kind = wrong.required(call, "type", f"{path}.", _CALL_TYPE)
        if kind is not None:
            called = wrong.required(call, kind, f"{path}.", faults.OBJECT)
            if called is not None:
                member = "arguments" if kind == "function" else "input"
                _called(called, member, f"{path}.{kind}.", wrong)


def _called(called: dict[str, Any], member: str, place: str, wrong: Faults) -> None:
    wrong.required(called, "name", place, faults.FUNCTION_NAME)
    wrong.required(called, member, place, faults.TEXT)


def _content(content: Any, path: str, wrong: Faults) -> None:
    if not isinstance(content, list):
        return
    for index, part in enumerate(content):
        place = f"{path}[{index}]"
        if not wrong.check(place, part, _TYPED):
            continue
        kind = wrong.required(part, "type", f"{place}.", _PART_TYPE)
        if kind in ("text", "refusal"):
            wrong.required(part, kind, f"{place}.", faults.TEXT)
        elif kind is not None:
            member, must, may = _PARTS[kind]
            medium = wrong.required(part, member, f"{place}.", faults.OBJECT)
            if medium is not None:
                for name, rule in must.items():
                    wrong.required(medium, name, f"{place}.{member}.", rule)
                wrong.check_members(medium, may, f"{place}.{member}.")


def _response_format(form: Any, wrong: Faults) -> None:
    if form is None or not wrong.check("response_format", form, faults.OBJECT):
        return
    kind = wrong.required(
        form, "type", "response_format.", faults.one_of("text", "json_object", "json_schema")
    )
    if kind == "json_object":
        wrong.check_members(form, {"schema": faults.OBJECT}, "response_format.")
    elif kind == "json_schema":
        schema = wrong.required(form, "json_schema", "response_format.", faults.OBJECT)
        if schema is not None:
            wrong.check_members(schema, _SCHEMA_MEMBERS, "response_format.json_schema.")


_TOOL_MEMBERS: Mapping[str, Mapping[str, Rule]] = {
    "function": {
        "description": faults.TEXT,
        "parameters": faults.OBJECT,
        "strict": faults.BOOLEAN,
    },
    "custom": {"description": faults.TEXT, "format": faults.OBJECT},
}


def _tools(tools: Any, wrong: Faults) -> set[str]:
    """Checks the tools; gives the names there are."""
    names: set[str] = set()
    if tools is None or not wrong.check("tools", tools, faults.TOOLS):
        return names
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        if not wrong.check(place, tool, _TYPED):
            continue
        kind = wrong.required(tool, "type", f"{place}.", _CALL_TYPE)
        shape = wrong.required(tool, kind, f"{place}.", faults.OBJECT) if kind is not None else None
        if shape is not None:
            name = wrong.required(shape, "name", f"{place}.{kind}.", faults.FUNCTION_NAME)
            wrong.check_members(shape, _TOOL_MEMBERS[kind], f"{place}.{kind}.")
            if name is not None:
                names.add(name)
    return names


def _tool_choice(choice: Any, names: set[str], wrong: Faults) -> None:
    if choice in (None, "none", "auto"):
        return
    if choice == "required":
        if not names:
            wrong.add("tools", "at least one tool where tool_choice is required", faults.MISSING)
        return
    expected = "none, auto, required, or an object of type function, custom or allowed_tools"
    if not wrong.check("tool_choice", choice, Rule(expected, _TYPED.holds)):
        return
    kind = wrong.required(
        choice, "type", "tool_choice.", faults.one_of("function", "custom", "allowed_tools")
    )
    if kind is None:
        return
    named = wrong.required(choice, kind, "tool_choice.", faults.OBJECT)
    if named is None:
        return
    place = f"tool_choice.{kind}."
    if kind == "allowed_tools":
        wrong.required(named, "mode", place, faults.one_of("auto", "required"))
        wrong.required(named, "tools", place, faults.list_of(faults.OBJECT, 1024))
        return
    name = wrong.required(named, "name", place, faults.FUNCTION_NAME)
    if name is not None and name not in names:
        wrong.add(f"{place}name", "the name of one of the tools", name)


Check = Callable[[Mapping[str, Any], Faults], None]
