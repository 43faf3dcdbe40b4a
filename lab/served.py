"""A real ``rempart serve`` in a folder of its own, for tests that meet it as a user does."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

READY_S = 60.0
STOP_S = 30.0
ADDRESS = re.compile(r"Rempart is ready\s+(http://\S+)/v1")


class Served:
    """A running server; use it as a context manager.

    Args:
        folder: where it is started; its data folder and its log go there.
        arguments: after ``rempart serve``; the ports are free ones unless given.
        environment: beside the tests' own.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.address = ""
        self.output = folder / "console.txt"
        self._command = [
            *prefix, sys.executable, "-m", "rempart", "serve", *arguments,
            *([] if "--port" in arguments else ["--port", "0"]),
            *([] if "--control-port" in arguments else ["--control-port", "0"]),
        ]  # fmt: skip
        self._environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> str:
        """The admin key that the first start made."""
        return (self.folder / "rempart-data" / "admin.key").read_text().strip()

    def start(self) -> "Served":
        """Start it and wait until it says that it is ready.

        Raises:
            AssertionError: it ended, or took too long; with what it wrote.
        """
        with self.output.open("wb") as console:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_S
        while not (found := ADDRESS.search(self.output.read_text(errors="replace"))):
            code = self.process.poll()
            if code is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(
                    f"not ready, exit code {code}:\n{self.output.read_text(errors='replace')}"
                )
            time.sleep(0.05)
        self.address = found[1]
        return self

    def stop(self) -> int:
        """SIGTERM, then SIGKILL after ``STOP_S``; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def __enter__(self) -> "Served":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
