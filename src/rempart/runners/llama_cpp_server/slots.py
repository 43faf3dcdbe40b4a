"""Who is in the engine: as many as it has slots, each told of when it comes and when it has gone."""

from dataclasses import dataclass
from typing import Any

from rempart.runners.llama_cpp_server.generation import Work
from rempart.runners.llama_cpp_server.refusals import no_slot
from rempart.runners.llama_cpp_server.status_pipe import StatusPipe
from rempart.runners.status import End, Slots


@dataclass(slots=True)
class Slot:
    """Room for one request.

    Args:
        number: from 0.
        grant: what its request is known by elsewhere; empty if it was not told.
        work: None while it is free, or taken by something not started.
    """

    number: int
    is_busy: bool = False
    grant: str = ""
    work: Work | None = None


@dataclass(slots=True)
class Counters:
    """Since the start; none of them falls.

    Args:
        requests: that had a slot.
        wasted_tokens: those of ``completion_tokens`` that were made for requests which were stopped.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    wasted_tokens: int = 0


class SlotTable:
    """All slots, used by the loop alone.

    Args:
        total: how many there are.
        status: is told of every change.
    """

    def __init__(self, total: int, status: StatusPipe) -> None:
        self._slots = [Slot(number) for number in range(total)]
        self._status = status
        self.counters = Counters()

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self._slots)

    @property
    def busy(self) -> int:
        """How many are taken."""
        return sum(slot.is_busy for slot in self._slots)

    def take(self, grant: str) -> Slot:
        """A free slot, taken.

        Raises:
            Refused: there is none.
        """
        slot = next((slot for slot in self._slots if not slot.is_busy), None)
        if slot is None:
            raise no_slot(self.total)
        slot.is_busy, slot.grant = True, grant
        self.counters.requests += 1
        self._tell()
        return slot

    def free(self, slot: Slot) -> None:
        """The slot's work has ended inside the engine; what it cost is counted and told."""
        work = slot.work
        prompt_tokens = work.prompt_tokens if work is not None else 0
        completion_tokens = work.completion_tokens if work is not None else 0
        is_cancelled = work is not None and work.is_stopped
        counters = self.counters
        counters.prompt_tokens += prompt_tokens
        counters.completion_tokens += completion_tokens
        if is_cancelled:
            counters.wasted_tokens += completion_tokens
        self._status.send(
            End(
                grant=slot.grant,
                prompt_tokens=prompt_tokens,
                completion_tokens=completion_tokens,
                cancelled=is_cancelled,
            )
        )
        slot.is_busy, slot.grant, slot.work = False, "", None
        self._tell()

    def works(self) -> list[Work]:
        """What runs."""
        return [slot.work for slot in self._slots if slot.work is not None]

    def listing(self) -> list[dict[str, Any]]:
        """Every slot at this moment, for people and tests."""
        return [
            {
                "id": slot.number,
                "busy": slot.is_busy,
                "grant": slot.grant,
                "prompt_tokens": slot.work.prompt_tokens if slot.work is not None else 0,
                "completion_tokens": slot.work.completion_tokens if slot.work is not None else 0,
                "stopping": slot.work is not None and slot.work.is_stopped,
            }
            for slot in self._slots
        ]

    def _tell(self) -> None:
        self._status.send(Slots(total=self.total, busy=self.busy))
