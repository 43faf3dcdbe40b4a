"""A file server with ranges and validators, and a hub's listing, that can be told to misbehave."""

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FileServer:
    """What it serves and how.

    Args:
        files: path → content.
        listings: repository name → the hub's answer about it.
        etag: the files' validator; empty: none is sent.
        cuts: for each of the next requests: close after so many bytes of content.
        statuses: for each of the next requests: answer with this instead.
        redirects: path → address.
        with_ranges: whether Range is understood.
        with_length: whether Content-Length is sent.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    listings: dict[str, Any] = field(default_factory=dict)
    etag: str = '"one"'
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    with_ranges: bool = True
    with_length: bool = True
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Serve until the block ends."""
    state = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.path, headers))
            path = self.path.partition("?")[0]
            if state.statuses:
                self._plain(state.statuses.pop(0), b"no")
            elif path in state.redirects:
                self.send_response(302)
                self.send_header("Location", state.redirects[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path.startswith("/api/models/"):
                listing = state.listings.get(path.removeprefix("/api/models/"))
                self._plain(404 if listing is None else 200, json.dumps(listing).encode())
            elif path in state.files:
                self._file(state.files[path], headers)
            else:
                self._plain(404, b"none")

        def _plain(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _file(self, content: bytes, headers: dict[str, str]) -> None:
            start, status = 0, 200
            asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
            if asked and state.with_ranges and headers.get("if-range", state.etag) == state.etag:
                start, status = int(asked[1]), 206
            if status == 206 and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = content[start:]
            self.send_response(status)
            if state.etag:
                self.send_header("ETag", state.etag)
            if status == 206:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            if state.with_length:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.close_connection = True
            self.end_headers()
            cut = state.cuts.pop(0) if state.cuts else None
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

    class Quiet(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        with contextlib.suppress(OSError):
            server.shutdown()
        thread.join()
        server.server_close()
