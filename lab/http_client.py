"""A bare HTTP/1.1 client for tests: shows exactly what came over the wire, and goes away when told to."""

import asyncio
import json
import socket
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """The data of its server-sent events."""
        text = self.body.decode().replace("\r\n", "\n")
        return [line[6:] for line in text.split("\n") if line.startswith("data: ")]


@dataclass
class Connection:
    """One connection, one request at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    is_head: bool = False

    @classmethod
    async def open(cls, port: int, receive_buffer: int = 0) -> "Connection":
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=2**20)
        return cls(reader, writer)

    async def send(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.is_head = method == "HEAD"
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        lines = {
            "host": "test",
            **({"authorization": f"Bearer {key}"} if key else {}),
            **(headers or {}),
        }
        if body is not None:
            lines = {"content-type": "application/json", "content-length": str(len(data)), **lines}
        head = (
            f"{method} {path} HTTP/1.1\r\n"
            + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
            + "\r\n"
        )
        self.writer.write(head.encode("latin-1") + data)
        await self.writer.drain()

    async def head(self) -> int:
        """Read status and headers."""
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = raw.split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in rest if line)
        }
        return self.status

    async def chunk(self) -> bytes:
        """One chunk of a chunked body; b"" is the end. Raises IncompleteReadError when it is cut."""
        size = int((await self.reader.readuntil(b"\r\n"))[:-2], 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def answer(self) -> Answer:
        """The rest of the answer, whole."""
        if not self.status:
            await self.head()
        body = b""
        if self.is_head:
            pass
        elif self.headers.get("transfer-encoding") == "chunked":
            while part := await self.chunk():
                body += part
        elif "content-length" in self.headers:
            body = await self.reader.readexactly(int(self.headers["content-length"]))
        answer = Answer(self.status, self.headers, body)
        self.status = 0
        return answer

    def abort(self) -> None:
        """Go away at once (RST)."""
        self.writer.transport.abort()

    async def close(self) -> None:
        """Close properly."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


async def request(
    port: int,
    method: str,
    path: str,
    *,
    key: str = "",
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    connection = await Connection.open(port)
    try:
        await connection.send(method, path, key=key, body=body, headers=headers)
        return await connection.answer()
    finally:
        await connection.close()
