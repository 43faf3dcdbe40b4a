"""The state that operators work on, opened: by the control process, and by commands where no server runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rempart.base.clock import Clock
from rempart.control.actions.secrets import PepperFile
from rempart.control.app import ControlState
from rempart.control.registry import Registry
from rempart.control.signing import Signing
from rempart.domain.keys import StoredKey
from rempart.domain.peppers import Peppers
from rempart.settings.model import Settings
from rempart.state.bootstrap import retire_admin_key
from rempart.state.durable.checkpoints import Checkpoints
from rempart.state.open import Shared, open_durable, open_shared


@dataclass(frozen=True, kw_only=True)
class OpenState:
    """The shared state, and what operators work on."""

    shared: Shared
    control: ControlState
    signing: Signing

    async def close(self) -> None:
        """Sign the end of the audit log, and let go of database and files."""
        await self.signing.close()
        await self.control.registry.close()
        self.shared.close()


def open_state(
    settings: Settings,
    *,
    clock: Clock,
    peppers: Peppers,
    renew: Callable[[], Awaitable[Peppers]],
    admin_key: StoredKey | None = None,
    on_signed: Callable[[str], None] = lambda note: None,
    on_fault: Callable[[str], None],
) -> OpenState:
    """The state that these settings name. The database itself is opened by ``Registry.keep``.

    Args:
        renew: has every process read the peppers anew.
        admin_key: the first admin key, to be imported where it is not known.
        on_signed, on_fault: see ``Signing``.
    Raises:
        StateFileRefused, StateUnavailable: the shared state cannot be used.
    """
    data_dir = Path(settings.data_dir)
    shared = open_shared(settings, data_dir, clock=clock)
    registry = Registry(
        open_store=partial(open_durable, settings, data_dir, clock=clock),
        published=shared.keys,
        peppers=peppers,
        clock=clock,
        bootstrap=[admin_key] if admin_key is not None else [],
        on_retired=partial(retire_admin_key, data_dir),
    )
    file = PepperFile(data_dir, is_configured=bool(settings.secrets.master_key), renew=renew)
    checkpoints = Checkpoints(data_dir, clock)
    return OpenState(
        shared=shared,
        control=ControlState(registry, shared.limits, file, checkpoints),
        signing=Signing(registry, checkpoints, on_signed=on_signed, on_fault=on_fault),
    )
