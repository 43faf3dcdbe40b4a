"""The settings as a table read from the annotations of ``model.py``: paths, types, bounds, docs.

Everything that speaks *about* settings (errors, environment names, the reference page, the file
that ``init`` writes) reads this table, so that a new field in ``model.py`` is the only place to
add one.
"""

import types
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, doc

from rempart.settings.model import SECRETS, Settings

Path = tuple[str | int, ...]
"""Where a value stands: names of tables and fields, and numbers of list elements."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a field takes, apart from its place.

    Args:
        base: ``int``, ``float``, ``bool``, ``str``, ``list``, ``dict``, ``Literal`` or a dataclass.
        element: what a list holds, else None.
        choices: of a Literal.
        bounds: the ``annotated_types`` of the field, in order.
        is_optional: whether it may be left unset.
        doc: its line in the reference.
    """

    base: Any
    element: "Kind | None" = None
    choices: tuple[str, ...] = ()
    bounds: tuple[Any, ...] = ()
    is_optional: bool = False
    doc: str = ""

    @property
    def is_table(self) -> bool:
        """Whether it is a table with settings of its own."""
        return is_dataclass(self.base)

    @property
    def is_table_list(self) -> bool:
        """Whether it is a list of such tables (``[[models]]``)."""
        return self.element is not None and self.element.is_table


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One line of the table: where it stands, what it takes, what it is when left out."""

    path: tuple[str, ...]
    kind: Kind
    is_required: bool
    default: Any

    @property
    def name(self) -> str:
        """``server.port``; list numbers are left out (``models.slots``)."""
        return ".".join(self.path)

    @property
    def is_secret(self) -> bool:
        """Whether its value must not show."""
        return self.name in SECRETS


def kind_of(annotation: Any) -> Kind:
    """Take an annotation of ``model.py`` apart."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = kind_of(arguments[0])
        docs = [item.documentation for item in arguments[1:] if isinstance(item, doc)]
        bounds = tuple(item for item in arguments[1:] if not isinstance(item, doc))
        return _replace(inner, bounds=inner.bounds + bounds, doc=docs[-1] if docs else inner.doc)
    if origin in (Union, types.UnionType):
        inner = kind_of(next(argument for argument in arguments if argument is not type(None)))
        return _replace(inner, is_optional=True)
    if origin is Literal:
        return Kind(base=Literal, choices=arguments)
    if origin is list:
        return Kind(base=list, element=kind_of(arguments[0]))
    if origin is dict:
        return Kind(base=dict, element=kind_of(arguments[1]))
    return Kind(base=annotation)


def _replace(kind: Kind, **changes: Any) -> Kind:
    return Kind(**(kind.__dict__ | changes))


@cache
def table(cls: type) -> dict[str, Setting]:
    """The settings directly in one dataclass, by name; their paths have one part."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        item.name: Setting(
            path=(item.name,),
            kind=kind_of(hints[item.name]),
            is_required=item.default is MISSING and item.default_factory is MISSING,
            default=_default(item),
        )
        for item in fields(cls)
    }


def _default(item: Field[Any]) -> Any:
    if item.default_factory is not MISSING:
        return item.default_factory()
    return None if item.default is MISSING else item.default


def kind_at(path: Sequence[str | int]) -> Kind | None:
    """What the setting at ``path`` takes; None when there is no such setting."""
    kind: Kind | None = Kind(base=Settings)
    for part in path:
        if kind is None:
            return None
        if isinstance(part, int) or kind.base is dict:
            kind = kind.element
        elif kind.is_table:
            setting = table(kind.base).get(part)
            kind = setting.kind if setting else None
        else:
            return None
    return kind


def known_kind(path: Sequence[str | int]) -> Kind:
    """As ``kind_at``, for a path that is a setting.

    Raises:
        KeyError: it is none.
    """
    kind = kind_at(path)
    if kind is None:
        raise KeyError(shown_path(path))
    return kind


def every_setting(cls: type = Settings, above: tuple[str, ...] = ()) -> Iterator[Setting]:
    """All settings that hold a value (not the tables themselves), in the order of ``model.py``."""
    for setting in table(cls).values():
        path = above + setting.path
        kind = setting.kind
        if kind.is_table:
            yield from every_setting(kind.base, path)
        elif kind.is_table_list and kind.element is not None:
            yield from every_setting(kind.element.base, path)
        else:
            yield Setting(
                path=path, kind=kind, is_required=setting.is_required, default=setting.default
            )


def names_of(path: Sequence[str | int]) -> str:
    """The dotted name without list numbers: ``("models", 0, "slots")`` → ``models.slots``."""
    return ".".join(part for part in path if isinstance(part, str))


def shown_path(path: Sequence[str | int]) -> str:
    """A path as people write it: ``models[0].slots``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def touches_secret(path: Sequence[str | int]) -> bool:
    """Whether the value at ``path`` is a secret, holds one, or is part of one."""
    name = names_of(path)
    return any(
        name == secret or secret.startswith(name + ".") or name.startswith(secret + ".")
        for secret in SECRETS
    )


def expectation(kind: Kind, name: str = "") -> str:
    """What a value must be, to stand after "must be": ``a whole number from 1 to 64``.

    Args:
        kind: what the setting takes.
        name: its name; an ending such as ``_s`` tells the unit.
    """
    if kind.base is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in kind.choices)
    if kind.base is bool:
        return "true or false"
    if kind.base is str:
        return "a text in quotes" + _lengths(kind.bounds)
    if kind.base is list:
        return (
            "a list of tables" if kind.is_table_list else 'a list of texts, such as ["one", "two"]'
        )
    if kind.base is dict:
        return 'a table of texts, such as {NAME = "value"}'
    if kind.is_table:
        return "a table"
    noun = "a whole number" if kind.base is int else "a number"
    return noun + _unit(name) + _range(kind.bounds)


def _unit(name: str) -> str:
    for ending, unit in (
        ("_bytes", " of bytes"),
        ("bytes_max", " of bytes"),
        ("_mib", " of MiB"),
        ("_s", " of seconds"),
    ):
        if name.endswith(ending):
            return unit
    return ""


def limits_of(bounds: Sequence[Any]) -> tuple[float | None, bool, float | None]:
    """Least value, whether that itself is left out, greatest value."""
    low: float | None = None
    high: float | None = None
    is_open = False
    for bound in bounds:
        if isinstance(bound, Ge):
            low = _number(bound.ge)
        elif isinstance(bound, Gt):
            low, is_open = _number(bound.gt), True
        elif isinstance(bound, Le):
            high = _number(bound.le)
        elif isinstance(bound, Lt):
            raise TypeError(
                "settings use Le, not Lt: the greatest value is then one that can be written"
            )
    return low, is_open, high


def _number(value: Any) -> float:
    return value if isinstance(value, int) else float(value)


def _range(bounds: Sequence[Any]) -> str:
    low, is_open, high = limits_of(bounds)
    if low is None:
        return "" if high is None else f" up to {high}"
    if is_open:
        return f" above {low}" + ("" if high is None else f" and up to {high}")
    return f" of at least {low}" if high is None else f" from {low} to {high}"


def _lengths(bounds: Sequence[Any]) -> str:
    low = next((bound.min_length for bound in bounds if isinstance(bound, MinLen)), 0)
    high = next((bound.max_length for bound in bounds if isinstance(bound, MaxLen)), None)
    if high is not None:
        return f" of {low} to {high} characters"
    return f" of at least {low} characters" if low else ""
