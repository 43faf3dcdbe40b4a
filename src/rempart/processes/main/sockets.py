"""The listening sockets, bound once by main and handed down, so that no worker's death closes them."""

import os
import resource
import socket
from pathlib import Path

BACKLOG = 4096
UNIX_PATH_BYTES_MAX = 100
"""``sun_path`` has 108 bytes on Linux; some are left for names of our own."""


class BindError(Exception):
    """An address could not be bound; the message says which, why, and what to do."""


def listen_tcp(host: str, port: int, setting: str) -> socket.socket:
    """A listening TCP socket, IPv4 or IPv6 as ``host`` says.

    Raises:
        BindError: the address is in use, not ours, or not allowed.
    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = infos[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BindError(
            f"{setting}: {host!r} is not an address of this machine: {error}."
        ) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(
            f"{setting}: cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}. "
            "End the program that uses it, or choose another port."
        ) from error
    listener.setblocking(False)
    return listener


def listen_unix(path: Path, mode: int = 0o600) -> socket.socket:
    """A listening Unix socket of this mode; a socket file left by a dead process is replaced.

    Raises:
        BindError: the path is too long or the folder cannot be written.
    """
    if len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
        raise BindError(
            f"the socket path {path} is longer than {UNIX_PATH_BYTES_MAX} bytes. Use a shorter --data-dir."
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        previous = os.umask(0o777 & ~mode)
        try:
            listener.bind(str(path))
        finally:
            os.umask(previous)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(f"cannot listen on {path}: {os.strerror(error.errno or 0)}.") from error
    listener.setblocking(False)
    return listener


def raise_descriptor_limit() -> int:
    """Raise RLIMIT_NOFILE to what the system allows, and give it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def address_text(listener: socket.socket) -> str:
    """``http://host:port`` of a bound TCP socket, for people."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
