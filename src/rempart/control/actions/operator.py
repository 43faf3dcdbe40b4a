"""Who acts, and what that allows."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rempart.domain.errors import InsufficientScope
from rempart.domain.keys import ALL_SCOPES, Principal, Scope
from rempart.state.durable.interface import Act

LOCAL = "local:"


class Operator(NamedTuple):
    """Who does something, for what they may do and for the audit log.

    Args:
        id: of the key, ``jwt:SUBJECT``, or ``local:UID`` on the machine itself.
        address: where from; empty: the machine itself.
    """

    id: str
    scopes: frozenset[str]
    address: str = ""

    @classmethod
    def of(cls, principal: Principal, address: str) -> "Operator":
        """A principal that came from an address."""
        return cls(principal.id, principal.scopes, address)

    @classmethod
    def local(cls, uid: int) -> "Operator":
        """The user of this machine who owns the data folder, or root."""
        return cls(f"{LOCAL}{uid}", ALL_SCOPES)

    def must_write(self) -> None:
        """Refuse who may only read.

        Raises:
            InsufficientScope.
        """
        if Scope.ADMIN_WRITE.value not in self.scopes:
            raise InsufficientScope(scope=Scope.ADMIN_WRITE.value)

    def must_hold(self, scopes: Iterable[str]) -> None:
        """Refuse to hand out, or get hold of, more than the operator has.

        A key that may write could otherwise make itself a stronger one, or rotate a stronger one and
        read its new secret.

        Raises:
            InsufficientScope: names the first scope that is missing.
        """
        self.must_write()
        for scope in sorted(set(scopes) - self.scopes):
            raise InsufficientScope(scope=scope)

    def act(
        self,
        action: str,
        target: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> Act:
        """What goes into the audit log."""
        return Act(
            actor=self.id,
            address=self.address,
            action=action,
            target=target,
            before=before,
            after=after,
        )
