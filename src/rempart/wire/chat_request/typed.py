"""The bodies as types: what converts to them is sound, at a few microseconds.

They accept nothing that the rules in ``rules.py`` refuse; a property test holds both together.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rempart.wire.faults import MESSAGES_COUNT_MAX, PROMPTS_COUNT_MAX, TOOLS_COUNT_MAX

Tokens = Annotated[int, Meta(ge=1, le=10**9)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
StopText = Annotated[str, Meta(min_length=1, max_length=1024)]
Stop = StopText | Annotated[list[StopText], Meta(max_length=16)]
FunctionName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,128}\Z")]
SchemaName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
CallId = Annotated[str, Meta(min_length=1, max_length=256)]
ShortText = Annotated[str, Meta(max_length=512)]
NotEmpty = Annotated[str, Meta(min_length=1)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
    Meta(max_length=16),
]


class _Text(Struct, tag="text", tag_field="type", gc=False):
    text: str


class _Refusal(Struct, tag="refusal", tag_field="type", gc=False):
    refusal: str


class _Url(Struct):
    url: NotEmpty
    detail: ShortText | None = None


class _Image(Struct, tag="image_url", tag_field="type"):
    image_url: _Url


class _AudioData(Struct):
    data: NotEmpty
    format: ShortText | None = None


class _Audio(Struct, tag="input_audio", tag_field="type"):
    input_audio: _AudioData


class _Video(Struct, tag="video_url", tag_field="type"):
    video_url: _Url


class _AudioUrl(Struct, tag="audio_url", tag_field="type"):
    audio_url: _Url


class _FileData(Struct):
    file_data: NotEmpty
    filename: ShortText | None = None


class _File(Struct, tag="file", tag_field="type"):
    file: _FileData


Part = _Text | _Refusal | _Image | _Audio | _Video | _AudioUrl | _File
Content = str | list[Part]


class _CalledFunction(Struct):
    name: FunctionName
    arguments: str


class _FunctionCall(Struct, tag="function", tag_field="type"):
    id: CallId
    function: _CalledFunction


class _CalledCustom(Struct):
    name: FunctionName
    input: str


class _CustomCall(Struct, tag="custom", tag_field="type"):
    id: CallId
    custom: _CalledCustom


ToolCall = _FunctionCall | _CustomCall


class _System(Struct, tag="system", tag_field="role"):
    content: Content
    name: ShortText | None = None


class _Developer(Struct, tag="developer", tag_field="role"):
    content: Content
    name: ShortText | None = None


class _User(Struct, tag="user", tag_field="role"):
    content: Content
    name: ShortText | None = None


class Assistant(Struct, tag="assistant", tag_field="role"):
    """An earlier answer; it says something, or calls a tool."""

    content: Content | None = None
    name: ShortText | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: _CalledFunction | None = None


class _Tool(Struct, tag="tool", tag_field="role"):
    content: Content
    tool_call_id: CallId


class _Function(Struct, tag="function", tag_field="role"):
    content: str | None
    name: FunctionName


Message = _System | _Developer | _User | Assistant | _Tool | _Function


class _FunctionShape(Struct):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _FunctionTool(Struct, tag="function", tag_field="type"):
    function: _FunctionShape


class _CustomShape(Struct):
    name: FunctionName
    description: str | None = None
    format: dict[str, Any] | None = None


class _CustomTool(Struct, tag="custom", tag_field="type"):
    custom: _CustomShape


class _Named(Struct):
    name: FunctionName


class _ChooseFunction(Struct, tag="function", tag_field="type"):
    function: _Named


class _ChooseCustom(Struct, tag="custom", tag_field="type"):
    custom: _Named


class _Allowed(Struct):
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class _ChooseAllowed(Struct, tag="allowed_tools", tag_field="type"):
    allowed_tools: _Allowed


class _TextFormat(Struct, tag="text", tag_field="type"):
    pass


class _JsonFormat(Struct, tag="json_object", tag_field="type"):
    schema: dict[str, Any] | None = None


class _Schema(Struct):
    name: SchemaName | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class _SchemaFormat(Struct, tag="json_schema", tag_field="type"):
    json_schema: _Schema


class _StreamOptions(Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Sampling(Struct):
    """What chat and completions have alike; ``model`` is looked up, and so checked, elsewhere."""

    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Bias], Meta(max_length=1024)] | None = None
    max_tokens: Tokens | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    user: ShortText | None = None
    # Extras of llama.cpp and vLLM that are costly or have bounds of their own.
    grammar: Annotated[str, Meta(max_length=65536)] | None = None
    min_p: Share | None = None
    top_k: Annotated[int, Meta(ge=-1, le=10**6)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class Chat(_Sampling, kw_only=True):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=MESSAGES_COUNT_MAX)]
    logprobs: bool | None = None
    max_completion_tokens: Tokens | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    response_format: _TextFormat | _JsonFormat | _SchemaFormat | None = None
    tool_choice: (
        Literal["none", "auto", "required"]
        | _ChooseFunction
        | _ChooseCustom
        | _ChooseAllowed
        | None
    ) = None
    tools: Annotated[list[_FunctionTool | _CustomTool], Meta(max_length=TOOLS_COUNT_MAX)] | None = (
        None
    )
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class Completion(_Sampling, kw_only=True):
    """``POST /v1/completions``."""

    # Token ids are rare, and a union of lists is beyond msgspec: the rules look at them.
    prompt: str | Annotated[list[str], Meta(min_length=1, max_length=PROMPTS_COUNT_MAX)]
    best_of: Annotated[int, Meta(ge=1, le=128)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    suffix: str | None = None
