"""Looking at native code from a safe distance: in a child process, with a bound on its time."""

import json
import subprocess
import sys
from typing import Any

PROBE_S = 60.0


class ProbeFailed(Exception):
    """The child gave no answer; the text says how it ended."""

    def __init__(self, text: str, *, signal: int = 0) -> None:
        super().__init__(text)
        self.signal = signal


def ask_child(code: str, timeout_s: float = PROBE_S) -> Any:
    """Run Python code in a child; what it prints last, as JSON.

    Raises:
        ProbeFailed: it crashed, hung, or printed something else.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as hung:
        raise ProbeFailed(f"it did not end within {timeout_s:g} s") from hung
    if done.returncode < 0:
        raise ProbeFailed(f"it died of signal {-done.returncode}", signal=-done.returncode)
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    if done.returncode or not lines:
        errors = done.stderr.decode(errors="replace").strip().splitlines()
        raise ProbeFailed(errors[-1] if errors else f"it ended with exit code {done.returncode}")
    try:
        return json.loads(lines[-1])
    except ValueError as other:
        raise ProbeFailed(f"it printed {lines[-1][:80]!r}") from other
