"""A command's line to a running server: its control socket, or an address with a key.

Standard library only, so that a command starts fast.
"""

import http.client
import json
import os
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rempart.cli.configuration import SOCKET, data_folder
from rempart.cli.failure import CommandFailed, NoServer

ANSWER_S = 30.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Connection:
    """Asks the control API of one server.

    Args:
        socket_path: its control socket; None where ``url`` leads to it.
        url: its control address.
        key: for ``url``; the socket's owner needs none.
    """

    def __init__(self, *, socket_path: Path | None = None, url: str = "", key: str = "") -> None:
        self._socket_path = socket_path
        self._parts = urlsplit(url)
        self._key = key

    def ask(self, method: str, path: str, *, body: Any = None, timeout_s: float = ANSWER_S) -> Any:
        """The JSON of the answer.

        Args:
            path: such as ``/api/models``, with its query.
            body: sent as JSON.
        Raises:
            CommandFailed: no server is there, or it answered with an error.
        """
        connection = self._open(timeout_s)
        headers = {"Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        sent = None
        if body is not None:
            sent = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.request(
                method, self._parts.path.rstrip("/") + path, body=sent, headers=headers
            )
            answer = connection.getresponse()
            received = answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            is_absent = isinstance(error, FileNotFoundError | ConnectionRefusedError)
            kind = NoServer if is_absent and self._socket_path is not None else CommandFailed
            raise kind(self._unreachable(error)) from error
        finally:
            connection.close()
        return content_of(answer.status, received)

    def _open(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._socket_path is not None:
            return _SocketConnection(self._socket_path, timeout_s)
        host = self._parts.hostname or ""
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                host, self._parts.port, timeout=timeout_s, context=context
            )
        return http.client.HTTPConnection(host, self._parts.port, timeout=timeout_s)

    def _unreachable(self, error: Exception) -> str:
        if self._socket_path is None:
            return f"the server at {self._parts.geturl()} cannot be reached: {error}. Check --url."
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return (
                f"no server is running with the data folder {self._socket_path.parent}. "
                "Start one with `rempart serve`, or name another with --data-dir or --url."
            )
        if isinstance(error, PermissionError):
            return (
                f"{self._socket_path} belongs to another user. Run this as the user that runs the "
                "server or as root, or use --url and REMPART_API_KEY."
            )
        return f"the server did not answer on {self._socket_path}: {error}. Is it still running?"


def connect(data_dir: Path | None, url: str) -> Connection:
    """The server that the options mean.

    Raises:
        CommandFailed: the address is none, or its key is missing.
    """
    if not url:
        return Connection(socket_path=data_folder(data_dir) / SOCKET)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CommandFailed(
            f'--url must be an address such as http://127.0.0.1:8001, found "{url}".', exit_code=2
        )
    key = os.environ.get("REMPART_API_KEY", "")
    if not key:
        raise CommandFailed("--url needs a key. Set REMPART_API_KEY.", exit_code=2)
    return Connection(url=url, key=key)


def content_of(status: int, body: bytes) -> Any:
    """The JSON of an answer.

    Raises:
        CommandFailed: it is an error, or no JSON.
    """
    try:
        content = json.loads(body) if body else {}
    except ValueError as error:
        raise CommandFailed(
            f"the answer ({status}) is not JSON. Is this the control address, not the data plane's?"
        ) from error
    if status < 400:
        return content
    said = content.get("error", {}) if isinstance(content, dict) else {}
    message = said.get("message") or f"the server answered {status}."
    request_id = said.get("request_id")
    raise CommandFailed(message + (f" (request {request_id})" if request_id else ""))
