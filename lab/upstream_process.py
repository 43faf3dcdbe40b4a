"""The scriptable upstream in a process of its own: what it does costs its test's event loop nothing."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Far:
    """Where it is, and what it has seen."""

    base_url: str

    def seen(self, path: str) -> Any:
        """``/stats`` or ``/requests``."""
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + path) as answer:
            return json.load(answer)

    @property
    def request_count(self) -> int:
        return int(self.seen("/stats")["request_count"])


@contextmanager
def upstream_process() -> Iterator[Far]:
    """Ended with the block."""
    command = [sys.executable, "-m", "lab.fake_upstream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Far(process.stdout.readline().strip())
        finally:
            process.terminate()
