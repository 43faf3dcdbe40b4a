"""A body's bytes → its JSON value, within bounds that most parsers leave open.

msgspec reads it first: it refuses what is no JSON (``NaN``, raw control characters, lone surrogates,
numbers beyond a double) and cannot be nested into a crash. What it lets pass is looked for in the value:
nesting, the number of keys, whole numbers beyond 64 bits, and names that come twice in one object, of
which it keeps the last, where another reader keeps the first.

Names that come twice cost no second reading: outside of texts a colon stands behind each name and nowhere
else, so that the colons of the bytes are those of all names, values and members that the value has; one
more, and something was thrown away. All of it is linear in the body (tests/unit/wire/test_json_bounds.py).
"""

import json
import re
from typing import Any, NoReturn

import msgspec

WHOLE_MAX = 2**64 - 1
WHOLE_MIN = -(2**63)
NAME_CHARACTERS_SHOWN = 40
MANY = 64
"""Of longer lists it is first seen whether they hold nothing but numbers."""
TOKENS_SCANNED_MAX = 50_000
"""A place is named where it is found among so many; looking costs more than reading did."""

_NUMBERS = {int, float}
_decode = msgspec.json.Decoder().decode
_ESCAPED_COLON = re.compile(rb"\\u003[aA]")
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]"
)
_LARGE_EXPONENT = re.compile(rb"(?<![0-9.])[0-9.]++[eE]\+?[0-9]{3,}")
_LONG_NUMBER = re.compile(rb"[0-9]{19,}")
_BYTE = re.compile(r"\(byte (\d+)\)")
_TOKEN = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")(\s*+:)?|[\[\]{}]')


class JsonFault(ValueError):
    """The body is no JSON, or outside the bounds; the text says what and, where it is known, at which byte."""


def decode_json(body: bytes, *, depth_max: int, keys_max: int) -> Any:
    """The value of a JSON body.

    Args:
        depth_max: arrays and objects within each other.
        keys_max: members of all objects together; as many arrays and objects there may be.
    Raises:
        JsonFault: it is no JSON (RFC 8259, in UTF-8), or outside the bounds.
    """
    try:
        value = _decode(body)
    except RecursionError:
        raise _too_deep(body, depth_max) from None
    except UnicodeDecodeError as error:
        raise JsonFault(f"it is not UTF-8: {error.reason}") from None
    except msgspec.DecodeError as error:
        raise JsonFault(_malformed(body, str(error))) from None
    keys, colons = _measure(value, body, keys_max)
    if keys > keys_max:
        raise JsonFault(f"it has more than {keys_max} object keys")
    # Most bodies have fewer brackets than they may be deep.
    if body.count(b"[") + body.count(b"{") > depth_max and _is_deeper(value, depth_max):
        raise _too_deep(body, depth_max)
    if b"\\u003" in body and _ESCAPED_COLON.search(body) is not None:
        is_twice = _has_twice(body)  # a colon of a text that is none of the bytes spoils the sum
    else:
        lacking = body.count(b":") - keys - colons
        is_twice = lacking != 0 and lacking != _colons_of_names(value)
    if is_twice:
        raise _twice(body)
    return value


def _measure(value: Any, body: bytes, holders_max: int) -> tuple[int, int]:
    """How many members there are, and how many colons in all texts but their names."""
    if type(value) is str:
        return 0, value.count(":")
    keys = colons = 0
    holders = [value]
    for holder in holders:  # grows meanwhile
        if type(holder) is dict:
            keys += len(holder)
            inner: Any = holder.values()
        elif type(holder) is list:
            inner = holder
            if len(holder) > MANY and set(map(type, holder)) <= _NUMBERS:  # token ids, vectors
                inner = (min(holder), max(holder))
        else:
            inner = (holder,)
        for one in inner:
            kind = type(one)
            if kind is str:
                colons += one.count(":")
            elif kind is dict or kind is list:
                holders.append(one)
                if len(holders) > holders_max:
                    raise JsonFault(f"it has more than {holders_max} arrays and objects")
            elif kind is int and not WHOLE_MIN <= one <= WHOLE_MAX:
                _too_large(body)
    return keys, colons


def _containers(holders: list[Any]) -> list[Any]:
    """The arrays and objects that are right within these."""
    return [
        one
        for holder in holders
        for one in (holder.values() if type(holder) is dict else holder)
        if type(one) is dict or type(one) is list
    ]


def _is_deeper(value: Any, depth_max: int) -> bool:
    level = [value] if type(value) is dict or type(value) is list else []
    for _ in range(depth_max):
        if not level:
            return False
        level = _containers(level)
    return bool(level)


def _colons_of_names(value: Any) -> int:
    level = [value] if type(value) is dict or type(value) is list else []
    colons = 0
    while level:
        colons += sum(
            name.count(":") for holder in level if type(holder) is dict for name in holder
        )
        level = _containers(level)
    return colons


def _too_large(body: bytes) -> NoReturn:
    found = _LONG_NUMBER.search(body)
    place = f" (byte {found.start()})" if found is not None else ""
    raise JsonFault(f"it has a whole number beyond 64 bits{place}")


def _too_deep(body: bytes, depth_max: int) -> JsonFault:
    depth = 0
    for count, token in enumerate(_TOKEN.finditer(body)):
        sign = body[token.start()]
        if sign in b"[{":
            depth += 1
            if depth > depth_max:
                return JsonFault(f"it is nested deeper than {depth_max} (byte {token.start()})")
        elif sign in b"]}":
            depth -= 1
        if count > TOKENS_SCANNED_MAX:
            break
    return JsonFault(f"it is nested deeper than {depth_max}")


def _has_twice(body: bytes) -> bool:
    """Whether a name comes twice, by a second reading."""
    is_twice = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal is_twice
        if len(pairs) > 1 and len({name for name, _ in pairs}) != len(pairs):
            is_twice = True

    json.loads(body.decode(), object_pairs_hook=look)
    return is_twice


def _twice(body: bytes) -> JsonFault:
    names: list[set[str]] = []
    for count, token in enumerate(_TOKEN.finditer(body)):
        sign = body[token.start()]
        if sign in b"[{":
            names.append(set())
        elif sign in b"]}":
            names.pop()
        elif token[2] is not None:
            name = _decode(token[1])
            if name in names[-1]:
                shown = repr(name[:NAME_CHARACTERS_SHOWN])
                return JsonFault(
                    f"the key {shown} comes twice in one object (byte {token.start()})"
                )
            names[-1].add(name)
        if count > TOKENS_SCANNED_MAX:
            break
    return JsonFault("a key comes twice in one object")


def _malformed(body: bytes, reason: str) -> str:
    """msgspec's reason, or a better one for what people send."""
    if "out of range" in reason:
        found = _LARGE_EXPONENT.search(body) or _LONG_NUMBER.search(body)
        place = f" (byte {found.start()})" if found is not None else ""
        return f"it has a number beyond the range of a double{place}"
    if "surrogate" in reason or "truncated" in reason:
        lone = _LONE_SURROGATE.search(body)
        if lone is not None:
            return f"it has a lone surrogate, which is half a character (byte {lone.start()})"
    place_found = _BYTE.search(reason)
    at = int(place_found[1]) if place_found is not None else -1
    if at >= 0:
        if body.startswith((b"NaN", b"Infinity"), at):
            word = "NaN" if body[at] == ord("N") else "Infinity"
            return f"{word} is no JSON number (byte {at})"
        if body.startswith(b"\xef\xbb\xbf"):
            return "it begins with a byte order mark (byte 0)"
    return reason.removeprefix("JSON is malformed: ")
