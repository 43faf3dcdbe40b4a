"""What can go wrong on a connection, as the code above this package sees it.

HttpError
├── PeerClosed            the client went away, or its connection had to be ended
│   └── BodyMalformed     …because its body is not framed as RFC 9112 says
├── BodyTooLarge          a request's body is above what ``Request.read`` was asked for
├── BodyTooSlow           a request's body stalls, or trickles
├── ConnectFailed         no connection to the upstream: nothing was sent
├── UpstreamClosed        the upstream ended the connection before its answer was whole
├── UpstreamMalformed     the upstream's answer is not HTTP/1.1 as we take it
├── UpstreamTooLarge      ``Pool.fetch``: the answer is above its bound
└── UpstreamTooSlow       ``Pool.fetch``: the answer was not whole in time
"""


class HttpError(Exception):
    """Something went wrong on a connection."""


class PeerClosed(HttpError):
    """The client's connection is gone, so nothing can be read from it or written to it."""


class BodyMalformed(PeerClosed):
    """A request's body is not framed as RFC 9112 §7 says; the connection cannot be used further.

    The connection answers by itself (status 400) when the handler ends without an answer of its own,
    so that code which only knows ``PeerClosed`` is right too.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class BodyTooLarge(HttpError):
    """A request's body is larger than ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"the body is larger than {limit_bytes} bytes")


class BodyTooSlow(HttpError):
    """A request's body comes too slowly; ``reason`` says which bound it missed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class _ReasonError(HttpError):
    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ConnectFailed(_ReasonError):
    """No connection could be made (refused, timed out, no such name, TLS); nothing was sent."""


class UpstreamClosed(_ReasonError):
    """The upstream ended the connection before its answer was whole."""


class UpstreamMalformed(_ReasonError):
    """The upstream's answer is not HTTP/1.1 as this package takes it."""


class UpstreamTooLarge(_ReasonError):
    """The upstream's answer is larger than the caller takes."""


class UpstreamTooSlow(_ReasonError):
    """The upstream's answer was not whole within the caller's time."""
