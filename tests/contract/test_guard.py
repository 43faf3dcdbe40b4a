"""The guard in the way: every endpoint, streamed and not, before a real worker's every object."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from lab.gateway import KEY, Gateway, running_gateway
from lab.guard_texts import PEM
from lab.http_client import Answer, Connection, request
from rempart.settings.protection import Guard

MASKS = Guard(
    secrets="mask", personal_data="mask", secrets_in_answers="mask", personal_data_in_answers="mask"
)
REFUSES = Guard(secrets="refuse", personal_data="refuse")
SECRET = "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"  # GitHub's own example, of 2021
TOLD = "Écrivez à jean.dupont@exemple.fr ou au 06 12 34 56 78, carte 4111 1111 1111 1111."
MASKED = "Écrivez à [EMAIL] ou au [PHONE], carte [CARD]."


def run(body: Callable[[Gateway], Awaitable[None]], folder: Path, guard: Guard = MASKS) -> None:
    async def scenario() -> None:
        async with running_gateway(folder, guard=guard) as gateway:
            await body(gateway)
            await gateway.until_idle()

    uvloop.run(scenario())


def chat(
    *, stream: bool, script: str = "", content: Any = "Bonjour", **more: Any
) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return {"model": "far", "messages": messages, "stream": stream, "user": script, **more}


async def post(gateway: Gateway, body: Any, path: str = "/v1/chat/completions") -> Answer:
    return await request(gateway.port, "POST", path, key=KEY, body=body)


def spoken(text: str, size: int, member: str = "content", index: int = 0) -> list[Any]:
    return [
        [{"index": index, "delta": {member: text[at : at + size]}, "finish_reason": None}]
        for at in range(0, len(text), size)
    ]


def chunks_of(answer: Answer) -> list[dict[str, Any]]:
    assert answer.events[-1] == "[DONE]"
    return [json.loads(one) for one in answer.events[:-1]]


def text_of(answer: Answer, member: str = "content", index: int = 0) -> str:
    return "".join(
        choice["delta"].get(member) or ""
        for chunk in chunks_of(answer)
        for choice in chunk["choices"]
        if choice["index"] == index
    )


def sent_on(gateway: Gateway) -> dict[str, Any]:
    body = gateway.upstream.requests[-1]["body"]
    assert isinstance(body, dict)
    return body


@pytest.mark.requirement("check-injection")
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_streamed_answer_is_masked_however_it_is_cut(tmp_path: Path, size: int) -> None:
    async def body(gateway: Gateway) -> None:
        gateway.upstream.choices = spoken(TOLD, size)
        answer = await post(gateway, chat(stream=True))
        assert text_of(answer) == MASKED
        assert chunks_of(answer)[-1]["choices"][0]["finish_reason"] == "stop"
        (record,) = gateway.records
        assert record.guard == {
            "prompt.secrets": "passed",
            "prompt.personal_data": "passed",
            "answer.secrets": "passed",
            "answer.personal_data": "masked:3",
        }
        assert record.guard_findings == {"answer.email": 1, "answer.phone": 1, "answer.card": 1}

    run(body, tmp_path)


def test_bytes_that_come_one_by_one_are_masked_too(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        gateway.upstream.choices = spoken(TOLD, 9)
        answer = await post(gateway, chat(script="drip=1 crlf", stream=True))
        assert text_of(answer) == MASKED

    run(body, tmp_path)


def test_an_answer_in_one_document_is_masked(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        gateway.upstream.choices = spoken(TOLD, 5)
        answer = await post(gateway, chat(stream=False))
        assert answer.json["choices"][0]["message"]["content"] == MASKED
        whole = [[{"index": 0, "message": {"role": "assistant", "content": TOLD}, "finish_reason": "stop",
                   "logprobs": {"content": [{"token": TOLD}]}}]]  # fmt: skip
        for stream in (False, True):
            gateway.upstream.choices = whole
            answer = await post(gateway, chat(script="document", stream=stream))
            assert TOLD[:20] not in answer.body.decode()
            assert "jean" not in answer.body.decode()
        assert gateway.records[-1].guard["answer.personal_data"] == "masked:3"

    run(body, tmp_path)


def test_choices_reasoning_and_arguments_are_texts_of_their_own(tmp_path: Path) -> None:
    arguments = json.dumps({"à": "a\njean@x.fr", "n": 4111111111111111})

    def call(number: int, piece: str) -> dict[str, Any]:
        function = {"name": "envoie", "arguments": piece}
        return {"index": number, "id": f"c{number}", "type": "function", "function": function}

    parts: list[list[Any]] = []
    for at in range(0, len(TOLD), 4):
        piece = TOLD[at : at + 4]
        parts.append([{"index": 0, "delta": {"reasoning_content": piece}, "finish_reason": None}])
        parts.append([{"index": 1, "delta": {"content": piece}, "finish_reason": None}])
    for at in range(0, len(arguments), 3):
        piece = arguments[at : at + 3]
        parts.append(
            [{"index": 0, "delta": {"tool_calls": [call(0, piece)]}, "finish_reason": None}]
        )
    parts.append([{"index": 1, "delta": {}, "finish_reason": "stop"}])

    async def body(gateway: Gateway) -> None:
        gateway.upstream.choices = parts
        answer = await post(gateway, chat(stream=True, n=2))
        assert text_of(answer, "reasoning_content") == MASKED
        assert text_of(answer, "content", 1) == MASKED
        pieces = [
            one["function"]["arguments"]
            for chunk in chunks_of(answer)
            for choice in chunk["choices"]
            for one in choice["delta"].get("tool_calls", ())
            if "arguments" in one.get("function", {})
        ]
        assert json.loads("".join(pieces)) == {"à": "a\n[EMAIL]", "n": "[CARD]"}
        gateway.upstream.choices = parts
        whole = await post(gateway, chat(stream=False, n=2))
        message = whole.json["choices"][0]["message"]
        assert message["reasoning_content"] == MASKED
        assert json.loads(message["tool_calls"][0]["function"]["arguments"])["n"] == "[CARD]"

    run(body, tmp_path)


def test_what_would_tell_the_masked_text_is_left_out(tmp_path: Path) -> None:
    choice = {
        "index": 0,
        "delta": {"content": "jean@x.fr "},
        "finish_reason": None,
        "logprobs": {"content": [{"token": "jean", "logprob": -1, "top_logprobs": []}]},
        "token_ids": [1, 2],
        "x_note": "jean@x.fr",
    }

    async def body(gateway: Gateway) -> None:
        for stream in (True, False):
            gateway.upstream.choices = [[choice]]
            answer = await post(gateway, chat(stream=stream, logprobs=True))
            assert b"jean" not in answer.body
            assert b"token_ids" not in answer.body

    run(body, tmp_path)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("stream", [True, False])
def test_other_protocols_are_masked_before_they_are_made(
    tmp_path: Path, path: str, stream: bool
) -> None:
    messages = [{"role": "user", "content": f"Ma clé est {SECRET}"}]
    document: dict[str, Any] = {"model": "far", "stream": stream}
    if path == "/v1/messages":
        document |= {"max_tokens": 9, "messages": messages}
    else:
        document |= {"input": messages}

    async def body(gateway: Gateway) -> None:
        gateway.upstream.choices = spoken(TOLD, 2) + spoken(PEM, 50) + spoken(" fin", 4)
        answer = await post(gateway, document, path)
        assert answer.status == 200
        prompt = json.dumps(sent_on(gateway)["messages"])
        assert "[GITHUB_TOKEN]" in prompt
        assert SECRET not in prompt
        assert "jean" not in answer.body.decode()
        assert "MIIE" not in answer.body.decode()
        expected = MASKED + "[PRIVATE_KEY] fin"
        if path == "/v1/messages":
            if stream:
                events = [json.loads(one) for one in answer.events]
                said = "".join(
                    one["delta"].get("text", "")
                    for one in events
                    if one["type"] == "content_block_delta"
                )
            else:
                said = answer.json["content"][0]["text"]
        elif stream:
            response = json.loads(answer.events[-1])["response"]
            said = response["output"][0]["content"][0]["text"]
            deltas = [json.loads(one) for one in answer.events if "output_text.delta" in one]
            assert "".join(one["delta"] for one in deltas) == expected
        else:
            said = answer.json["output"][0]["content"][0]["text"]
        assert said == expected

    run(body, tmp_path)


def test_every_text_of_a_prompt_is_masked(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        messages = [
            {"role": "system", "content": TOLD},
            {"role": "user", "name": "x", "content": [
                {"type": "text", "text": TOLD},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {
                    "name": "f", "arguments": '{"to": "\\njean@x.fr", "n": 4111111111111111}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": '{"mail": "\\njean@x.fr"}'},
        ]  # fmt: skip
        tools = [{"type": "function", "function": {"name": "f", "description": TOLD, "parameters": {
            "type": "object", "properties": {"jean@x.fr": {"type": "string", "default": SECRET}}}}}]  # fmt: skip
        await post(gateway, {"model": "far", "messages": messages, "tools": tools})
        sent = sent_on(gateway)
        assert sent["messages"][0]["content"] == MASKED
        assert sent["messages"][1]["content"][0]["text"] == MASKED
        assert sent["messages"][1]["content"][1]["image_url"]["url"].endswith("AAAA")
        arguments = sent["messages"][2]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(arguments) == {"to": "\n[EMAIL]", "n": "[CARD]"}
        assert sent["messages"][3] == {
            "role": "tool", "tool_call_id": "c1", "content": '{"mail": "\\n[EMAIL]"}',
        }  # fmt: skip
        function = sent["tools"][0]["function"]
        assert function["description"] == MASKED
        assert function["parameters"]["properties"] == {
            "[EMAIL]": {"type": "string", "default": "[GITHUB_TOKEN]"}
        }
        record = gateway.records[-1]
        assert record.guard["prompt.media"] == "skipped"
        assert record.guard["prompt.secrets"] == "masked:1"

    run(body, tmp_path)


@pytest.mark.parametrize(
    ("path", "member", "value", "masked"),
    [
        ("/v1/completions", "prompt", TOLD, MASKED),
        ("/v1/completions", "prompt", [TOLD, "b"], [MASKED, "b"]),
        ("/v1/embeddings", "input", [TOLD], [MASKED]),
        ("/v1/rerank", "documents", ["a", TOLD], ["a", MASKED]),
    ],
)
def test_every_endpoint_masks_its_prompt(
    tmp_path: Path, path: str, member: str, value: Any, masked: Any
) -> None:
    async def body(gateway: Gateway) -> None:
        document: dict[str, Any] = {"model": "far", member: value}
        if path == "/v1/rerank":
            document["query"] = TOLD
        answer = await post(gateway, document, path)
        assert answer.status == 200, answer.body
        assert sent_on(gateway)[member] == masked
        assert sent_on(gateway).get("query", MASKED) == MASKED

    run(body, tmp_path)


def test_a_completion_is_masked(tmp_path: Path) -> None:
    parts = [[{"index": 0, "text": TOLD[at : at + 3], "logprobs": {"tokens": ["jean"]},
               "finish_reason": None}] for at in range(0, len(TOLD), 3)]  # fmt: skip

    async def body(gateway: Gateway) -> None:
        for stream in (True, False):
            document = {"model": "far", "prompt": "a", "stream": stream}
            gateway.upstream.choices = parts
            answer = await post(gateway, document, "/v1/completions")
            assert b"jean" not in answer.body
            if stream:
                said = "".join(one["choices"][0]["text"] for one in chunks_of(answer))
            else:
                said = answer.json["choices"][0]["text"]
            assert said == MASKED

    run(body, tmp_path)


def test_a_refused_prompt_names_kinds_and_places_and_never_the_text(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        content = [{"type": "text", "text": "a"}, {"type": "text", "text": f"{TOLD} {SECRET}"}]
        answer = await post(gateway, chat(stream=True, content=content))
        assert answer.status == 400
        error = answer.json["error"]
        assert error["code"] == "prompt_rejected"
        assert error["param"] == "messages[0].content[1].text"
        assert error["details"]["kinds"] == ["card", "email", "github_token", "phone"]
        assert answer.headers["x-should-retry"] == "false"
        for found in ("jean", "4111", "06 12", SECRET[4:]):
            assert found not in answer.body.decode()
        assert gateway.upstream.request_count == 0
        (record,) = gateway.records
        assert record.error_code == "prompt_rejected"
        assert record.guard == {"prompt.secrets": "refused", "prompt.personal_data": "refused"}

    run(body, tmp_path, REFUSES)


def test_what_was_not_looked_at_is_never_called_passed(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        await post(gateway, {"x": TOLD}, "/generate")
        assert set(gateway.records[-1].guard.values()) == {"skipped"}
        await post(gateway, {"model": "far", "input": "a"}, "/v1/embeddings")
        assert gateway.records[-1].guard["answer.secrets"] == "skipped"
        assert gateway.records[-1].guard["prompt.secrets"] == "passed"
        await post(gateway, {"model": "far", "prompt": [1, 2, 3]}, "/v1/completions")
        assert gateway.records[-1].guard["prompt.token_ids"] == "skipped"
        await post(gateway, chat(script="status=400", stream=True))
        assert gateway.records[-1].guard["answer.secrets"] == "skipped"
        await post(gateway, chat(stream=True), "/v1/nowhere")
        assert gateway.records[-1].guard == {}

    run(body, tmp_path)


def test_with_nothing_on_nothing_is_said_and_nothing_wrapped(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        gateway.upstream.choices = spoken(TOLD, 3)
        answer = await post(gateway, chat(stream=True))
        assert text_of(answer) == TOLD
        assert gateway.records[-1].guard == {}
        assert gateway.worker.entry._way._guard is None

    run(body, tmp_path, Guard())


def test_usage_comes_after_the_end_and_only_when_asked_for(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        for asks in (True, False):
            options = {"stream_options": {"include_usage": True}} if asks else {}
            gateway.upstream.choices = spoken(TOLD, 3)
            answer = await post(gateway, chat(stream=True, **options))
            chunks = chunks_of(answer)
            assert ("usage" in chunks[-1]) is asks
            assert chunks[-2 if asks else -1]["choices"][0]["finish_reason"] == "stop"
            assert text_of(answer) == MASKED

    run(body, tmp_path)


def test_an_answer_that_breaks_off_ends_with_an_error_and_keeps_what_is_held(
    tmp_path: Path,
) -> None:
    async def body(gateway: Gateway) -> None:
        parts = spoken("Bonjour, ma carte est 4111 1111 11", 5)
        gateway.upstream.choices = parts
        answer = await post(gateway, chat(script="then=cut", stream=True))
        assert "4111" not in answer.body.decode()
        assert json.loads(answer.events[-1])["error"]["code"] == "upstream_error"

    run(body, tmp_path)


def test_a_long_wait_lets_a_word_go_and_comments_stand_between_events(tmp_path: Path) -> None:
    guard = Guard(personal_data_in_answers="mask", hold_ms_max=20)

    async def body(gateway: Gateway) -> None:
        parts = spoken("Bonjour", 100)
        gateway.upstream.choices = parts
        document = chat(script="then=stall", stream=True)
        connection = await Connection.open(gateway.port)
        await connection.send("POST", "/v1/chat/completions", key=KEY, body=document)
        async with asyncio.timeout(5):
            got = b""
            while b"Bonjour" not in got:
                got += await connection.reader.read(4096)
        await connection.close()

    run(body, tmp_path, guard)


def test_findings_are_counted_by_part_detector_and_kind(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        gateway.upstream.choices = spoken(TOLD, 3)
        await post(gateway, chat(stream=True, content=SECRET))
        metrics = await request(gateway.port, "GET", "/metrics", key=KEY)
        for line in (
            'rempart_guard_findings_total{part="answer",detector="personal_data",kind="email"} 1',
            'rempart_guard_findings_total{part="prompt",detector="secrets",kind="github_token"} 1',
        ):
            assert line in metrics.body.decode()

    run(body, tmp_path)


def test_a_prompt_of_a_megabyte_leaves_others_their_turn(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.ensure_future(count())
        await post(gateway, chat(stream=True, content="mot " * 200_000 + SECRET))
        counter.cancel()
        assert sent_on(gateway)["messages"][0]["content"].endswith("mot [GITHUB_TOKEN]")
        assert turns > 40

    run(body, tmp_path)
