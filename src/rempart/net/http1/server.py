"""The server: accepts, hands requests to one handler, counts, drains, ends.

Several processes may accept from the same listening sockets. Nothing here or below knows what the
requests are about.
"""

import asyncio
import select
import socket
import ssl as tls
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import format_datetime

from rempart.base.clock import Clock, SystemClock
from rempart.net.http1.acceptor import Acceptor, network_of
from rempart.net.http1.connection import Connection
from rempart.net.http1.errors import PeerClosed
from rempart.net.http1.framing import closing_answer
from rempart.net.http1.limits import ServerLimits
from rempart.net.http1.messages import Headers, Request
from rempart.net.http1.owner import TaskOwner
from rempart.net.http1.reply import Reply
from rempart.net.http1.rules import Refusal, Rule

__all__ = [
    "Handler",
    "Headers",
    "Refusal",
    "Reply",
    "Request",
    "Rule",
    "Server",
    "ServerLimits",
    "ServerStatistics",
]

Handler = Callable[[Request, Reply], Awaitable[None]]

_HANG_UP_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """A server's figures at one moment.

    Attributes:
        connections: open now.
        requests_active: handlers that have not returned.
        accepted: connections since the start.
        requests: requests since the start.
        refused: refusals since the start, by rule (bounded by the rules there are).
        stalled: connections dropped because the client took no byte.
        accept_pauses: how often accepting had to pause for want of descriptors or memory.
        handshakes_failed: connections that got no further than their TLS handshake.
    """

    connections: int
    requests_active: int
    accepted: int
    requests: int
    refused: dict[str, int]
    stalled: int
    accept_pauses: int
    handshakes_failed: int


class Server:
    """An HTTP/1.1 server for one handler.

    Args:
        handler: is awaited for each request, in a task of its own; it must end the reply or abort it.
        limits: bounds of connections and requests.
        refusal_answer: headers and body of an answer to what the protocol layer refuses.
        on_refused: is told of each refusal, for log and counters.
        on_error: is told of an exception that a handler raised, which is a bug; by default the event
            loop's exception handler is. The client gets a 500, or its connection is closed.
        clock: for the Date header.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: ServerLimits,
        refusal_answer: Callable[[Refusal], tuple[Headers, bytes]],
        on_refused: Callable[[Refusal], None] | None = None,
        on_error: Callable[[Exception, Request], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.limits = limits
        self.loop: asyncio.AbstractEventLoop
        self.is_draining = False
        self.is_closing = False
        self._handler = handler
        self._refusal_answer = refusal_answer
        self._on_refused = on_refused
        self._on_error = on_error
        self._clock = clock or SystemClock()
        self._tasks = TaskOwner()
        self._acceptors: list[Acceptor] = []
        self._connections: set[Connection] = set()
        self._of_address: dict[bytes | str, int] = {}
        self._deaf: set[Connection] = set()
        self._deaf_timer: asyncio.TimerHandle | None = None
        self._date = b""
        self._date_second = -1
        self._requests_active = 0
        self._requests = 0
        self._refused: dict[str, int] = {}
        self._stalled = 0
        self._quiet: asyncio.Event | None = None

    async def serve(self, sockets: list[socket.socket], ssl: tls.SSLContext | None = None) -> None:
        """Starts to accept on listening sockets, TCP or Unix, and returns; ``close`` must follow.

        May be called again for other sockets, with or without TLS. They are this server's from now on:
        ``stop_accepting`` closes them.
        """
        self.loop = asyncio.get_running_loop()
        await self._tasks.open()
        acceptor = Acceptor(
            sockets,
            ssl,
            tasks=self._tasks,
            new_connection=self._new_connection,
            handshake_s=self.limits.header_read_s,
            closing_s=self.limits.write_stall_s,
            pending_max=self.limits.connections_max + self.limits.refusals_max,
            pending_per_address_max=min(
                self.limits.handshakes_per_address_max, self.limits.connections_per_address_max
            ),
            on_crowded=self._crowded,
        )
        self._acceptors.append(acceptor)
        acceptor.start()

    def stop_accepting(self) -> None:
        """Closes the listening sockets of this process; what is connected goes on."""
        for acceptor in self._acceptors:
            acceptor.stop()

    async def drain(self, idle_s: float = 5.0, grace_s: float = 30.0) -> bool:
        """Stops accepting and waits for the requests that run; True when all have ended.

        An idle connection stays open for ``idle_s`` or until its next answer, which says
        ``Connection: close``: closing it at once would lose the request that is just on its way.

        Args:
            idle_s: seconds for idle connections.
            grace_s: seconds for everything; False when requests still run then.
        """
        self.stop_accepting()
        self.is_draining = True
        began = self.loop.time()
        self._quiet = asyncio.Event()
        idle_timer = self.loop.call_at(began + min(idle_s, grace_s), self._close_idle)
        try:
            async with asyncio.timeout_at(began + grace_s):
                while self._connections:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            pass
        finally:
            idle_timer.cancel()
        return self._requests_active == 0

    async def close(self) -> None:
        """Cancels the handlers that still run, closes every connection."""
        self.stop_accepting()
        self.is_closing = True
        await self._tasks.close()
        for connection in tuple(self._connections):
            connection.abort()
        while self._connections:
            self._quiet = asyncio.Event()
            await self._quiet.wait()
        if self._deaf_timer is not None:
            self._deaf_timer.cancel()

    def statistics(self) -> ServerStatistics:
        """The figures now."""
        return ServerStatistics(
            connections=len(self._connections),
            requests_active=self._requests_active,
            accepted=sum(acceptor.accepted for acceptor in self._acceptors),
            requests=self._requests,
            refused=dict(self._refused),
            stalled=self._stalled,
            accept_pauses=sum(acceptor.pauses for acceptor in self._acceptors),
            handshakes_failed=sum(acceptor.handshakes_failed for acceptor in self._acceptors),
        )

    # For the connections.

    def connection_made(self, connection: Connection) -> bool:
        """Counts it; False when it is one too many and was told so, or comes too late."""
        if self.is_closing:
            connection.abort()
            return False
        self._connections.add(connection)
        address = connection.address
        count = self._of_address.get(address, 0) + 1
        self._of_address[address] = count
        limits = self.limits
        excess = len(self._connections) - limits.connections_max
        if excess > 0:
            rule = Rule.CONNECTIONS
        elif connection.peer and count > limits.connections_per_address_max:
            rule = Rule.CONNECTIONS_OF_ADDRESS
            excess = count - limits.connections_per_address_max
        else:
            return True
        if excess > limits.refusals_max:
            connection.abort()
        else:
            connection.refuse(rule)
        return False

    def connection_lost(self, connection: Connection) -> None:
        """It is gone; told again, nothing happens."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        left = self._of_address.get(connection.address, 1) - 1
        if left:
            self._of_address[connection.address] = left
        else:
            self._of_address.pop(connection.address, None)
        if not self._connections and self._quiet is not None:
            self._quiet.set()

    def run(self, connection: Connection, request: Request, reply: Reply) -> None:
        """Starts the handler."""
        self._requests += 1
        self._tasks.start(self._run(connection, request, reply))

    def refused(self, refusal: Refusal) -> bytes:
        """Counts a refusal and makes its answer, which ends the connection."""
        try:
            self._count_refused(refusal)
            headers, body = self._refusal_answer(refusal)
            return closing_answer(refusal.status, headers, self.date_line(), body)
        except Exception as error:
            self.loop.call_exception_handler(
                {"message": "a refusal's answer failed", "exception": error}
            )
            return closing_answer(refusal.status, [], self.date_line(), b"")

    def _count_refused(self, refusal: Refusal) -> None:
        name = refusal.rule.name
        self._refused[name] = self._refused.get(name, 0) + 1
        if self._on_refused is not None:
            self._on_refused(refusal)

    def _crowded(self, peer: str) -> None:
        """Closed before its handshake, so that no answer was possible."""
        self._count_refused(Refusal(Rule.CONNECTIONS_OF_ADDRESS, peer))

    def count_stalled(self) -> None:
        """A client took no byte for too long."""
        self._stalled += 1

    def date_line(self) -> bytes:
        """The Date header of this second."""
        second = int(self.loop.time())
        if second != self._date_second:
            self._date_second = second
            self._date = b"date: %b\r\n" % format_datetime(self._clock.wall(), usegmt=True).encode()
        return self._date

    def watch(self, connection: Connection) -> None:
        """Looks for a hang-up of a connection whose socket is not read, four times a second."""
        self._deaf.add(connection)
        if self._deaf_timer is None:
            self._deaf_timer = self.loop.call_later(_HANG_UP_POLL_S, self._poll_deaf)

    def unwatch(self, connection: Connection) -> None:
        """It is read again, or gone."""
        self._deaf.discard(connection)

    async def _run(self, connection: Connection, request: Request, reply: Reply) -> None:
        self._requests_active += (
            1  # not earlier: a task that is cancelled before it runs never ends
        )
        try:
            await self._handler(request, reply)
            if not (reply.is_ended or reply.is_gone or connection.refuse_request()):
                raise RuntimeError("the handler returned without an answer")
        except PeerClosed:
            pass  # nobody is left to be told, or a pending refusal is told below
        except Exception as error:
            self._report(error, request)
            if not (reply.is_started or reply.is_gone):
                connection.refuse(Rule.INTERNAL)
        finally:
            if not reply.is_ended:
                reply.abort()
            self._requests_active -= 1
            connection.request_ended()

    def _report(self, error: Exception, request: Request) -> None:
        try:
            if self._on_error is not None:
                self._on_error(error, request)
                return
        except Exception as another:
            error = another
        message = f"handler failed at {request.method} {request.path}"
        self.loop.call_exception_handler({"message": message, "exception": error})

    def _new_connection(self, peer: str, peer_port: int) -> Connection:
        return Connection(self, peer, peer_port, network_of(peer))

    def _close_idle(self) -> None:
        for connection in tuple(self._connections):
            connection.close_when_idle()

    def _poll_deaf(self) -> None:
        self._deaf_timer = None
        poll = select.poll()
        by_fd = {}
        for connection in self._deaf:
            fd = connection.fileno()
            if fd >= 0:
                by_fd[fd] = connection
                poll.register(fd, select.POLLRDHUP)
        for fd, _ in poll.poll(0):
            by_fd[fd].abort()
        if self._deaf:
            self._deaf_timer = self.loop.call_later(_HANG_UP_POLL_S, self._poll_deaf)
