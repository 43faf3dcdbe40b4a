"""One exchange without a server: real request, reply and exchange, whose bytes stay in a list.

For tests of single steps. Must be made in a running event loop, whose time its clock tells.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from rempart.base.clock import Clock
from rempart.gateway.exchange import Call, Exchange, Shape
from rempart.net.http1.body import Body, LengthDecoder
from rempart.net.http1.head import checked_head
from rempart.net.http1.messages import Request
from rempart.net.http1.reply import Reply


class Wire:
    """The connection's part: what was written, and how the answer ended."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.times_s: list[float] = []
        """The loop's time at each write."""
        self.is_over = False
        self.is_aborted = False

    @property
    def data(self) -> bytes:
        """All bytes, head and chunk frames too."""
        return b"".join(self.writes)

    @property
    def head(self) -> bytes:
        """Status line and headers."""
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def chunks(self) -> list[bytes]:
        """The chunks of a chunked answer so far, the last one left out."""
        rest = self.data.partition(b"\r\n\r\n")[2]
        found = []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if length:
                found.append(rest[:length])
            rest = rest[length + 2 :]
        return found

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.times_s.append(asyncio.get_running_loop().time())

    # What the reply asks of its connection, and the body of its own.

    def date_line(self) -> bytes:
        return b""

    def must_end(self) -> bool:
        return False

    def reply_ended(self, *, closes: bool) -> None:
        self.is_over = True

    def reply_aborted(self) -> None:
        self.is_aborted = True

    def wants_body(self, *, asks_to_continue: bool) -> None:
        pass

    def has_body(self) -> None:
        pass


class LoopClock:
    """``now()`` is the running loop's own time; ``wall()`` follows it."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> Any:
        from lab.sim_loop import SimClock

        return SimClock().wall()


def exchange_of(
    target: str = "/v1/chat/completions",
    *,
    method: str = "",
    headers: dict[str, str] | None = None,
    body: Any = None,
    clock: Clock | None = None,
    request_id: str = "0199-request",
) -> tuple[Exchange, Wire]:
    """An exchange and the wire that its reply writes to.

    Args:
        method: GET without a body, else POST, unless given.
        body: bytes, or a value that becomes JSON.
    """
    loop = asyncio.get_running_loop()
    raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    method = method or ("GET" if body is None else "POST")
    lines = {"host": "test", **(headers or {})}
    if body is not None:
        lines = {"content-type": "application/json", "content-length": str(len(raw)), **lines}
    head = checked_head(
        method.encode(),
        target.encode("latin-1"),
        "1.1",
        [(name.lower().encode(), value.encode("utf-8")) for name, value in lines.items()],
        f"{method} {target} HTTP/1.1".encode("latin-1"),
    )
    wire = Wire()
    reply = Reply(
        wire,
        wire.write,
        loop,
        is_head_request=method == "HEAD",
        is_1_0=False,
        is_kept_1_0=False,
    )
    found: Body | None = None
    if body is not None:
        found = Body(
            wire,
            LengthDecoder(len(raw)),
            content_length=len(raw),
            expects_continue=False,
            new_future=loop.create_future,
        )
        if raw:
            found.feed(raw)
    exchange = Exchange(Request(head, found, "192.0.2.7", 40000), reply, clock or LoopClock())
    exchange.id = "01990000-0000-7000-8000-000000000000"
    exchange.request_id = request_id
    exchange.timestamp = "2026-11-24T16:00:00.000Z"
    return exchange, wire


def call_of(
    *, model: str = "near", stream: bool = True, shape: Shape | None = None, **more: Any
) -> Call:
    """A call as chat's operation would make it."""
    return Call(
        model=model,
        endpoint=more.pop("endpoint", "/chat/completions"),
        stream=stream,
        document=more.pop("document", {"messages": []}),
        shape=shape,
        **more,
    )


def when(predicate: Callable[[], Any], timeout_s: float = 5.0) -> "asyncio.Future[None]":
    """Await that something becomes true; for tests in real time."""

    async def wait() -> None:
        async with asyncio.timeout(timeout_s):
            while not predicate():
                await asyncio.sleep(0.005)

    return asyncio.ensure_future(wait())
