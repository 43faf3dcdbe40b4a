"""From a setting's URL to the stores behind the interfaces: the one place that knows which back end is used.

    shared = open_shared(settings, data_dir, clock=clock)
    shared.limits.take(…); shared.keys.key(…); shared.lockout.failed(…)
    shared.close()

``lmdb`` is a file of the data folder that all processes of the machine open, each after its exec. ``memory`` is
for tests: this process alone sees it.
"""

from dataclasses import dataclass
from pathlib import Path

from rempart.base.clock import Clock
from rempart.domain.errors import StateUnavailable
from rempart.settings.model import Settings
from rempart.state.durable.interface import DurableStore
from rempart.state.shared.environment import Environment, StateFileRefused
from rempart.state.shared.keys.interface import PublishedKeys
from rempart.state.shared.keys.lmdb import LmdbPublishedKeys
from rempart.state.shared.keys.memory import MemoryPublishedKeys
from rempart.state.shared.limits.interface import LimitStore
from rempart.state.shared.limits.lmdb import LmdbLimits
from rempart.state.shared.limits.memory import MemoryLimits
from rempart.state.shared.lockout.interface import LockoutStore
from rempart.state.shared.lockout.lmdb import LmdbLockout
from rempart.state.shared.lockout.memory import MemoryLockout

FOLDER = "shared"
FILE = "state.mdb"
DATABASE_FILE = "rempart.db"
DATABASE_RETRY_S = 10.0
LEASE_MARGIN_S = 120.0
"""What a lease outlives the longest request by: its last byte, its record, a stalled process."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the processes of a deployment share.

    Args:
        environment: of the embedded back end, for its upkeep; None with another one.
    """

    limits: LimitStore
    keys: PublishedKeys
    lockout: LockoutStore
    environment: Environment | None = None

    def close(self) -> None:
        """Let go of the files."""
        if self.environment is not None:
            self.environment.close()


def open_shared(settings: Settings, data_dir: Path, *, clock: Clock) -> Shared:
    """The stores that ``[shared] url`` names.

    Raises:
        StateFileRefused: the file cannot be used; the message is for the operator.
        StateUnavailable: there is no room in it for what it must hold.
    """
    lease_s = longest_request_s(settings) + LEASE_MARGIN_S
    if settings.shared.url == "memory":
        return Shared(
            limits=MemoryLimits(lease_s=lease_s),
            keys=MemoryPublishedKeys(),
            lockout=MemoryLockout(),
        )
    if settings.shared.url != "lmdb":
        raise StateFileRefused(
            f"shared.url must be 'lmdb', found {settings.shared.url.partition(':')[0]!r}. Remove it, or write 'lmdb'."
        )
    path = shared_file(data_dir)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = Environment(path, size_bytes_max=settings.shared.size_bytes_max)
    return Shared(
        limits=LmdbLimits(environment, monotonic_s=clock.now, lease_s=lease_s),
        keys=LmdbPublishedKeys(environment.lmdb),
        lockout=LmdbLockout(environment.lmdb),
        environment=environment,
    )


async def open_durable(settings: Settings, data_dir: Path, *, clock: Clock) -> DurableStore:
    """The database that ``[database] url`` names, its tables made where they are not there.

    Raises:
        StateUnavailable: it cannot be reached, or a newer version of Rempart has changed its tables.
    """
    # SQLAlchemy is read only by who opens a database: workers and main never do.
    from rempart.state.durable.dialect import postgresql_engine, sqlite_engine
    from rempart.state.durable.store import SqlStore

    kind, _, place = settings.database.url.partition("://")
    if kind == "sqlite":
        path = data_dir / DATABASE_FILE if not place else Path(place.removeprefix("/"))
        return await SqlStore.open(sqlite_engine(path), clock)
    if kind in ("postgresql", "postgres"):
        return await SqlStore.open(postgresql_engine(settings.database.url), clock)
    raise StateUnavailable(
        reason="[database] url must be sqlite, sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME",
        retry_after_s=DATABASE_RETRY_S,
    )


def shared_file(data_dir: Path) -> Path:
    """Where the embedded back end keeps its file."""
    return data_dir / FOLDER / FILE


def longest_request_s(settings: Settings) -> float:
    """How long a request may take by any of the configured clocks."""
    own = [settings.deadline.total_s, settings.deadline.unstreamed_s]
    for model in settings.models:
        own += [model.deadline.total_s or 0.0, model.deadline.unstreamed_s or 0.0]
    return max(own)
