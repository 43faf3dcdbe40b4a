"""Who holds the writers' lock of an LMDB environment: read from its lock file, so that a stopped one can be ended.

The lock is a robust mutex in shared memory. The kernel finds the owner of such a mutex by the thread id in the
lower 30 bits of its word (futex(2), FUTEX_TID_MASK; set_robust_list(2)). Where in the file the word is depends
on the C library: it is found once, by taking the lock and looking where our own thread id has come up.
"""

import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

TID_MASK = 0x3FFFFFFF
HEAD_BYTES = 1024
"""The mutexes stand before the table of readers, within the first cache lines of the file."""


class LockHolder:
    """Reads the lock file of an environment that is open in this process.

    Its descriptor stays open until the environment is closed: closing any descriptor of the file in this
    process would let go of the record locks by which LMDB knows that we use it (fcntl(2)).
    """

    def __init__(self, lock_file: Path) -> None:
        self._descriptor = os.open(lock_file, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = -1

    def learn(self, hold: Callable[[], Any]) -> bool:
        """Find out where the word is; False when it cannot be told.

        Args:
            hold: takes the lock; gives the context that lets go of it.
        """
        own = threading.get_native_id()
        before = self._words()
        with hold():
            held = self._words()
        found = [
            offset
            for offset, (was, is_) in enumerate(zip(before, held, strict=False))
            if is_ & TID_MASK == own and was & TID_MASK != own
        ]
        self._offset = found[0] if found else -1
        return bool(found)

    def thread_id(self) -> int:
        """The thread that holds the lock; 0 when none does or it cannot be told."""
        words = self._words()
        return words[self._offset] & TID_MASK if 0 <= self._offset < len(words) else 0

    def close(self) -> None:
        """After the environment is closed."""
        os.close(self._descriptor)

    def _words(self) -> tuple[int, ...]:
        raw = os.pread(self._descriptor, HEAD_BYTES, 0)
        return struct.unpack(f"={len(raw) // 4}I", raw[: len(raw) // 4 * 4])


def process_of(thread_id: int) -> int:
    """The process that a thread belongs to; 0 when it is gone."""
    try:
        status = Path(f"/proc/{thread_id}/status").read_text()
    except OSError:
        return 0
    return next(
        (int(line.split()[1]) for line in status.splitlines() if line.startswith("Tgid:")), 0
    )


def is_waiting_for_disk(thread_id: int) -> bool:
    """Whether the kernel holds the thread in a state that no signal ends."""
    try:
        stat = Path(f"/proc/{thread_id}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "D"
