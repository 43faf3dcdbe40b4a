"""How many prompt tokens a batch has: small enough to stop soon, large enough to be fast.

A batch that runs cannot be interrupted, so its length is how late a hang-up in prefill is noticed
and how long other slots wait between two tokens; small batches read weights more often. A prompt of
exactly n tokens is one batch of n, so one engine made for large batches measures all sizes.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

BATCH_MS_MAX = 150.0
SPEED_RATIO_MIN = 0.85
"""Of the best speed measured; a choice below it only where no batch is short and fast enough."""

SIZES = (8, 16, 32, 64, 128, 256, 512)
"""Multiples of 8: the CPU kernels work on eight rows at a time, and 9 tokens take as long as 16."""
PROBE_BATCH_CPU, PROBE_BATCH_GPU = 128, SIZES[-1]
"""The largest size that is tried. Without flash attention, memory for it grows with the context: half
a GiB for 512 tokens of a common model, which a runner on the CPU would need for this moment only."""
BUDGET_MS = 2000.0
ENTRIES_MAX = 32
_REPEATED_BELOW_MS = 160.0
_DISTURBED_RATIO = 1.4
"""Threads that wait for each other explain less than this."""


class Measured(NamedTuple):
    """One batch size and the shortest time it took."""

    tokens: int
    ms: float

    @property
    def tokens_per_s(self) -> float:
        """Prompt speed at this size."""
        return self.tokens / self.ms * 1000 if self.ms > 0 else 0.0


def idle_ms(wall_ms: float, cpu_ms: float, threads: int) -> float:
    """What a batch would have taken on an idle machine.

    A first start is often a busy moment, and its result is remembered. Threads that wait use no
    processor time, so that waiting for others shows as time on the clock alone.

    Args:
        wall_ms: what it took.
        cpu_ms: processor time of all threads together.
        threads: how many worked on it.
    """
    share_ms = cpu_ms / threads
    return share_ms if wall_ms > _DISTURBED_RATIO * share_ms else wall_ms


def size_min(slots: int) -> int:
    """The smallest size considered: half of a batch is left for prompts when all slots generate."""
    return next((size for size in SIZES if size >= 2 * slots), 2 * slots)


def measure(batch_ms: Callable[[int], float], *, slots: int, tokens_max: int) -> list[Measured]:
    """Times of sizes from small to large, within about ``BUDGET_MS``.

    Args:
        batch_ms: milliseconds of one batch of so many tokens; called several times.
        tokens_max: sizes above it are left out.
    """
    found: list[Measured] = []
    spent_ms = 0.0
    for size in SIZES:
        if size < size_min(slots) or size > tokens_max:
            continue
        # A batch of twice the tokens takes up to twice as long.
        if found and (found[-1].ms > 4 * BATCH_MS_MAX or spent_ms + 2 * found[-1].ms > BUDGET_MS):
            break
        times = [batch_ms(size)]
        while (
            len(times) < 3 and times[-1] < _REPEATED_BELOW_MS and spent_ms + sum(times) < BUDGET_MS
        ):
            times.append(batch_ms(size))
        spent_ms += sum(times)
        found.append(Measured(size, min(times)))
    return found


def choose(measured: Sequence[Measured]) -> Measured:
    """The smallest batch that is in time and fast enough; else the fastest in time; else the smallest.

    Raises:
        ValueError: nothing was measured.
    """
    if not measured:
        raise ValueError("nothing was measured")
    best = max(m.tokens_per_s for m in measured)
    in_time = [m for m in measured if m.ms <= BATCH_MS_MAX]
    fast = [m for m in in_time if m.tokens_per_s >= SPEED_RATIO_MIN * best]
    if fast:
        return min(fast, key=lambda m: m.tokens)
    if in_time:
        return max(in_time, key=lambda m: m.tokens_per_s)
    return min(measured, key=lambda m: m.tokens)


def fingerprint(model: Path, *facts: object) -> str:
    """A name for this model file on this machine with these settings.

    The file's size, time and ends stand for its content: hashing all of it takes longer than what
    is saved.
    """
    digest = hashlib.blake2b(digest_size=16)
    stat = model.stat()
    digest.update(repr((stat.st_size, stat.st_mtime_ns, _cpu(), facts)).encode())
    with model.open("rb") as file:
        digest.update(file.read(65536))
        if stat.st_size > 65536:
            file.seek(-65536, os.SEEK_END)
            digest.update(file.read(65536))
    return digest.hexdigest()


def _cpu() -> str:
    """The processor's name: a data folder may move to another machine."""
    try:
        with open("/proc/cpuinfo", "rb") as file:
            lines = file.read(65536).split(b"\n")
    except OSError:
        return ""
    names = [line for line in lines if line.startswith((b"model name", b"CPU part"))]
    return names[0].decode("ascii", "replace") if names else ""


class Remembered:
    """Choices of earlier starts, in one small file that may be lost without harm.

    Args:
        file: where; it need not exist, and it need not be possible to write it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, name: str) -> Measured | None:
        """The choice under this fingerprint."""
        return self._read().get(name)

    def put(self, name: str, choice: Measured) -> None:
        """Remember it; of many the oldest are dropped."""
        known = self._read()
        known.pop(name, None)
        known[name] = choice
        newest = dict(list(known.items())[-ENTRIES_MAX:])
        scratch = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            scratch.write_bytes(msgspec.json.encode(newest))
            os.replace(scratch, self._file)
        except OSError:
            # A read-only folder: it is measured anew at the next start.
            with contextlib.suppress(OSError):
                scratch.unlink()

    def _read(self) -> dict[str, Measured]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, Measured])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}
