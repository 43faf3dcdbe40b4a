"""The listening sockets, bound once by main and handed down, so that no worker's death closes them."""

import errno
import os
import resource
import socket
import stat
from pathlib import Path

BACKLOG = 4096
UNIX_PATH_BYTES_MAX = 100
"""``sun_path`` has 108 bytes on Linux; some are left for names of our own."""
_REMEDIES = {
    errno.EADDRINUSE: "End the program that uses it, or choose another.",
    errno.EADDRNOTAVAIL: "Choose an address of this machine.",
    errno.EACCES: "Ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose another.",
    errno.ENOENT: "Make the folder, or choose another.",
}


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
        raise BindError(f"{setting}: {_cannot_listen(f'{host}:{port}', error)}") from error
    listener.setblocking(False)
    return listener


def listen_unix(path: Path, mode: int = 0o600) -> socket.socket:
    """A listening Unix socket of this mode; a socket file left by a dead process is replaced.

    Raises:
        BindError: the path is too long, is used by a living process or by another kind of file, or
            its folder cannot be written.
    """
    if len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
        raise BindError(
            f"the socket path {path} is longer than {UNIX_PATH_BYTES_MAX} bytes. Use a shorter --data-dir."
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left_over(path)
        previous = os.umask(0o777 & ~mode)
        try:
            listener.bind(str(path))
        finally:
            os.umask(previous)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(_cannot_listen(str(path), error)) from error
    except BindError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _remove_left_over(path: Path) -> None:
    """Remove a socket that nobody listens on, and nothing else."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise BindError(f"{path} is there and is no socket. Move it away, or choose another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # its queue is full: somebody listens
    raise OSError(errno.EADDRINUSE, "a living process listens on it")


def _cannot_listen(where: str, error: OSError) -> str:
    number = error.errno or 0
    remedy = _REMEDIES.get(number, "Choose another.")
    return f"cannot listen on {where}: {os.strerror(number)}. {remedy}"


def raise_descriptor_limit() -> int:
    """Raise RLIMIT_NOFILE to what the system allows, and give it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def address_text(listener: socket.socket, scheme: str = "http") -> str:
    """``http://host:port`` of a bound TCP socket, for people."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
