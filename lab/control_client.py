"""A plain HTTP client for the control API: what came back, untouched."""

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Answer:
    """Status, headers in small letters, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


def ask(
    port: int, method: str, path: str, key: str = "", *, json_body: Any = None, **headers: str
) -> Answer:
    """One request by TCP."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    body = None
    if json_body is not None:
        body = json.dumps(json_body)
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def send_raw(port: int, data: bytes) -> bytes:
    """Bytes by TCP; everything that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(data)
        return read_all(connection)


def send_local(path: Path, data: bytes) -> bytes:
    """The same by Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(data)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)
