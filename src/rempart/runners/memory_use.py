"""How much memory a runner and all that it has forked use."""

import contextlib
import os
from pathlib import Path

from rempart.runners.shim import descendants

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree_bytes(root: int) -> int:
    """Resident memory of all processes below ``root``, which itself (the shim) is left out.

    Pages shared between them count once for each, so that the sum may be too high for programs that
    fork after they have loaded a model, never too low.
    """
    total = 0
    for pid in descendants(root):
        # One that has just ended has none.
        with contextlib.suppress(OSError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return total * PAGE_BYTES
