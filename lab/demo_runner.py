"""The llama.cpp runner with the demo model as a child process, and a client that can hang up."""

import contextlib
import http.client
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from rempart.runners.interface import GRANT_HEADER
from rempart.runners.status import End, Failed, Malformed, Ready, Slots, StatusEvent, StatusLines

READY_S_MAX = 60.0
ANSWER_S_MAX = 60.0
EXIT_S_MAX = 15.0


class RunnerGone(Exception):
    """The runner ended before it was ready; ``reason`` is what it said."""

    def __init__(self, reason: str, code: int | None) -> None:
        super().__init__(f"{reason} (exit code {code})")
        self.reason = reason
        self.code = code


class Answer:
    """A whole answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[str]:
        """The ``data`` of each event."""
        return [event.removeprefix("data: ") for event in self.body.decode().split("\n\n") if event]

    def chunks(self) -> list[Any]:
        """The events as JSON, without ``[DONE]``."""
        return [json.loads(event) for event in self.events() if event != "[DONE]"]


class Stream:
    """A request under way on a connection of its own, which can be left at any moment."""

    def __init__(self, connection: socket.socket, request: bytes) -> None:
        self._connection = connection
        self._connection.sendall(request)
        self.received = b""

    def wait_for(self, text: bytes, count: int = 1) -> None:
        """Read until ``text`` came ``count`` times."""
        while self.received.count(text) < count:
            data = self._connection.recv(65536)
            if not data:
                raise AssertionError(f"the answer ended without {text!r}: {self.received[-500:]!r}")
            self.received += data

    def rest(self) -> bytes:
        """Everything up to the connection's or the answer's end."""
        while b"\r\n0\r\n\r\n" not in self.received:
            try:
                data = self._connection.recv(65536)
            except ConnectionResetError:
                break
            if not data:
                break
            self.received += data
        return self.received

    def hang_up(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hang_up()


class DemoRunner:
    """A running llama.cpp server. ``start`` it, then ``wait_ready``; ``stop`` it in any case."""

    def __init__(self, model: Path, **settings: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="runner-"))
        self.key = secrets.token_urlsafe(24)
        self.socket_path = str(self.folder / "r.sock")
        self._status, status_write = os.pipe()
        self._lines = StatusLines()
        self._waiting: list[StatusEvent | Malformed] = []
        self.log = (self.folder / "log").open("w+b")
        config: dict[str, Any] = {
            "model_path": str(model),
            "alias": "demo",
            "address": f"unix:{self.socket_path}",
            "api_key": self.key,
            "context": 8192,
            "slots": 4,
            "status_fd": status_write,
            "calibration_dir": str(self.folder),
        }
        self.config_path = self.folder / "config.json"
        descriptor = os.open(self.config_path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(config | settings).encode())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rempart.runners.llama_cpp_server", str(self.config_path)],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            pass_fds=[status_write],
        )
        os.close(status_write)
        os.set_blocking(self._status, False)
        self.facts: Any = None

    # Its status pipe.

    def events(self) -> list[StatusEvent | Malformed]:
        """What it has said and nobody has taken."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._status, 65536):
                self._waiting += self._lines.feed(data)
        events, self._waiting = self._waiting, []
        return events

    def wait_event(
        self, fits: Callable[[StatusEvent | Malformed], bool], timeout_s: float = ANSWER_S_MAX
    ) -> StatusEvent | Malformed:
        """The next event that fits; those before it are dropped."""
        deadline = time.monotonic() + timeout_s
        while True:
            events = self.events()
            for at, event in enumerate(events):
                if fits(event):
                    self._waiting = events[at + 1 :]
                    return event
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"the runner did not say it in time; {self.stacks()}")
            if not select.select([self._status], [], [], left)[0]:
                continue
            data = os.read(self._status, 65536)
            if not data:
                raise AssertionError("the runner closed its status pipe")
            self._waiting += self._lines.feed(data)

    def wait_end(self, grant: str, timeout_s: float = ANSWER_S_MAX) -> End:
        """The event that says that this grant's slot is free."""
        event = self.wait_event(lambda e: isinstance(e, End) and e.grant == grant, timeout_s)
        assert isinstance(event, End)
        return event

    def wait_idle(self) -> None:
        """Wait until no slot is taken."""
        deadline = time.monotonic() + ANSWER_S_MAX
        while any(slot["busy"] for slot in self.call("GET", "/slots").json()):
            if time.monotonic() > deadline:
                raise AssertionError(f"a slot stays taken; {self.stacks()}")
            time.sleep(0.005)

    def wait_ready(self) -> "DemoRunner":
        """Wait until it serves.

        Raises:
            RunnerGone: it ended instead.
        """
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            for event in self.events():
                if isinstance(event, Ready):
                    self.facts = event.facts
                    return self
                if isinstance(event, Failed):
                    raise RunnerGone(event.reason, self.process.wait(EXIT_S_MAX))
            if self.process.poll() is not None:
                raise RunnerGone(self.log_text()[-2000:], self.process.returncode)
            select.select([self._status], [], [], 0.1)
        raise AssertionError(f"not ready in time: {self.log_text()[-2000:]}")

    def log_text(self) -> str:
        """What it has printed."""
        return (self.folder / "log").read_text(errors="replace")

    def stacks(self) -> str:
        """Where its threads are, and its slots: for the message of a test that fails."""
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)  # nobody waits for it: the test has failed already
        return f"slots: {self.call('GET', '/slots').body!r}; log: {self.log_text()[-6000:]}"

    # Requests.

    def call(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        key: str | None = None,
        grant: str = "",
        body: bytes | None = None,
    ) -> Answer:
        """One request and its whole answer; ``body`` instead of ``document`` for bytes as they are."""
        connection = http.client.HTTPConnection("localhost", timeout=ANSWER_S_MAX)
        connection.sock = self.connect()
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        if grant:
            headers[GRANT_HEADER] = grant
        if document is not None:
            body = json.dumps(document).encode()
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def stream(self, path: str, document: Any, *, grant: str = "") -> Stream:
        """A request whose answer is read piece by piece, or not."""
        body = json.dumps(document).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.key}\r\n"
            f"{GRANT_HEADER}: {grant}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return Stream(self.connect(), head.encode() + body)

    def connect(self) -> socket.socket:
        """A connection to its socket."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_S_MAX)
        try:
            connection.connect(self.socket_path)
        except OSError:
            connection.close()
            raise
        return connection

    def counters(self) -> dict[str, int]:
        found: dict[str, int] = self.call("GET", "/counters").json()
        return found

    # Its end.

    def stop(self) -> int:
        """End it, by force if need be; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(EXIT_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            if self._status >= 0:
                os.close(self._status)
                self._status = -1
            self.log.close()
            shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def demo_runner(model: Path, **settings: Any) -> Iterator[DemoRunner]:
    """A runner that is ready; ended with the block."""
    runner = DemoRunner(model, **settings)
    try:
        yield runner.wait_ready()
    finally:
        runner.stop()


def is_slots(busy: int) -> Callable[[StatusEvent | Malformed], bool]:
    """Whether an event says that so many slots are taken."""
    return lambda event: isinstance(event, Slots) and event.busy == busy
