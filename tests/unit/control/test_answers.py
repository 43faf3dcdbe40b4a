"""The outermost layer, around applications that misbehave."""

import asyncio
import json
from typing import Any

import pytest

from rempart.base.clock import SystemClock
from rempart.base.ids import Ids
from rempart.control import answers
from rempart.control.answers import Answers, App, Message
from rempart.domain.keys import ALL_SCOPES, Principal


class Sent:
    """What went out, and the bugs that were reported."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.bugs: list[Exception] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def code(self) -> str:
        return str(json.loads(self.messages[1]["body"])["error"]["code"])


async def receive() -> Message:
    raise AssertionError("nothing is read")


def wrap(app: App, sent: Sent) -> Answers:
    clock = SystemClock()
    return Answers(
        app,
        authenticate=lambda headers, is_local, address: Principal(id="x", scopes=ALL_SCOPES),
        clock=clock,
        ids=Ids(clock),
        report=lambda bug, request_id: sent.bugs.append(bug),
    )


def request(**headers: str) -> dict[str, Any]:
    found = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "GET", "path": "/", "headers": found, "server": ("h", 1)}


def test_a_bug_before_the_answer_is_an_answer() -> None:
    sent = Sent()

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError

    asyncio.run(wrap(broken, sent)(request(), receive, sent.send))
    assert (sent.status, sent.code, len(sent.bugs)) == (500, "internal_error", 1)


def test_a_bug_in_the_middle_ends_the_connection() -> None:
    sent = Sent()

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is the very same
        asyncio.run(wrap(broken, sent)(request(), receive, sent.send))
    assert (len(sent.messages), len(sent.bugs)) == (1, 1)


def test_a_bug_after_the_answer_is_only_reported() -> None:
    sent = Sent()

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b"x"})
        raise ValueError

    asyncio.run(wrap(broken, sent)(request(), receive, sent.send))
    assert (len(sent.messages), len(sent.bugs)) == (3, 1)


def test_a_large_body_is_refused_before_it_is_read() -> None:
    sent = Sent()

    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("not reached")

    asyncio.run(wrap(never, sent)(request(content_length="1048577"), receive, sent.send))
    assert (sent.status, sent.code) == (413, "body_too_large")


def test_one_request_too_many_is_refused_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "UNDER_WAY_MAX", 1)

    async def scenario() -> None:
        first, second, third = Sent(), Sent(), Sent()
        is_there, may_end = asyncio.Event(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            is_there.set()
            await may_end.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        app = wrap(slow, first)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(app(request(), receive, first.send))
            await is_there.wait()
            await app(request(), receive, second.send)
            may_end.set()
        await app(request(), receive, third.send)
        assert (first.status, second.status, second.code, third.status) == (
            200,
            503,
            "overloaded",
            200,
        )

    asyncio.run(scenario())


def test_other_kinds_of_traffic_pass_untouched() -> None:
    sent, seen = Sent(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    asyncio.run(wrap(app, sent)({"type": "lifespan"}, receive, sent.send))
    assert seen == [{"type": "lifespan"}]
