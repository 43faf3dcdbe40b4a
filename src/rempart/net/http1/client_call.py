"""A request under way, as its sender holds it."""

from typing import cast

from rempart.net.http1.client_protocol import ClientConnection, Receiver
from rempart.net.http1.head import Headers


class ClientCall:
    """One request under way. Its receiver is called until ``on_end``, ``on_lost`` or ``cancel``.

    It lets go of the request's bytes as soon as they cannot be needed again, since an answer may be
    under way for minutes, and of the receiver at the end, so that the two are no cycle.
    """

    __slots__ = (
        "_connection",
        "_is_over",
        "_receiver",
        "body",
        "is_head_request",
        "is_paused",
        "may_resend",
        "request",
    )

    def __init__(
        self, request: bytes, body: bytes, receiver: Receiver, *, is_head_request: bool
    ) -> None:
        self.request = request
        self.body = body
        self.is_head_request = is_head_request
        self.may_resend = False
        self._receiver: Receiver | None = receiver
        self._connection: ClientConnection | None = None
        self.is_paused = False
        self._is_over = False

    def pause(self) -> None:
        """Stops reading the socket, so that the upstream is held back by its own full buffers."""
        if not self.is_paused:
            self.is_paused = True
            if self._connection is not None and self._connection.is_usable:
                self._connection.transport.pause_reading()

    def resume(self) -> None:
        """Reads again."""
        if self.is_paused:
            self.is_paused = False
            if self._connection is not None and self._connection.is_usable:
                self._connection.transport.resume_reading()

    def cancel(self) -> None:
        """Closes the connection: the server behind sees a hang-up; the receiver hears nothing more."""
        connection = self._connection
        self._end()
        if connection is not None:
            connection.close()

    @property
    def is_over(self) -> bool:
        """Whether the receiver has had its last call, or the call was cancelled."""
        return self._is_over

    # For the pool; the call is what its connection takes for the receiver, so that a late cancel or
    # pause never touches a connection that serves another call already.

    def send_on(self, connection: ClientConnection, *, may_resend: bool, now: float) -> None:
        """Writes the request to a connection."""
        self._connection = connection
        self.may_resend = may_resend
        if self.is_paused:
            connection.transport.pause_reading()
        connection.send(
            self.request,
            self.body,
            self,
            cast(Receiver, self._receiver).on_data,
            is_head_request=self.is_head_request,
            now=now,
        )
        if not may_resend:
            self.request = self.body = b""

    def on_head(self, status: int, headers: Headers) -> None:
        """See ``Receiver``."""
        self.request = self.body = b""
        cast(Receiver, self._receiver).on_head(status, headers)

    def on_data(self, data: bytes) -> None:
        """See ``Receiver``."""
        cast(Receiver, self._receiver).on_data(data)

    def on_end(self) -> None:
        """See ``Receiver``."""
        receiver = self._end()
        if receiver is not None:
            receiver.on_end()

    def on_lost(self, error: Exception) -> None:
        """See ``Receiver``."""
        receiver = self._end()
        if receiver is not None:
            receiver.on_lost(error)

    def _end(self) -> Receiver | None:
        """The receiver that is to have its last call; None when it had it, or the call was cancelled."""
        self._is_over = True
        self._connection = None
        receiver, self._receiver = self._receiver, None
        return receiver
