"""A real ``rempart serve`` as its user meets it: started by its command, on free ports, in a folder of its own."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ADMIN_KEY = "lab-admin-key-0123456789-0123456789-abcdef"
READY_S = 60.0


def process_tree(root: int) -> set[int]:
    """The living processes below and including ``root`` (zombies left out)."""
    children: dict[int, list[int]] = {}
    alive = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat[0] == "Z":
            continue
        alive.add(int(entry.name))
        children.setdefault(int(stat[1]), []).append(int(entry.name))
    found: set[int] = set()
    todo = [root]
    while todo:
        pid = todo.pop()
        if pid in alive:
            found.add(pid)
        todo += children.get(pid, [])
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def command_line(pid: int) -> str:
    """A process's arguments."""
    with contextlib.suppress(OSError):
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    return ""


def until(condition: Any, timeout_s: float, what: str) -> Any:
    """Poll until ``condition()`` is true; gives its value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.02)


class RempartServer:
    """One running server."""

    def __init__(
        self, folder: Path, arguments: list[str], environment: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.output = folder / "console.log"
        self.data_dir = folder / "data"
        self.port = 0
        self.control_port = 0
        self.scheme = "http"
        self.tls: ssl.SSLContext | None = None
        """What it is asked with when it speaks TLS."""
        self._arguments = arguments
        self._lines_before = 0
        self._environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RempartServer":
        """Start it; does not wait."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("REMPART_")
        }
        self._lines_before = len(self.log())
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "rempart",
                    "serve",
                    *self._arguments,
                    "--data-dir",
                    str(self.data_dir),
                ],
                cwd=self.folder,
                env={**environment, "REMPART_ADMIN_KEY": ADMIN_KEY, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def until_listening(self, timeout_s: float = READY_S) -> "RempartServer":
        """Wait until a worker answers; finds the ports in the log."""

        def starting() -> dict[str, Any] | None:
            self.check_running()
            lines = self.log()[self._lines_before :]  # a server before it may have used the folder
            return next((line for line in reversed(lines) if line["event"] == "starting"), None)

        line = until(starting, timeout_s, "the server's first log line")
        self.scheme = line["address"].partition(":")[0]
        self.port = int(line["address"].rpartition(":")[2])
        self.control_port = int(line["control"].rpartition(":")[2])
        until(
            lambda: self.check_running() and self.get("/livez")[0] == 200,
            timeout_s,
            "/livez answers",
        )
        return self

    def until_ready(self, timeout_s: float = READY_S) -> "RempartServer":
        """Wait until /readyz is 200."""
        self.until_listening(timeout_s)
        until(
            lambda: self.check_running() and self.get("/readyz")[0] == 200,
            timeout_s,
            "/readyz answers 200",
        )
        return self

    def check_running(self) -> bool:
        """Fail with the console's text when it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, (
            f"the server ended ({self.process.returncode}):\n{self.console()}"
        )
        return True

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def get(self, path: str, *, key: str = "", control: bool = False) -> tuple[int, bytes]:
        """GET with urllib; (0, b"") when nothing answers."""
        port = self.control_port if control else self.port
        request = urllib.request.Request(f"{self.scheme}://127.0.0.1:{port}{path}")
        if key:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=5, context=self.tls) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def post(self, path: str, *, control: bool = False) -> tuple[int, bytes]:
        """POST without a body, as the administrator."""
        port = self.control_port if control else self.port
        request = urllib.request.Request(
            f"{self.scheme}://127.0.0.1:{port}{path}", method="POST", data=b""
        )
        request.add_header("authorization", f"Bearer {ADMIN_KEY}")
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.tls) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def health(self) -> dict[str, Any]:
        """The document at /health."""
        return dict(json.loads(self.get("/health", key=ADMIN_KEY)[1]))

    def metric(self, name: str) -> float:
        """The sum of a metric's series."""
        text = self.get("/metrics", key=ADMIN_KEY)[1].decode()
        values = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith((f"{name} ", f"{name}{{"))
        ]
        return sum(values)

    def console(self) -> str:
        """What it printed."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def log(self) -> list[dict[str, Any]]:
        """Its log lines."""
        path = self.folder / "logs" / "api.log"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]

    def pids(self, part: str) -> list[int]:
        """Processes of this server whose command line has ``part``."""
        return sorted(pid for pid in process_tree(self.pid) if part in command_line(pid))

    @property
    def worker_pids(self) -> list[int]:
        return self.pids("rempart.processes.worker")

    @property
    def control_pids(self) -> list[int]:
        return self.pids("rempart.processes.control")

    def signal(self, number: signal.Signals) -> None:
        """Send main a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for its end; gives the exit code."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def stop(self) -> None:
        """End it whatever state it is in, with everything it started."""
        if self.process is None:
            return
        tree = process_tree(self.pid)
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def running_server(
    folder: Path,
    config: str = "",
    arguments: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> Iterator[RempartServer]:
    """A server with this configuration (TOML) on free ports; ended with the block."""
    more: list[str] = [*arguments, "--port", "0", "--control-port", "0"]
    if config:
        (folder / "rempart.toml").write_text(config)
        more += ["--config", str(folder / "rempart.toml")]
    server = RempartServer(folder, more, environment)
    try:
        yield server.start()
    finally:
        server.stop()
