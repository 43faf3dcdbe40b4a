"""Control's side of the audit log's checkpoints: signs when something is due, and tells what it found."""

import asyncio
from collections.abc import Callable

from rempart.control.registry import Registry
from rempart.domain.errors import StateUnavailable
from rempart.state.durable.checkpoints import AuditLogChanged, Checkpoints

EVERY_S = 5.0
CLOSE_S = 2.0
"""The end waits no longer for the last checkpoint; the next start signs what is missing."""


class Signing:
    """Signs the registry's audit log.

    Args:
        on_signed: told each note; a log line is one more place outside the database.
        on_fault: told, once for each, why nothing is signed.
    """

    def __init__(
        self,
        registry: Registry,
        checkpoints: Checkpoints,
        *,
        on_signed: Callable[[str], None] = lambda note: None,
        on_fault: Callable[[str], None] = lambda fault: None,
    ) -> None:
        self._registry = registry
        self._checkpoints = checkpoints
        self._on_signed = on_signed
        self._on_fault = on_fault
        self._fault = ""

    async def once(self, *, is_last: bool = False) -> None:
        """Sign what is due.

        Raises:
            StateUnavailable: the database is away.
        """
        try:
            note = await self._checkpoints.advance(self._registry.store, is_last=is_last)
        except AuditLogChanged as error:
            if str(error) != self._fault:
                self._fault = str(error)
                self._on_fault(self._fault)
            return
        self._fault = ""
        if note:
            self._on_signed(note)

    async def close(self) -> None:
        """Sign what is not signed yet, where the database answers soon."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.once(is_last=True)
        except (StateUnavailable, TimeoutError):
            return
