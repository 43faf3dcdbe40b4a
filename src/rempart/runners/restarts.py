"""After a crash: how long to wait before the next start, and when to give up. Pure.

The pause doubles from ``first_s`` to ``longest_s`` with every crash, with jitter so that the models
of a machine do not all load at the same moment. A runner that was ready for a while before it
crashed starts again from the first pause.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rempart.settings.model import Restarts


@dataclass(frozen=True)
class Pause:
    """Start it again after this time."""

    seconds: float


@dataclass(frozen=True)
class GiveUp:
    """Do not start it again by yourself; ``reason`` is for people."""

    reason: str


class CrashHistory:
    """The crashes of one model's runner.

    Args:
        limits: pauses, and how many crashes within which window are too many.
        uniform: chance: a number between two others, for the jitter.
    """

    def __init__(self, limits: Restarts, uniform: Callable[[float, float], float]) -> None:
        self._limits = limits
        self._uniform = uniform
        self._crashes: deque[float] = deque(maxlen=limits.crashes_max)
        self._in_a_row = 0

    def crashed(self, now: float, *, ready_s: float, reason: str) -> Pause | GiveUp:
        """What to do after a crash.

        Args:
            now: monotonic seconds of the crash.
            ready_s: how long the runner had been ready; 0 if it never was.
            reason: how it ended, for the sentence that people read when it is given up.

        ``crashes_max`` crashes within ``window_s`` are too many, whatever lay between them; a time
        of ``longest_s`` in which it served only brings the pause back to the first.
        """
        if ready_s >= self._limits.longest_s:
            self._in_a_row = 0
        self._in_a_row += 1
        self._crashes.append(now)
        first = self._crashes[0]
        if len(self._crashes) == self._limits.crashes_max and now - first <= self._limits.window_s:
            return GiveUp(
                f"its runner crashed {self._limits.crashes_max} times within "
                f"{self._limits.window_s:g} s; the last time {reason}"
            )
        # The exponent is bounded, since 2.0**1100 overflows after some days of crashing.
        pause_s = self._limits.first_s * 2.0 ** min(self._in_a_row - 1, 60)
        pause_s = min(pause_s, self._limits.longest_s)
        # Jitter only shortens, so that longest_s is what it says.
        return Pause(pause_s * self._uniform(0.75, 1.0))

    def forgive(self) -> None:
        """Forget all crashes: an operator has asked for a new start."""
        self._crashes.clear()
        self._in_a_row = 0
