"""What is wrong with a request's fields, all of it at once: place, expectation, finding.

A ``Rule`` is a sentence that people read and a test of the value. The checkers of each endpoint are
tables of rules, and a few functions for what is nested.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

FAULTS_MAX = 100
"""A body may hold thousands of wrong fields; a client mends these first."""

FOUND_CHARACTERS_MAX = 60
"""Of a value only this much is shown: it may be a prompt."""


class FieldFault(NamedTuple):
    """One wrong field: ``path`` must be ``expected``; found ``found``."""

    path: str
    expected: str
    found: str


class ConversionError(ValueError):
    """A request cannot be said in the other protocol; ``fields`` lists every reason."""

    def __init__(self, fields: list[FieldFault]) -> None:
        some = [
            f"{fault.path} must be {fault.expected}; found {fault.found}" for fault in fields[:3]
        ]
        super().__init__(". ".join(some))
        self.fields = fields


class _Missing:
    """Stands for a member that is not there."""


MISSING = _Missing()


def finding(value: Any) -> str:
    """What was found, in at most 60 characters."""
    if value is MISSING:
        return "nothing"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a whole number beyond 64 bits"
    if isinstance(value, str) and len(value) > 50:
        return f"{value[:24]!r:.38}… ({len(value)} characters)"[:FOUND_CHARACTERS_MAX]
    return repr(value)[:FOUND_CHARACTERS_MAX]


class Rule(NamedTuple):
    """What a value must be: for people, and as a test."""

    expected: str
    holds: Callable[[Any], bool]


class Faults:
    """Gathers the wrong fields of one body; beyond ``FAULTS_MAX`` they are left out."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[FieldFault] = []

    def add(self, path: str, expected: str, value: Any) -> None:
        """Note that the member at ``path`` must be ``expected`` and is ``value``."""
        if len(self.fields) < FAULTS_MAX:
            self.fields.append(FieldFault(path, expected, finding(value)))

    def check(self, path: str, value: Any, rule: Rule) -> bool:
        """Whether ``value`` keeps ``rule``; noted if not."""
        if rule.holds(value):
            return True
        self.add(path, rule.expected, value)
        return False

    def check_members(
        self, holder: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str
    ) -> None:
        """Check each optional member that is there; null counts as not there."""
        for name, rule in rules.items():
            value = holder.get(name)
            if value is not None:
                self.check(prefix + name, value, rule)

    def required(self, holder: Mapping[str, Any], name: str, prefix: str, rule: Rule) -> Any:
        """The member if it keeps ``rule``, else None, noted."""
        value = holder.get(name, MISSING)
        return value if self.check(prefix + name, value, rule) else None

    def raise_if_any(self) -> None:
        """Raise ``ConversionError`` if a field was wrong."""
        if self.fields:
            raise ConversionError(self.fields)


def number(low: float, high: float) -> Rule:
    """A number from ``low`` to ``high``."""
    return Rule(
        f"a number from {low:g} to {high:g}",
        lambda value: type(value) in (int, float) and low <= value <= high,
    )


def whole(low: int, high: int) -> Rule:
    """A whole number from ``low`` to ``high``."""
    return Rule(
        f"a whole number from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
    )


def text(characters_max: int, *, least: int = 0) -> Rule:
    """A text of ``least`` to ``characters_max`` characters."""
    return Rule(
        f"a text of {least} to {characters_max} characters",
        lambda value: isinstance(value, str) and least <= len(value) <= characters_max,
    )


def one_of(*values: str) -> Rule:
    """One of some words."""
    return Rule(
        "one of " + ", ".join(values), lambda value: isinstance(value, str) and value in values
    )


def pattern(expected: str, expression: str) -> Rule:
    """A text that matches ``expression`` as a whole."""
    compiled = re.compile(expression)
    return Rule(
        expected,
        lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None,
    )


def list_of(rule: Rule, most: int, *, least: int = 0) -> Rule:
    """A list of ``least`` to ``most`` values that keep ``rule``."""
    return Rule(
        f"a list of {least} to {most}, each {rule.expected}",
        lambda value: (
            isinstance(value, list) and least <= len(value) <= most and all(map(rule.holds, value))
        ),
    )


def either(*rules: Rule) -> Rule:
    """What keeps one of ``rules``."""
    return Rule(
        ", or ".join(rule.expected for rule in rules),
        lambda value: any(rule.holds(value) for rule in rules),
    )


BOOLEAN = Rule("true or false", lambda value: isinstance(value, bool))
TEXT = Rule("a text", lambda value: isinstance(value, str))
TEXT_NOT_EMPTY = Rule(
    "a text that is not empty", lambda value: isinstance(value, str) and value != ""
)
OBJECT = Rule("an object", lambda value: isinstance(value, dict))
LIST = Rule("a list", lambda value: isinstance(value, list))

# What several endpoints have alike.
TEMPERATURE = number(0, 2)
SHARE = number(0, 1)
TOKENS = whole(1, 10**9)
SEED = whole(-(2**63), 2**63 - 1)
STOP_TEXTS = list_of(text(1024, least=1), 16)
FUNCTION_NAME = pattern("1 to 128 letters, digits or one of _ . : -", r"[A-Za-z0-9_.:-]{1,128}")
METADATA = Rule(
    "an object of up to 16 texts, names up to 64 and values up to 512 characters",
    lambda value: (
        isinstance(value, dict)
        and len(value) <= 16
        and all(len(k) <= 64 and isinstance(v, str) and len(v) <= 512 for k, v in value.items())
    ),
)
MESSAGES_COUNT_MAX = 2048
TOOLS_COUNT_MAX = 1024
PROMPTS_COUNT_MAX = 128
"""As ``n``: each is a generation of its own."""
MESSAGES = Rule(
    f"a list of 1 to {MESSAGES_COUNT_MAX} messages",
    lambda value: isinstance(value, list) and 1 <= len(value) <= MESSAGES_COUNT_MAX,
)
TOOLS = Rule(
    f"a list of up to {TOOLS_COUNT_MAX} tools",
    lambda value: isinstance(value, list) and len(value) <= TOOLS_COUNT_MAX,
)
