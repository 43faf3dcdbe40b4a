"""Fetching a model with its progress shown; ``models pull`` and ``serve`` of a hub name do it."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rempart.base.clock import Clock, SystemClock
from rempart.base.quantities import bytes_text
from rempart.cli.failure import CommandFailed
from rempart.cli.output import say

BYTES_MAX = 200 * 1024**3
SAY_EVERY_S = 2.0

Progress = Callable[[int, int | None], None]


def pull(source: str, data_dir: Path, *, sha256: str = "", bytes_max: int = BYTES_MAX) -> Path:
    """Fetch ``source`` into the data folder's models; gives where it lies.

    The hub's address and token come from ``HF_ENDPOINT`` and ``HF_TOKEN``, as its own tools take them.

    Raises:
        CommandFailed: it cannot be fetched.
    """
    from rempart.runners.files import hub
    from rempart.runners.files.download import DownloadError
    from rempart.runners.files.pull import Puller

    clock = SystemClock()
    puller = Puller(
        models_dir=data_dir / "models",
        bytes_max=bytes_max,
        progress=lambda name: progress_line(name, clock, sys.stderr.isatty(), say),
        report=say,
        pause=time.sleep,
        endpoint=os.environ.get("HF_ENDPOINT") or hub.ENDPOINT,
        token=os.environ.get("HF_TOKEN", ""),
    )
    try:
        return puller.pull(source, sha256=sha256)
    except DownloadError as error:
        raise CommandFailed(str(error)) from error


def progress_line(
    name: str, clock: Clock, is_terminal: bool, write: Callable[[str], None]
) -> Progress:
    """Says how far a file has come: at most every two seconds, and at its end.

    On a terminal the line is written over the one before.
    """
    last_s = clock.now()
    is_shown = False

    def progress(done: int, total: int | None) -> None:
        nonlocal last_s, is_shown
        is_end = done == total
        if clock.now() - last_s < SAY_EVERY_S and not (is_end and is_shown):
            return
        over = "\x1b[1A\x1b[2K" if is_terminal and is_shown else ""
        last_s, is_shown = clock.now(), True
        share = f" of {bytes_text(total)} ({100 * done // max(total, 1)} %)" if total else ""
        write(f"{over}{name}: {bytes_text(done)}{share}")

    return progress
