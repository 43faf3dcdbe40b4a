"""What a kind of runner is: a model's settings in, a way to start it and what it can do out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rempart.domain.models import Abilities, Facts, Replica
from rempart.settings.model import Model


class LaunchError(Exception):
    """There is nothing to start, and trying again will not help: the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What one start is given; made anew for each.

    Args:
        name: of this start, unique over restarts, fit for a file name: ``demo-3``.
        run_dir: for sockets and files of this start, mode 0700, short enough for a socket's path.
        data_dir: the data folder.
        key: random, for runners that take an API key.
        free_port: gives a loopback port that was free a moment ago.
    """

    name: str
    run_dir: Path
    data_dir: Path
    key: str = field(repr=False)
    free_port: Callable[[], int]

    @property
    def models_dir(self) -> Path:
        """Where downloaded models are kept."""
        return self.data_dir / "models"


@dataclass(frozen=True, kw_only=True)
class Liveness:
    """How a running runner is watched.

    Args:
        every_s: between two probes, and how long one may take.
        failures: so many in a row and it is restarted.
        failures_busy: so many while it serves: some servers cannot answer a probe meanwhile.
    """

    every_s: float = 5.0
    failures: int = 3
    failures_busy: int = 3


BUSY_IS_DEAF = Liveness(failures_busy=60)
"""For programs that compute in their event loop: silent for up to five minutes while they serve."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start a runner and where it will be found; ``repr`` shows no keys, no environment.

    Args:
        replicas: the first one is probed; more than one only without a process.
        command: empty for a server that is not ours to start; it is taken as ready at once.
        environment: beside the minimal one.
        files: written for this start alone, mode 0600, and removed when it has ended.
        sockets: Unix sockets that the runner makes; removed when it has ended.
        has_status_pipe: descriptor 3 is a status pipe (``status.py``).
        says_ready: it counts as ready when it says so on the status pipe *and* answers its probe.
        starts_alone: no other such runner may be starting at the same time.
        facts: what is known before it runs.
    """

    replicas: tuple[Replica, ...]
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    files: dict[Path, str] = field(default_factory=dict, repr=False)
    sockets: tuple[Path, ...] = ()
    has_status_pipe: bool = False
    says_ready: bool = False
    liveness: Liveness = Liveness()
    starts_alone: bool = False
    facts: Facts = field(default_factory=Facts)


class RunnerKind(Protocol):
    """One kind; stateless, one object for all models of it.

    Args:
        name: as in the setting ``kind``.
        slots_default: requests at a time where the model's table does not say; None is no bound.
    """

    name: str
    slots_default: int | None

    def abilities(self, model: Model) -> Abilities:
        """Its endpoints, what a hang-up stops at each, and what a relay must know."""
        ...

    def launch(self, model: Model, place: Place) -> Launch:
        """How to start it, this time.

        Raises:
            LaunchError: a file is missing or a setting makes no sense.
        """
        ...
