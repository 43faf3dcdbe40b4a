"""What an operator can see of limits: how they stand for a key, a project, the models and the server."""

from typing import NamedTuple

from rempart.control.actions import keys, projects
from rempart.control.registry import Registry
from rempart.domain.limits import BY_NAME, MICROS, Amounts, Unit, amounts_of
from rempart.settings.model import Settings
from rempart.state.shared.limits.interface import Demand, LimitStore, Standing


class Shown(NamedTuple):
    """One limit as it stands. Costs are in the operator's currency."""

    subject: str
    limit_name: str
    limit: float
    used: float
    remaining: float
    window_seconds: int
    full_in_seconds: float


async def of_key(
    registry: Registry, store: LimitStore, settings: Settings, id_: str
) -> list[Shown]:
    """A key's own limits, and those of its project.

    Raises:
        NotFound: there is no such key.
    """
    stored = (await keys.find(registry, id_)).stored
    defaults = {} if stored.is_unlimited else amounts_of(settings.limits)
    found = _standing(registry, store, f"key:{id_}", {**defaults, **stored.limits})
    if stored.project:
        found += await of_project(registry, store, stored.project)
    return found


async def of_project(registry: Registry, store: LimitStore, id_or_name: str) -> list[Shown]:
    """The limits that a project's keys share.

    Raises:
        NotFound: there is no such project.
    """
    row = await projects.find(registry, id_or_name)
    return _standing(registry, store, f"project:{row.id}", row.limits)


def of_server(registry: Registry, store: LimitStore, settings: Settings) -> list[Shown]:
    """The limits of all requests together, and of each model."""
    found = _standing(registry, store, "server", amounts_of(settings.limits.server))
    for model in settings.models:
        found += _standing(registry, store, f"model:{model.name}", amounts_of(model.limits))
    return found


def _standing(registry: Registry, store: LimitStore, subject: str, amounts: Amounts) -> list[Shown]:
    demands = [
        Demand(
            subject=subject,
            name=name,
            unit=BY_NAME[name].unit,
            window_s=BY_NAME[name].window_s,
            amount=1,
            amount_max=amount,
        )
        for name, amount in amounts.items()
        if amount is not None
    ]
    if not demands:
        return []
    return [_shown(standing) for standing in store.standings(demands, registry.now_ms)]


def _shown(standing: Standing) -> Shown:
    demand = standing.demand
    share = MICROS if demand.unit is Unit.COST else 1
    return Shown(
        subject=demand.subject,
        limit_name=demand.name,
        limit=demand.amount_max / share,
        used=(demand.amount_max - standing.remaining) / share,
        remaining=standing.remaining / share,
        window_seconds=demand.window_s,
        full_in_seconds=standing.full_ms / 1000,
    )
