"""Simulated time: an event loop whose clock jumps to the next timer when nothing is ready.

An hour costs milliseconds, and nothing depends on how fast the machine is. For code that only waits for
timers and for itself; real sockets and processes need real time.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

STUCK_S = 2.0
"""Real seconds without an event or a timer after which the simulation is taken for stuck."""


class _JumpingSelector(selectors.DefaultSelector):
    loop: "SimLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else STUCK_S)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("nothing is ready and no timer is set: this would wait for ever")
        self.loop.jump(timeout)
        return []


class SimLoop(asyncio.SelectorEventLoop):
    """The loop; ``time()`` begins at ``start_s``."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self._now_s = start_s
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Time passes without anything being run."""
        self._now_s += seconds


class SimClock:
    """The clock (``base.clock.Clock``) of the simulated loop that runs."""

    def __init__(self, wall_at_0: datetime = datetime(2026, 11, 24, 16, tzinfo=UTC)) -> None:
        self._wall_at_0 = wall_at_0

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> datetime:
        return self._wall_at_0 + timedelta(seconds=self.now())


def simulate(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in simulated time.

    Raises:
        RuntimeError: everything waits and nothing will wake it.
    """
    heard: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: heard.append(context))
        result = runner.run(coroutine)
    assert heard == []
    return result
