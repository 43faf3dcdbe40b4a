"""How much of what was written the client's machine has taken, by the kernel's word."""

import socket
import struct

_TCP_INFO_BYTES = 128
_ACKED = struct.Struct(
    "=120xQ"
)  # tcpi_bytes_acked of struct tcp_info (Linux 4.1, include/uapi/linux/tcp.h)


def acknowledged_bytes(descriptor: int) -> int | None:
    """Bytes that the other end of a TCP connection has acknowledged; None where nobody tells.

    What a transport has left to send is no measure of a slow client: a full send buffer takes nothing
    until a third of it is free (of 2.8 MB on loopback), and over TLS there are buffers that the transport
    does not count. A client that read 10 KB/s looked as if it had stopped.
    """
    option = getattr(socket, "TCP_INFO", None)
    if option is None or descriptor < 0:
        return None
    try:
        borrowed = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        info = borrowed.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO_BYTES)
    except OSError:  # a Unix socket
        return None
    finally:
        borrowed.detach()
    if len(info) < _TCP_INFO_BYTES:
        return None
    acknowledged: int = _ACKED.unpack(info)[0]
    return acknowledged
