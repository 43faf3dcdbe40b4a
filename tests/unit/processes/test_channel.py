"""Frames arrive whole and in order however they are cut, and the other end's death is always heard."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.exchanges import when
from rempart.processes import channel, messages
from rempart.processes.channel import FRAME_BYTES_MAX, Channel
from rempart.runners import interface

encode = msgspec.msgpack.encode


def frame(message: Any) -> bytes:
    data = encode(message)
    return struct.pack(">I", len(data)) + data


class Heard:
    """One end of a channel and what came over it."""

    def __init__(self, incoming: Any = messages.FromMain) -> None:
        self.messages: list[Any] = []
        self.closed_count = 0
        self.channel: Channel[Any] = Channel(
            incoming, on_message=self.messages.append, on_closed=self.closed
        )

    def closed(self) -> None:
        self.closed_count += 1


Run = Callable[[Coroutine[Any, Any, None]], list[dict[str, Any]]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run on both loops that processes have; gives what the loop had to complain of."""

    def go(body: Coroutine[Any, Any, None]) -> list[dict[str, Any]]:
        complaints: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.get_loop().set_exception_handler(lambda _, one: complaints.append(one))
            runner.run(body)
        return complaints

    return go


texts = st.text(max_size=40)
said = st.one_of(
    st.builds(messages.Drain, grace_s=st.floats(0, 100)),
    st.builds(messages.ReopenLog),
    st.builds(messages.Answer, number=st.integers(0, 9), lines=st.lists(texts, max_size=4)),
    st.builds(
        interface.SlotPlace,
        ticket=st.integers(0, 2**63),
        place=st.integers(1, 99),
        predicted_wait_s=st.floats(0, 9),
    ),
)


@settings(max_examples=200)
@given(st.lists(said, max_size=8), st.lists(st.integers(0, 500), max_size=40))
def test_frames_cut_anywhere_are_the_same_messages_in_order(
    sent: list[Any], cuts: list[int]
) -> None:
    stream = b"".join(frame(message) for message in sent)
    heard = Heard()
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    for start, end in pairwise(places):
        heard.channel.data_received(stream[start:end])
    assert heard.messages == sent


@given(st.lists(said, min_size=1, max_size=4))
def test_byte_by_byte_nothing_is_told_before_it_is_whole(sent: list[Any]) -> None:
    heard = Heard()
    for message in sent:
        for byte in frame(message)[:-1]:
            heard.channel.data_received(bytes([byte]))
        count = len(heard.messages)
        heard.channel.data_received(frame(message)[-1:])
        assert heard.messages[count:] == [message]


def test_both_ends_talk(run: Run) -> None:
    async def body() -> None:
        left, right = socket.socketpair()
        main, child = Heard(messages.ToMain), Heard(messages.FromMain)
        await main.channel.open(left)
        await child.channel.open(right)
        assert main.channel.is_open
        lines = [f"line {number}" * 100 for number in range(2000)]
        main.channel.send(messages.Answer(number=1, lines=lines))
        main.channel.send(messages.ReopenLog())
        child.channel.send(messages.Heartbeat(in_flight=7))
        await when(lambda: len(child.messages) == 2 and main.messages)
        assert child.messages == [messages.Answer(number=1, lines=lines), messages.ReopenLog()]
        assert main.messages == [messages.Heartbeat(in_flight=7)]
        child.channel.close()
        await when(lambda: main.closed_count and child.closed_count)
        assert (main.closed_count, child.closed_count) == (1, 1)
        assert not main.channel.is_open

    assert run(body()) == []


def test_what_was_sent_before_closing_still_arrives(run: Run) -> None:
    async def body() -> None:
        left, right = socket.socketpair()
        main, child = Heard(messages.ToMain), Heard(messages.FromMain)
        await main.channel.open(left)
        large = messages.Answer(number=1, lines=["x" * 3_000_000])
        main.channel.send(large)
        main.channel.close()
        main.channel.send(messages.ReopenLog())  # too late: dropped
        await child.channel.open(right)
        await when(lambda: child.closed_count)
        assert child.messages == [large]
        await when(lambda: main.closed_count)

    assert run(body()) == []


def test_a_message_before_opening_and_after_closing_is_dropped(run: Run) -> None:
    async def body() -> None:
        left, right = socket.socketpair()
        one = Heard()
        one.channel.send(messages.ReopenLog())
        one.channel.close()
        await one.channel.open(left)
        right.close()
        await when(lambda: one.closed_count)
        one.channel.send(messages.ReopenLog())
        one.channel.close()
        assert one.closed_count == 1

    assert run(body()) == []


def test_the_other_end_s_death_is_heard_once_also_in_the_middle_of_a_frame(run: Run) -> None:
    async def body() -> None:
        left, right = socket.socketpair()
        one = Heard()
        await one.channel.open(left)
        right.sendall(frame(messages.ReopenLog()) + frame(messages.Drain(grace_s=1.0))[:-1])
        right.close()
        await when(lambda: one.closed_count)
        assert one.messages == [messages.ReopenLog()]
        assert one.closed_count == 1

    assert run(body()) == []


@pytest.mark.parametrize(
    "rubbish",
    [
        struct.pack(">I", FRAME_BYTES_MAX + 1) + b"x",
        b"\xff" * 8,
        struct.pack(">I", 1) + b"\xc1",
        frame(messages.Heartbeat(in_flight=1)),  # only main may be sent it
        struct.pack(">I", 0),
    ],
    ids=["oversized", "not a length", "not MessagePack", "not for us", "empty"],
)
def test_what_is_no_message_closes_the_channel(run: Run, rubbish: bytes) -> None:
    async def body() -> None:
        left, right = socket.socketpair()
        one = Heard(messages.FromMain)
        await one.channel.open(left)
        right.sendall(frame(messages.ReopenLog()) + rubbish + frame(messages.ReopenLog()))
        await when(lambda: one.closed_count)
        assert one.messages == [messages.ReopenLog()]
        assert not one.channel.is_open
        right.close()

    complaints = run(body())
    assert len(complaints) == 1
    assert isinstance(complaints[0]["exception"], (ValueError, msgspec.DecodeError))


def test_a_frame_of_the_largest_size_is_taken_and_a_larger_one_is_never_sent() -> None:
    one = Heard(messages.FromMain)
    room = FRAME_BYTES_MAX - len(encode(messages.Answer(number=1, lines=["x" * 2**16]))) + 2**16
    one.channel.data_received(frame(messages.Answer(number=1, lines=["x" * room])))
    assert len(one.messages[0].lines[0]) == room

    class Transport:
        written = b""

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return 0

        def write(self, data: bytes) -> None:
            self.written += data

    transport = Transport()
    one.channel.connection_made(transport)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"{FRAME_BYTES_MAX + 1} bytes"):
        one.channel.send(messages.Answer(number=1, lines=["x" * (room + 1)]))
    assert transport.written == b""


def test_a_peer_that_reads_nothing_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is bounded; main's memory must not grow for a worker that stands still."""
    monkeypatch.setattr(channel, "UNSENT_BYTES_MAX", 2**20)

    async def body() -> None:
        left, right = socket.socketpair()
        one = Heard()
        await one.channel.open(left)
        message = messages.Answer(number=1, lines=["x" * 2**16])
        sent = 0
        while one.channel.is_open:
            one.channel.send(message)
            sent += 1
            assert sent < 100
        await when(lambda: one.closed_count)
        assert 2**20 < sent * 2**16 < 2**22
        right.close()

    assert run(body()) == []
