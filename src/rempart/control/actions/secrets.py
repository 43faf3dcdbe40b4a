"""What an operator can do with the server's own secrets: a new pepper for the digests of keys."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from rempart.control.actions.operator import Operator
from rempart.control.registry import Registry
from rempart.domain.errors import InvalidRequest, StateUnavailable
from rempart.domain.peppers import PEPPERS_MAX, Peppers
from rempart.state.peppers import drop_peppers, rotate_pepper
from rempart.state.private_files import BootstrapError


class PepperFile:
    """The file of peppers, and the way of a change in it to every process.

    Args:
        is_configured: the pepper is the settings' ``secrets.master_key``; the file is not what counts.
        renew: has every process read the peppers anew; gives the ring that then counts.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        is_configured: bool,
        renew: Callable[[], Awaitable[Peppers]],
    ) -> None:
        self._data_dir = data_dir
        self._is_configured = is_configured
        self._renew = renew

    def must_be_in_use(self) -> None:
        """Refuse where the pepper comes from the settings.

        Raises:
            InvalidRequest: says what to do there.
        """
        if self._is_configured:
            raise InvalidRequest(
                reason="This server's pepper is its setting secrets.master_key. Put a new one there and the "
                "old one into secrets.previous_master_key, then reload (SIGHUP): nobody is locked out."
            )

    async def rotate(self) -> Peppers:
        """Put a new pepper first, and have it used.

        Raises:
            StateUnavailable: the file cannot be written; nothing has changed.
        """
        await _on_disk(lambda: rotate_pepper(self._data_dir))
        return await self._renew()

    async def drop(self, needed: set[str]) -> Peppers:
        """Drop the peppers that no key needs.

        Raises:
            StateUnavailable: the file cannot be written; nothing has changed.
        """
        await _on_disk(lambda: drop_peppers(self._data_dir, needed))
        return await self._renew()


class Peppered(NamedTuple):
    """How it stands with peppers.

    Args:
        pepper_id: of the one under which secrets are stored from here on.
        pepper_ids: of all that are in use, newest first.
        keys_waiting: keys stored under an older one; each is stored anew when it is next used.
    """

    pepper_id: str
    pepper_ids: list[str]
    keys_waiting: int


async def rotate(registry: Registry, operator: Operator, file: PepperFile) -> Peppered:
    """Store secrets under a new pepper from here on; every key goes on working.

    Raises:
        InsufficientScope, StateUnavailable.
        InvalidRequest: the pepper comes from the settings, or there are too many already.
    """
    operator.must_write()
    file.must_be_in_use()
    async with registry.changing:
        if len(registry.peppers.ring) >= PEPPERS_MAX:
            raise InvalidRequest(
                reason=f"There are {PEPPERS_MAX} peppers already. Forget those that no key needs first: "
                "rempart secrets rotate --drop-unused, or POST /api/secrets/drop-unused."
            )
        # Told before it is done: a pepper that changed without an entry would be worse than an entry
        # of a change that then failed.
        await registry.store.append(operator.act("secrets.rotate", "secrets"))
        registry.peppers = await file.rotate()
        return await _standing(registry)


async def drop_unused(registry: Registry, operator: Operator, file: PepperFile) -> Peppered:
    """Forget the peppers that no key needs any more.

    Raises:
        InsufficientScope, StateUnavailable.
        InvalidRequest: the pepper comes from the settings.
    """
    operator.must_write()
    file.must_be_in_use()
    async with registry.changing:
        needed: set[str] = set()
        for row in await registry.store.all_keys():
            needed |= {row.stored.pepper_id}
            needed |= {row.stored.old_pepper_id} if row.stored.old_digest else set()
        before = [pepper.id for pepper in registry.peppers.ring]
        act = operator.act("secrets.drop_unused", "secrets", before={"peppers": before})
        await registry.store.append(act)
        registry.peppers = await file.drop(needed)
        return await _standing(registry)


async def _standing(registry: Registry) -> Peppered:
    newest = registry.peppers.newest.id
    waiting = [
        row
        for row in await registry.store.all_keys()
        if row.stored.pepper_id != newest and not row.stored.revoked_s
    ]
    ids = [pepper.id for pepper in registry.peppers.ring]
    return Peppered(newest, ids, len(waiting))


async def _on_disk(write: Callable[[], object]) -> None:
    try:
        await asyncio.to_thread(write)
    except BootstrapError as error:
        raise StateUnavailable(reason=str(error), retry_after_s=1.0) from error
