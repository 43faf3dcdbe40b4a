"""A child finds its descriptors, its welcome, and every message main sent while it was being built."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from lab.exchanges import when
from rempart.processes import messages
from rempart.processes.arguments import Inherited, Link
from rempart.processes.channel import Channel

WELCOME = messages.Welcome(
    settings=b"{}",
    name="worker-1",
    generation=1,
    run_dir="/r",
    log_file="",
    peppers=[],
    started_at_s=1.0,
)


def test_what_was_inherited_is_used_and_not_handed_on() -> None:
    ours, theirs = socket.socketpair()
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [listener.getsockname() for listener in listeners]
    numbers = [os.dup(one.fileno()) for one in (theirs, *listeners)]
    for one in (theirs, *listeners):
        one.close()
    for number in numbers:
        os.set_inheritable(number, True)
    found = Inherited(
        ["--parent", "1", "--channel", str(numbers[0]), "--listen", f"{numbers[1]},{numbers[2]}"]
    )
    assert [listener.getsockname() for listener in found.listeners] == addresses
    assert not any(os.get_inheritable(number) for number in numbers)
    assert not any(listener.getblocking() for listener in found.listeners)
    found.channel.sendall(b"x")
    assert ours.recv(1) == b"x"
    for one in (ours, found.channel, *found.listeners):
        one.close()


def test_a_child_without_listeners_has_none() -> None:
    ours, theirs = socket.socketpair()
    found = Inherited(["--channel", str(theirs.detach()), "--listen", ""])
    assert found.listeners == []
    found.channel.close()
    ours.close()


@pytest.mark.parametrize("arguments", [[], ["--channel", "x"], ["--listen", "1"]])
def test_a_child_that_was_not_started_by_main_says_so(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        Inherited(arguments)
    assert "--channel" in capsys.readouterr().err


class Main:
    """Main's end of the channel."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.channel: Channel[Any] = Channel(
            messages.ToMain, on_message=self.heard.append, on_closed=lambda: None
        )


async def linked() -> tuple[Main, Link, socket.socket]:
    ours, theirs = socket.socketpair()
    main = Main()
    await main.channel.open(ours)
    return main, Link(), theirs


def listening(link: Link) -> tuple[list[Any], list[str]]:
    heard: list[Any] = []
    closed: list[str] = []
    link.listen(heard.append, lambda: closed.append("closed"))
    return heard, closed


def test_the_welcome_comes_first_and_messages_that_came_early_are_kept_in_order() -> None:
    async def body() -> None:
        main, link, theirs = await linked()
        sent = [
            messages.Drain(grace_s=1.0),
            messages.ReopenLog(),
            messages.Stop(grace_s=2.0),
            messages.Drain(grace_s=3.0),
        ]
        main.channel.send(WELCOME)
        for message in sent[:3]:
            main.channel.send(message)
        assert await link.open(theirs) == WELCOME
        await when(lambda: len(link._early) == 3)
        heard, closed = listening(link)
        main.channel.send(sent[3])
        link.send(messages.Ready())
        await when(lambda: len(heard) == 4 and main.heard)
        assert heard == sent
        assert main.heard == [messages.Ready()]
        assert closed == []
        link.close()
        await when(lambda: closed and not main.channel.is_open)

    asyncio.run(body())


def test_main_that_ends_before_the_welcome_ends_the_child() -> None:
    async def body() -> None:
        main, link, theirs = await linked()
        main.channel.close()
        with pytest.raises(ConnectionError, match="main ended before"):
            await link.open(theirs)

    asyncio.run(body())


def at_once(main: Main) -> None:
    main.channel.close()


def after_more(main: Main) -> None:
    main.channel.send(messages.ReopenLog())
    main.channel.close()


@pytest.mark.parametrize("ends", [at_once, after_more])
@pytest.mark.parametrize("is_built", [True, False])
def test_main_s_end_is_heard_once_whenever_it_comes(
    ends: Callable[[Main], None], is_built: bool
) -> None:
    """Also while the child is still being built and nobody listens yet."""

    async def body() -> None:
        main, link, theirs = await linked()
        main.channel.send(WELCOME)
        await link.open(theirs)
        if is_built:
            heard, closed = listening(link)
            ends(main)
            await when(lambda: closed)
        else:
            ends(main)
            await when(lambda: link._is_closed)
            heard, closed = listening(link)
        assert closed == ["closed"]
        assert len(heard) == (1 if ends is after_more else 0)
        link.send(messages.Ready())  # dropped

    asyncio.run(body())
