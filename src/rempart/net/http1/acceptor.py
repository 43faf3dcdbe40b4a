"""Takes connections from listening sockets that other processes may share.

Our own loop around ``accept`` instead of the event loop's server: uvloop treats a failed accept as
the end of the listening socket, and both would take a whole backlog at once although another process
may be idle.
"""

import asyncio
import socket
import ssl as tls
from collections.abc import Callable
from contextlib import suppress

from rempart.net.http1.owner import TaskOwner

_PAUSE_S = 0.5


class Acceptor:
    """Accepts one connection per wake-up, so that idle processes get their share.

    Args:
        sockets: listening; theirs from now on.
        tls_context: when the connections speak TLS.
        tasks: owns what is between accept and the protocol's ``connection_made``.
        new_connection: makes the protocol for an address and port; it must bear to be told twice that
            its connection is lost.
        handshake_s: bound of a TLS handshake.
        closing_s: bound of TLS's own goodbye, in which what is unsent still goes out.
        pending_max: connections that may be in their handshake; above, accepting pauses.
        pending_per_address_max: and of one address (IPv6: one /64); above, they are closed at once.
        on_crowded: is told the address of each that was closed for that.

    Attributes:
        accepted: connections so far.
        handshakes_failed: how many of them got no further than their handshake.
        pauses: how often it paused because the process or machine had no descriptor or memory left.
    """

    __slots__ = (
        "_closing_s",
        "_handshake_s",
        "_loop",
        "_new_connection",
        "_of_address",
        "_on_crowded",
        "_pause_timer",
        "_pending",
        "_pending_max",
        "_pending_per_address_max",
        "_sockets",
        "_tasks",
        "_tls",
        "accepted",
        "handshakes_failed",
        "pauses",
    )

    def __init__(
        self,
        sockets: list[socket.socket],
        tls_context: tls.SSLContext | None,
        *,
        tasks: TaskOwner,
        new_connection: Callable[[str, int], asyncio.Protocol],
        handshake_s: float,
        closing_s: float,
        pending_max: int,
        pending_per_address_max: int,
        on_crowded: Callable[[str], None],
    ) -> None:
        self._sockets = sockets
        self._tls = tls_context
        self._tasks = tasks
        self._new_connection = new_connection
        self._handshake_s = handshake_s
        self._closing_s = closing_s
        self._pending_max = pending_max
        self._pending_per_address_max = pending_per_address_max
        self._on_crowded = on_crowded
        self._pending = 0
        self._of_address: dict[bytes | str, int] = {}  # in their handshake; at most _pending_max
        self._loop = asyncio.get_running_loop()
        self._pause_timer: asyncio.TimerHandle | None = None
        self.accepted = 0
        self.handshakes_failed = 0
        self.pauses = 0

    def start(self) -> None:
        """Begins to accept, or goes on after a pause."""
        self._pause_timer = None
        for listener in self._sockets:
            listener.setblocking(False)
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def stop(self) -> None:
        """Closes the listening sockets of this process."""
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_timer = None
        sockets, self._sockets = self._sockets, []
        for listener in sockets:
            self._loop.remove_reader(listener.fileno())
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was faster, or the client has gone
        except OSError:
            self._pause()
            return
        self.accepted += 1
        accepted.setblocking(False)
        peer, port = "", 0
        if accepted.family != socket.AF_UNIX:
            peer, port = address[0], address[1]
            # One chunk, one packet: without it a chunk waits for the acknowledgement of the last.
            with suppress(OSError):  # it may be reset already
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None and self._is_crowded(peer):
            # Nobody counts a connection as its address's before the handshake is done: without this,
            # one address could hold all the room there is for handshakes.
            accepted.close()
            self._on_crowded(peer)
            return
        self._pending += 1
        self._tasks.start(self._connect(accepted, peer, port))
        if self._pending >= self._pending_max:
            self._pause()

    async def _connect(self, accepted: socket.socket, peer: str, port: int) -> None:
        protocol = self._new_connection(peer, port)
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_s if self._tls is not None else None,
                ssl_shutdown_timeout=self._closing_s if self._tls is not None else None,
            )
        except BaseException as error:
            self.handshakes_failed += self._tls is not None
            # No handshake came out of it, or it was cancelled. uvloop then closes the socket without
            # telling the protocol, even when that was told of the connection already.
            accepted.close()
            protocol.connection_lost(None)
            if not isinstance(error, Exception):
                raise
        finally:
            self._pending -= 1
            if self._tls is not None:
                self._count(peer, -1)

    def _is_crowded(self, peer: str) -> bool:
        if peer and self._of_address.get(network_of(peer), 0) >= self._pending_per_address_max:
            return True
        self._count(peer, 1)
        return False

    def _count(self, peer: str, change: int) -> None:
        address = network_of(peer)
        count = self._of_address.get(address, 0) + change
        if count:
            self._of_address[address] = count
        else:
            del self._of_address[address]

    def _pause(self) -> None:
        """A listening socket stays readable when accept fails (EMFILE, …): asking at once would spin."""
        if self._pause_timer is None:
            self.pauses += 1
            for listener in self._sockets:
                self._loop.remove_reader(listener.fileno())
            self._pause_timer = self._loop.call_later(_PAUSE_S, self.start)


def network_of(peer: str) -> bytes | str:
    """What counts as one address: of IPv6 the /64, since one customer has all of it."""
    if ":" not in peer:
        return peer
    packed = socket.inet_pton(socket.AF_INET6, peer.partition("%")[0])
    return packed if packed[:12] == b"\0" * 10 + b"\xff\xff" else packed[:8]
