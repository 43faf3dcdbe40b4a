"""Asking a runner whether it serves: one small HTTP GET over TCP or a Unix socket, bounded.

Enough of HTTP/1.1 for a probe's answer, in the standard library, since main imports no HTTP client:
one request per connection, the body cut at ``BODY_BYTES_MAX``.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

HEAD_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 256 * 1024
READY_PATHS = ("/health", "/v1/models")


class ProbeError(Exception):
    """There was no answer; the text says what happened instead.

    Args:
        is_silence: somebody accepted the connection, but nothing came in time.
    """

    def __init__(self, text: str, *, is_silence: bool = False) -> None:
        super().__init__(text)
        self.is_silence = is_silence


@dataclass(frozen=True)
class ProbeAnswer:
    """What came back."""

    status: int
    body: bytes


async def get(url: str, path: str, *, key: str = "", timeout_s: float) -> ProbeAnswer:
    """GET a path.

    Args:
        url: ``http://host:port`` or ``unix:/path``.
        key: sent as a bearer token unless empty.
        timeout_s: for all of it.

    Raises:
        ProbeError: no connection, no answer in time, or something that is not HTTP.
    """
    is_connected = False
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await _connect(url)
            is_connected = True
            try:
                writer.write(_request(url, path, key))
                return await _read_answer(reader)
            finally:
                # Not waited for: nothing unsent is left, and a hung runner must not hold us.
                writer.transport.abort()
    except TimeoutError:
        text = f"{path} was not answered within {timeout_s:g} s"
        raise ProbeError(text, is_silence=is_connected) from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ProbeError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return "the connection was closed before the answer was whole"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "the answer's head is too long"


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if url.startswith("unix:"):
        return await asyncio.open_unix_connection(url.removeprefix("unix:"), limit=HEAD_BYTES_MAX)
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port or 80, limit=HEAD_BYTES_MAX)


def _request(url: str, path: str, key: str) -> bytes:
    host = "localhost" if url.startswith("unix:") else urlsplit(url).netloc
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", "Accept: */*"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join([*lines, "", ""]).encode()


async def _read_answer(reader: asyncio.StreamReader) -> ProbeAnswer:
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ProbeError(f"the answer is not HTTP: {status_line[:60]!r}")
    fields = {
        name.strip().lower(): value.strip().lower()
        for name, _, value in (line.partition(":") for line in lines)
    }
    if fields.get("transfer-encoding") == "chunked":
        return ProbeAnswer(int(rest[:3]), await _read_chunked(reader))
    length = fields.get("content-length", "")
    wanted = min(int(length), BODY_BYTES_MAX) if length.isdigit() else BODY_BYTES_MAX
    body = b""
    while len(body) < wanted and (data := await reader.read(wanted - len(body))):
        body += data
    return ProbeAnswer(int(rest[:3]), body)


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) < BODY_BYTES_MAX:
        size = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
        try:
            length = int(size, 16)
        except ValueError:
            raise ProbeError("the answer's chunks are malformed") from None
        if length == 0:
            break
        body += await reader.readexactly(min(length, BODY_BYTES_MAX))
        await reader.readuntil(b"\r\n")
    return body


async def is_ready(url: str, *, key: str, timeout_s: float) -> str | None:
    """The path by which a runner shows that it serves, None if it does not yet.

    ``/health`` counts where it exists: its 503 means that the runner is still loading. Where it says
    anything else but 200, ``/v1/models`` decides.
    """
    for path in READY_PATHS:
        try:
            answer = await get(url, path, key=key, timeout_s=timeout_s)
        except ProbeError:
            return None
        if answer.status == 200:
            return path
        if answer.status == 503:
            return None
    return None


def context_length(models_document: bytes) -> int | None:
    """What ``/v1/models`` says of its first model's context, as vLLM and others tell it."""
    try:
        document: Any = msgspec.json.decode(models_document)
        first = document["data"][0]
    except (msgspec.DecodeError, LookupError, TypeError):
        return None
    if not isinstance(first, dict):
        return None
    for name in ("max_model_len", "context_length", "context_window"):
        if isinstance(first.get(name), int) and first[name] > 0:
            return int(first[name])
    return None
