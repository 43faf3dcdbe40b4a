"""The library's own HTTP door, for what has no in-process call: tokens, templates, facts.

It listens on a Unix socket or a loopback port behind a random key that only this process knows.
Calls block; one connection per calling thread is kept.
"""

import http.client
import socket
import threading

ANSWER_BYTES_MAX = 64 * 1024 * 1024
UNIX_PATH_BYTES_MAX = 107
"""What fits ``sun_path`` of unix(7) with its NUL."""


class DoorError(Exception):
    """The door did not answer, or not in time."""


class Door:
    """A blocking client of the door.

    Args:
        address: ``unix:/path`` or ``host:port``.
        key: sent as a bearer token.
        timeout_s: without a byte.
    """

    def __init__(self, address: str, key: str, *, timeout_s: float = 30.0) -> None:
        self._address = address
        self._key = key
        self._timeout_s = timeout_s
        self._of_thread = threading.local()

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            DoorError: there was none.
        """
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        # An idle connection is closed by the door after 5 s; the second try is on a new one.
        for is_last in (False, True):
            connection = getattr(self._of_thread, "connection", None)
            if connection is None:
                connection = self._of_thread.connection = self._connection()
            try:
                connection.request(method, path, body=body, headers=headers)
                answer = connection.getresponse()
                data = answer.read(ANSWER_BYTES_MAX + 1)
            except (OSError, http.client.HTTPException) as exc:
                self.close()
                if is_last or isinstance(exc, TimeoutError):
                    raise DoorError(f"{path}: {exc or type(exc).__name__}") from exc
                continue
            if len(data) > ANSWER_BYTES_MAX:
                self.close()
                raise DoorError(f"{path}: the answer is larger than {ANSWER_BYTES_MAX} bytes")
            return answer.status, data
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the calling thread's connection."""
        connection = getattr(self._of_thread, "connection", None)
        if connection is not None:
            self._of_thread.connection = None
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._address.startswith("unix:"):
            return _UnixConnection(self._address.removeprefix("unix:"), self._timeout_s)
        return http.client.HTTPConnection(self._address, timeout=self._timeout_s)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except BaseException:
            self.sock.close()
            self.sock = None
            raise
