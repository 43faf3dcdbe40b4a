"""A request as its handler sees it."""

from typing import TYPE_CHECKING

from rempart.net.http1.head import Headers, RequestHead

if TYPE_CHECKING:
    from rempart.net.http1.body import Body

__all__ = ["Headers", "Request"]


class Request:
    """One request; its head is checked, its body is read when asked for.

    Attributes:
        method: "GET", "POST", …
        target: as it stood in the request line.
        path: without query, not decoded, one character per byte.
        query: what follows "?", not decoded.
        headers: (name, value) in the order received; names in lower case.
        http_version: "1.1" or "1.0".
        peer: the client's address, "" on Unix sockets.
        peer_port: the client's port, 0 on Unix sockets.
        content_length: bytes the body has, None when it is chunked or absent.
    """

    __slots__ = (
        "_body",
        "_index",
        "content_length",
        "headers",
        "http_version",
        "method",
        "path",
        "peer",
        "peer_port",
        "query",
        "target",
    )

    def __init__(self, head: RequestHead, body: "Body | None", peer: str, peer_port: int) -> None:
        self.method = head.method
        self.target = head.target
        self.path = head.path
        self.query = head.query
        self.headers = head.headers
        self.http_version = head.version
        self.content_length = head.content_length
        self.peer = peer
        self.peer_port = peer_port
        self._index = head.index
        self._body = body

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, None when it was not sent; ``name`` in lower case."""
        return self._index.get(name)

    @property
    def has_body(self) -> bool:
        """Whether the head announces a body, be it empty."""
        return self._body is not None

    async def read(self, max_bytes: int) -> bytes:
        """The whole body, at most ``max_bytes`` long; b"" when there is none.

        Sends ``100 Continue`` first if the client waits for it. To be called once.

        Raises:
            BodyTooLarge: it is longer; known from ``Content-Length`` before anything is read.
            BodyTooSlow: it stalled, or came slower than the limits allow.
            BodyMalformed: its chunks are not well-formed.
            PeerClosed: the client went away.
        """
        if self._body is None:
            return b""
        return await self._body.read(max_bytes)
