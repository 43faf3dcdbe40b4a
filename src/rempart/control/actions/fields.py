"""What an operator may write of keys and projects: every field, what it takes, all that is wrong at once.

The API's bodies and the commands that open the state themselves are checked by the same classes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_interface, ip_network
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from rempart.control.registry import RESERVED
from rempart.domain.errors import InvalidRequest
from rempart.domain.keys import Scope
from rempart.domain.limits import KINDS, MICROS, Amounts, LimitKind, Unit

NAME_CHARACTERS_MAX = 128
MODELS_MAX = 256
NETWORKS_MAX = 64
LABELS_MAX = 64
AMOUNT_MAX = 10**12
COST_MAX = 10**9
FOUND_CHARACTERS_MAX = 80
LIFE_S_MAX = 100 * 365 * 86400
DEFAULT = "default"
"""As an amount in a change: the limit of the settings holds again."""


class _Strict(BaseModel):
    """No unknown field, and no value that is only nearly of the right type."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable text without space around it")
    return text


def _not_reserved(name: str) -> str:
    if name.startswith(RESERVED):
        raise ValueError(f"must not begin with {RESERVED}, which is ours")
    return name


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        pass
    try:
        wider = ip_interface(text).network
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8 or an address") from None
    raise ValueError(f"has bits set beyond its prefix; write {wider} if that is what is meant")


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a moment such as 2027-01-31T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("must say its time zone, as in 2027-01-31T00:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be before the year 9999") from None


Document = TypeVar("Document", bound=BaseModel)
IS_PRINTABLE = AfterValidator(_printable)
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS_MAX), IS_PRINTABLE]
ModelName = Annotated[str, Field(min_length=1, max_length=256), IS_PRINTABLE]
Network = Annotated[str, Field(max_length=64), AfterValidator(_network)]
LabelName = Annotated[
    str, Field(min_length=1, max_length=64), IS_PRINTABLE, AfterValidator(_not_reserved)
]
LabelText = Annotated[str, Field(max_length=256), IS_PRINTABLE]
ScopeName = Literal["inference", "metrics", "admin:read", "admin:write"]
ContentName = Literal["off", "hashed", "on"]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
LifeS = Annotated[float, Field(gt=0, le=LIFE_S_MAX)]
Labels = Annotated[dict[LabelName, LabelText], Field(max_length=LABELS_MAX)]
Scopes = Annotated[
    list[ScopeName], Field(min_length=1, max_length=len(Scope), description="what it may do")
]
Models = Annotated[
    list[ModelName], Field(max_length=MODELS_MAX, description="models it may use; empty: all")
]
Networks = Annotated[
    list[Network],
    Field(max_length=NETWORKS_MAX, description="networks it may come from (CIDR); empty: all"),
]
Project = Annotated[
    str, Field(max_length=NAME_CHARACTERS_MAX, description="a project's id or name; empty: none")
]


def _amount(kind: LimitKind) -> Any:
    if kind.unit is Unit.COST:
        return Annotated[float, Field(ge=0, le=COST_MAX)]
    return Annotated[int, Field(ge=0, le=AMOUNT_MAX)]


def _limits_class(name: str, doc: str, *, with_default: bool) -> type[_Strict]:
    """A field for every row of ``domain.limits``; one that is not given is not set."""
    fields: dict[str, Any] = {}
    for kind in KINDS:
        taken = _amount(kind) | None
        if with_default:
            taken = taken | Literal["default"]
        fields[kind.name] = (taken, Field(default=None))
    return create_model(name, __base__=_Strict, __doc__=doc, **fields)


OwnLimits = _limits_class(
    "OwnLimits",
    "Limits that replace the defaults by name: a number, or null for no limit. Costs are in your currency.",
    with_default=False,
)
LimitChanges = _limits_class(
    "LimitChanges",
    'Limits to set by name: a number, null for no limit, "default" for what the settings say.',
    with_default=True,
)


class NewKey(_Strict):
    """A key to be made."""

    name: Name
    scopes: Scopes = ["inference"]
    models: Models = []
    limits: OwnLimits = Field(default_factory=OwnLimits)  # type: ignore[valid-type]  # made above
    networks: Networks = []
    project: Project = ""
    content: ContentName = Field(
        default="off", description="what may be kept of its requests' texts"
    )
    labels: Labels = {}
    expires_at: Moment | None = Field(default=None, description="null: never")
    expires_in_s: LifeS | None = Field(default=None, description="instead of expires_at")


class KeyChanges(_Strict):
    """What is to change of a key; what is not given stays."""

    name: Name | None = None
    scopes: Scopes | None = None
    models: Models | None = None
    limits: LimitChanges | None = None  # type: ignore[valid-type]  # made above
    networks: Networks | None = None
    project: Project | None = None
    content: ContentName | None = None
    labels: dict[LabelName, LabelText | None] | None = Field(
        default=None, max_length=LABELS_MAX, description="labels to set; null takes one away"
    )
    expires_at: Moment | None = Field(default=None, description="null: never")
    expires_in_s: LifeS | None = Field(default=None, description="instead of expires_at")


class Rotation(_Strict):
    """How a key's secret is to be replaced."""

    grace_s: float = Field(
        default=0.0, ge=0, le=30 * 86400, description="how long the old secret stays valid"
    )


class NewProject(_Strict):
    """A project to be made."""

    name: Name
    limits: OwnLimits = Field(default_factory=OwnLimits)  # type: ignore[valid-type]  # made above
    labels: Labels = {}


class ProjectChanges(_Strict):
    """What is to change of a project; what is not given stays."""

    name: Name | None = None
    limits: LimitChanges | None = None  # type: ignore[valid-type]  # made above
    labels: dict[LabelName, LabelText | None] | None = Field(
        default=None, max_length=LABELS_MAX, description="labels to set; null takes one away"
    )


def amounts_of(limits: BaseModel) -> Amounts:
    """The limits that were given, costs in micros."""
    return {
        kind.name: _counted(kind, getattr(limits, kind.name))
        for kind in KINDS
        if kind.name in limits.model_fields_set
    }


def changed_amounts(before: Amounts, changes: BaseModel) -> Amounts:
    """The limits after a change."""
    after = dict(before)
    for kind in KINDS:
        if kind.name not in changes.model_fields_set:
            continue
        value = getattr(changes, kind.name)
        if value == DEFAULT:
            after.pop(kind.name, None)
        else:
            after[kind.name] = _counted(kind, value)
    return after


def shown_amounts(amounts: Amounts) -> dict[str, float | int | None]:
    """Limits as operators read and write them: costs in their currency."""
    found: dict[str, float | int | None] = {}
    for kind in KINDS:
        if kind.name in amounts:
            amount = amounts[kind.name]
            is_cost = kind.unit is Unit.COST and amount is not None
            found[kind.name] = amount / MICROS if is_cost and amount is not None else amount
    return found


def changed_labels(before: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    """The labels after a change.

    Raises:
        InvalidRequest: they would be too many.
    """
    after = {**before, **changes}
    kept = {name: text for name, text in after.items() if text is not None}
    if len(kept) > LABELS_MAX:
        raise wrong_fields([wrong("labels", f"must be at most {LABELS_MAX}", len(kept))])
    return kept


def expiry(given: NewKey | KeyChanges, now: datetime) -> datetime | None:
    """When a key is to expire; None: never.

    Raises:
        InvalidRequest: both ways to say it were used, or the moment has passed.
    """
    if given.expires_at is not None and given.expires_in_s is not None:
        problem = "must not be given beside expires_at; one of them is enough"
        raise wrong_fields([wrong("expires_in_s", problem, given.expires_in_s)])
    if given.expires_in_s is not None:
        return datetime.fromtimestamp(now.timestamp() + given.expires_in_s, UTC)
    if given.expires_at is not None and given.expires_at <= now:
        problem = "must be in the future; to end a key at once, revoke it"
        raise wrong_fields([wrong("expires_at", problem, given.expires_at.isoformat())])
    return given.expires_at


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that differ, before and after; one that is not there is None."""
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return {name: before.get(name) for name in names}, {name: after.get(name) for name in names}


def wrong(field: str, problem: str, found: Any) -> dict[str, str]:
    """One wrong field, with what was found, shortened."""
    text = found if isinstance(found, str) else repr(found)
    if len(text) > FOUND_CHARACTERS_MAX:
        text = text[:FOUND_CHARACTERS_MAX] + "…"
    return {"field": field, "problem": problem, "found": text.encode("utf-8", "replace").decode()}


def wrong_fields(fields: list[dict[str, str]]) -> InvalidRequest:
    """The error that names them all."""
    first = fields[0]
    more = f" ({len(fields) - 1} more in details.fields)" if len(fields) > 1 else ""
    found = f', found "{first["found"]}"' if first.get("found") else ""
    return InvalidRequest(
        param=first["field"],
        reason=f"{first['field']}: {first['problem']}{found}.{more} GET /openapi.json says what it takes.",
        details={"fields": fields},
    )


def wrong_fields_of(errors: list[Any], *, skip: int = 0) -> InvalidRequest:
    """The same, of what pydantic found.

    Args:
        skip: leading parts of each place that are no field (FastAPI's ``body`` or ``query``).
    """
    return wrong_fields([_wrong_of(item, skip) for item in errors])


def parse(kind: type[Document], document: Any) -> Document:
    """A checked document.

    Raises:
        InvalidRequest: with every wrong field.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise wrong_fields_of(list(error.errors(include_url=False))) from error


def _wrong_of(item: Any, skip: int) -> dict[str, str]:
    place = ".".join(str(part) for part in item["loc"][skip:]) or "body"
    problem = str(item["msg"]).removeprefix("Value error, ")
    problem = problem.replace("Input should", "must").replace("String should", "must")
    match item["type"]:
        case "extra_forbidden":
            return wrong(place, "is not a field here; check its spelling", "")
        case "missing":
            return wrong(place, "is missing", "")
        case "json_invalid":
            return wrong("body", f"is not JSON: {item.get('ctx', {}).get('error', problem)}", "")
    return wrong(place, problem[:1].lower() + problem[1:], item.get("input", ""))


def _counted(kind: LimitKind, value: Any) -> int | None:
    if value is None:
        return None
    return round(value * MICROS) if kind.unit is Unit.COST else int(value)
