"""Which limits apply to a request, and what each is asked for. No I/O.

A key's own limits replace the defaults by name; None takes a default away. A project's, an end user's, a model's and
the server's limits stand beside them: each has a subject of its own, and all must have room.
"""

from collections.abc import Iterable
from hashlib import blake2b

from msgspec.structs import replace

from rempart.domain.keys import Principal
from rempart.domain.limits import BY_NAME, Amounts, LimitKind, Unit, amounts_of
from rempart.settings.model import Settings
from rempart.state.shared.limits.interface import Demand

END_USER_CHARACTERS_MAX = 64
"""A longer name of an end user is told apart by its digest."""

Rows = tuple[tuple[LimitKind, int], ...]


def rows_of(amounts: Amounts) -> Rows:
    """The limits that are set, as rows of ``KINDS`` with their amounts."""
    return tuple(
        (kind, amount)
        for name, kind in BY_NAME.items()
        if (amount := amounts.get(name)) is not None
    )


def end_user_subject(key_id: str, end_user: str) -> str:
    """An end user is known by the key that names it: another key's ``42`` is someone else."""
    if len(end_user) > END_USER_CHARACTERS_MAX:
        end_user = blake2b(end_user.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"end_user:{key_id}/{end_user}"


class Plan:
    """The limits of the configuration, ready to be asked."""

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self._defaults = amounts_of(limits)
        self._default_rows = rows_of(self._defaults)
        self._end_user = rows_of(amounts_of(limits.end_user))
        self._address = rows_of(amounts_of(limits.address))
        self._server = rows_of(amounts_of(limits.server))
        self._models = {model.name: rows_of(amounts_of(model.limits)) for model in settings.models}

    def of_address(self, address: str) -> list[Demand]:
        """For a route that needs no key."""
        return demands("address:" + address, self._address, _ONE) if self._address else []

    def of_head(self, principal: Principal, project: Amounts) -> list[Demand]:
        """Of requests, as far as the head of a request says whose they are.

        Args:
            project: the limits of the principal's project.
        """
        return [
            one for one in self._of_principal(principal, project, _ONE) if one.unit is Unit.REQUESTS
        ]

    def of_request(
        self,
        principal: Principal,
        project: Amounts,
        *,
        end_user: str,
        model: str,
        amounts: dict[Unit, int],
    ) -> list[Demand]:
        """Everything that a request takes, each limit with its amount.

        Args:
            end_user: empty: none is named.
            model: empty: none is asked.
            amounts: by what is counted; a limit of what is not in there does not apply.
        """
        found = self._of_principal(principal, project, amounts)
        if end_user and self._end_user:
            found += demands(end_user_subject(principal.id, end_user), self._end_user, amounts)
        own = self._models.get(model)
        if own:
            found += demands("model:" + model, own, amounts)
        return found

    def _of_principal(
        self, principal: Principal, project: Amounts, amounts: dict[Unit, int]
    ) -> list[Demand]:
        rows = self._rows_of_key(principal)
        found = demands("key:" + principal.id, rows, amounts) if rows else []
        if project:
            found += demands("project:" + principal.project, rows_of(project), amounts)
        if self._server:
            found += demands("server", self._server, amounts)
        return found

    def _rows_of_key(self, principal: Principal) -> Rows:
        own = principal.limits
        if principal.is_unlimited:
            return rows_of(own) if own else ()
        return rows_of({**self._defaults, **own}) if own else self._default_rows


_ONE = {Unit.REQUESTS: 1}


def demands(subject: str, rows: Rows, amounts: dict[Unit, int]) -> list[Demand]:
    """One subject's demands; limits of what is not in ``amounts`` are left out."""
    return [
        Demand(
            subject=subject,
            name=kind.name,
            unit=kind.unit,
            window_s=kind.window_s,
            amount=amounts[kind.unit],
            amount_max=amount_max,
        )
        for kind, amount_max in rows
        if kind.unit in amounts
    ]


def with_amounts(asked: Iterable[Demand], amounts: dict[Unit, int]) -> list[Demand]:
    """The same demands for these amounts; those of what is not in there are left out."""
    return [
        one if amounts[one.unit] == one.amount else replace(one, amount=amounts[one.unit])
        for one in asked
        if one.unit in amounts
    ]


def counts_tokens(asked: Iterable[Demand]) -> bool:
    """Whether any of them counts tokens or what they cost."""
    return any(one.unit is Unit.TOKENS or one.unit is Unit.COST for one in asked)
