"""What the library prints while it loads, kept and passed on at once.

The library tells why a model does not load on standard error only. Loading holds the interpreter's
lock, so that no thread of ours could read a pipe meanwhile; and if the library aborts, what it
printed last is what everybody wants to know. So a small child process passes it on: it outlives us.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

KEPT_BYTES_MAX = 256 * 1024
_STDERR = 2


@contextlib.contextmanager
def stderr_kept() -> Iterator[Callable[[], str]]:
    """Within the block, standard error also goes where the function given reads it, after the block.

    To be used while this process has one thread: it forks.
    """
    kept = os.memfd_create("stderr")
    real = os.dup(_STDERR)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _pass_on(read_end, write_end, real, kept)
    os.close(read_end)
    os.dup2(write_end, _STDERR)
    os.close(write_end)
    text = ""

    def what_was_printed() -> str:
        return text

    try:
        yield what_was_printed
    finally:
        # The last write end is closed by this, so that the child comes to its end.
        os.dup2(real, _STDERR)
        os.close(real)
        os.waitpid(child, 0)
        size = os.fstat(kept).st_size
        text = os.pread(kept, min(size, KEPT_BYTES_MAX), 0).decode("utf-8", "replace")
        os.close(kept)


def _pass_on(read_end: int, write_end: int, real: int, kept: int) -> None:
    """The child: reads to the end, and then is gone without any of Python's endings."""
    try:
        os.close(write_end)
        # Ours to hold are three descriptors; another's end of file must not wait for us.
        for descriptor in _open_descriptors():
            if descriptor not in (read_end, real, kept):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        kept_bytes = 0
        while data := os.read(read_end, 65536):
            with contextlib.suppress(OSError):
                os.write(real, data)
            if kept_bytes < KEPT_BYTES_MAX:
                kept_bytes += os.write(kept, data)
    finally:
        os._exit(0)


def _open_descriptors() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/fd")]
