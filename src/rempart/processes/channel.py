"""The socketpair between main and each of its children: small framed messages, both ways.

A frame is four bytes of length and a MessagePack document. The other end's death is an end of file
here, whatever killed it; that is how workers learn that main is gone, and main that a worker is.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

FRAME_BYTES_MAX = 16 * 1024 * 1024
UNSENT_BYTES_MAX = 16 * 1024 * 1024
"""A peer that takes nothing while this much waits for it is as good as dead: the channel is closed."""
_LENGTH = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()

M = TypeVar("M")


class Channel(asyncio.Protocol, Generic[M]):
    """One end. Messages are given to ``on_message`` in order; ``on_closed`` is called once.

    Args:
        incoming: the union of tagged structs that may arrive.
    """

    def __init__(
        self,
        incoming: Any,
        *,
        on_message: Callable[[M], None],
        on_closed: Callable[[], None],
    ) -> None:
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(incoming)
        self._on_message = on_message
        self._on_closed = on_closed
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def open(self, end: socket.socket) -> None:
        """Take over one end of a socketpair."""
        end.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: self, sock=end)

    def send(self, message: msgspec.Struct) -> None:
        """Send one message; a closed channel drops it, since then ``on_closed`` decides what follows.

        Raises:
            ValueError: it is larger than the other end takes. That is a bug of the sender's.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            transport.abort()
            return
        frame = _encoder.encode(message)
        if len(frame) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(frame)} bytes was to go over a channel")
        transport.write(_LENGTH.pack(len(frame)) + frame)

    def close(self) -> None:
        """Close this end after what was sent has gone."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's callback."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")  # noqa: S101 - uvloop's own class
        self._transport = transport  # type: ignore[assignment]  # uvloop's transport is no subclass

    def data_received(self, data: bytes) -> None:
        """asyncio's callback."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > FRAME_BYTES_MAX:
                raise ValueError(f"a frame of {length} bytes came over a channel")
            if len(buffer) - start - 4 < length:
                break
            message = self._decoder.decode(bytes(buffer[start + 4 : start + 4 + length]))
            start += 4 + length
            self._on_message(message)
        del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's callback."""
        self._transport = None
        self._on_closed()
