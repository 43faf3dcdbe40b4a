"""Accepting: among processes, and without descriptors."""

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.http1_serving import until
from rempart.net.http1.acceptor import Acceptor
from rempart.net.http1.owner import TaskOwner


class Greeter(asyncio.Protocol):
    """Says hello and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"hello")
        transport.close()


class CountedSocket(socket.socket):
    """A listener that counts how often it is asked."""

    asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        type(self).asked += 1
        return super().accept()


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """So many more may be opened in this block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    filler = []
    try:
        while True:  # fill the holes below
            number = os.open("/dev/null", os.O_RDONLY)
            filler.append(number)
            if number > highest:
                break
        resource.setrlimit(resource.RLIMIT_NOFILE, (filler[-1] + 1 + count, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in filler:
            os.close(number)


async def greeting(client: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(client, 100)


def make(listeners: list[socket.socket], tasks: TaskOwner) -> Acceptor:
    return Acceptor(
        listeners,
        None,
        tasks=tasks,
        new_connection=lambda peer, port: Greeter(),
        handshake_s=1.0,
        closing_s=1.0,
        pending_max=100,
        pending_per_address_max=100,
        on_crowded=lambda peer: None,
    )


def connect(listener: socket.socket, count: int) -> list[socket.socket]:
    clients = [socket.create_connection(listener.getsockname()) for _ in range(count)]
    for client in clients:
        client.setblocking(False)
    return clients


def test_without_descriptors_it_waits_and_goes_on(run: Callable) -> None:
    """The listening socket stays readable all the while: asking it again at once would spin."""

    async def main() -> None:
        CountedSocket.asked = 0
        tasks = TaskOwner()
        await tasks.open()
        listener = CountedSocket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        clients = connect(listener, 3)
        acceptor = make([listener], tasks)
        with descriptors_left(0):
            acceptor.start()
            await until(lambda: acceptor.pauses == 2)
            assert acceptor.accepted == 0
            assert CountedSocket.asked == 2
        assert [await greeting(client) for client in clients] == [b"hello"] * 3
        for client in clients:
            client.close()
        acceptor.stop()
        await tasks.close()

    run(main())


def test_stopping_in_a_pause_stays_stopped(run: Callable) -> None:
    async def main() -> None:
        tasks = TaskOwner()
        await tasks.open()
        listener = socket.create_server(("127.0.0.1", 0))
        clients = connect(listener, 1)
        acceptor = make([listener], tasks)
        with descriptors_left(0):
            acceptor.start()
            await until(lambda: acceptor.pauses == 1)
            acceptor.stop()
            acceptor.stop()
        for client in clients:
            client.close()
        await tasks.close()

    run(main())


def test_several_share_one_socket(run: Callable) -> None:
    """Each connection is taken by one; who comes too late notices nothing."""

    async def main() -> None:
        tasks = TaskOwner()
        await tasks.open()
        listener = socket.create_server(("127.0.0.1", 0))
        acceptors = [make([listener.dup()], tasks) for _ in range(3)]
        clients = connect(listener, 20)
        for acceptor in acceptors:
            acceptor.start()
        assert [await greeting(client) for client in clients] == [b"hello"] * 20
        assert sum(acceptor.accepted for acceptor in acceptors) == 20
        assert all(acceptor.accepted for acceptor in acceptors)
        for acceptor in acceptors:
            acceptor.stop()
        for client in clients:
            client.close()
        listener.close()
        await tasks.close()

    run(main())


def test_several_sockets_are_served_by_one(run: Callable) -> None:
    async def main() -> None:
        tasks = TaskOwner()
        await tasks.open()
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        clients = [client for listener in listeners for client in connect(listener, 2)]
        acceptor = make(listeners, tasks)
        acceptor.start()
        assert [await greeting(client) for client in clients] == [b"hello"] * 4
        acceptor.stop()
        for client in clients:
            client.close()
        await tasks.close()

    run(main())
