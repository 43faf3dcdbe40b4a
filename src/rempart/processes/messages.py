"""What main, workers and control tell each other over their channels, beside the slots' messages.

Every message is a tagged struct; each direction is one union, so that an end decodes exactly what it
may be sent.
"""

import msgspec

from rempart.domain.keys import StoredKey
from rempart.domain.models import ModelStatus
from rempart.domain.peppers import Pepper
from rempart.runners import interface


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """Main to child, first of all: everything it is built from. Secrets travel here, never in an argument.

    Args:
        settings: the resolved configuration as JSON.
        name: the child's name in logs, and of its counters.
        peppers: keys of the digests of keys, newest first.
        admin_key: the first admin key, for control alone, which sees that it exists.
        started_at_s: monotonic seconds at which the server started.
        addresses: where the server listens, for people.
        instance: of this start of the server, unlike any other.
    """

    settings: bytes
    name: str
    generation: int
    run_dir: str
    log_file: str
    peppers: list[Pepper]
    admin_key: StoredKey | None = None
    started_at_s: float
    addresses: list[str] = []
    instance: str = ""

    @property
    def owner(self) -> str:
        """The owner of what the child reserves: unique to its start, since main gives no name twice."""
        return owner_name(self.instance, self.name)

    def __repr__(self) -> str:
        return f"Welcome(name={self.name!r}, generation={self.generation})"


def owner_name(instance: str, name: str) -> str:
    """As ``Welcome.owner``, for main, which ends what the dead hold."""
    return f"{instance}/{name}"


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Child to main: it serves."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """Worker to main, twice a second: its event loop turns.

    Args:
        in_flight: requests being served, probes included.
    """

    in_flight: int


class Drained(msgspec.Struct, frozen=True, tag="drained"):
    """Worker to main: told to drain, it has nothing left and ends."""


class Published(msgspec.Struct, frozen=True, kw_only=True, tag="published"):
    """Main to all: the models' states, whole; a newer one replaces an older one.

    Args:
        accepting: False once the server shuts down: ``/readyz`` says so and new requests are refused.
        keys_are_told: the published keys are those of this start; until then ``/readyz`` waits.
    """

    generation: int
    accepting: bool
    models: list[ModelStatus]
    keys_are_told: bool = True


class NewPeppers(msgspec.Struct, frozen=True, kw_only=True, tag="new_peppers"):
    """Main to all: the ring of peppers was changed (``rempart secrets rotate``); newest first."""

    peppers: list[Pepper]

    def __repr__(self) -> str:
        return f"NewPeppers({[pepper.id for pepper in self.peppers]})"


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag="drain"):
    """Main to worker: a newer generation serves. Stop accepting, finish what runs, end.

    Args:
        grace_s: after this, what still runs is ended with ``shutting_down``.
    """

    grace_s: float


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """Main to child: the server shuts down. Workers refuse new requests and finish those in flight.

    Args:
        grace_s: as in ``Drain``.
    """

    grace_s: float


class ReopenLog(msgspec.Struct, frozen=True, tag="reopen_log"):
    """Main to all: the log file was renamed; open it anew."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Control to main: do something with a model's runner; answered by ``Answer`` with the same number.

    Args:
        act: ``logs``, ``load``, ``unload`` or ``restart``; ``peppers`` (without a model): read them anew and
            tell all processes.
        count: lines, for ``logs``.
    """

    number: int
    act: str
    model: str
    count: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """Main to control.

    Args:
        error_code: of ``domain.errors``; empty when it was done.
    """

    number: int
    lines: list[str] = []
    error_code: str = ""
    reason: str = ""


FromMain = (
    Welcome
    | Published
    | NewPeppers
    | Drain
    | Stop
    | ReopenLog
    | Answer
    | interface.SlotGranted
    | interface.SlotRefused
    | interface.SlotPlace
)
ToMain = (
    Ready
    | Heartbeat
    | Drained
    | Ask
    | interface.SlotWanted
    | interface.SlotLeft
    | interface.SlotReleased
    | interface.EnsureReady
)
