"""What JSON is taken, and how what is not is told."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rempart.wire.json_bounds import JsonFault, decode_json


def read(body: bytes, depth_max: int = 32, keys_max: int = 100) -> Any:
    return decode_json(body, depth_max=depth_max, keys_max=keys_max)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"a":1e999}', "beyond the range of a double (byte 5)"),
        (b'{"a":-1e400}', "beyond the range of a double (byte 6)"),
        (b'{"a":NaN}', "NaN is no JSON number (byte 5)"),
        (b'{"a":-Infinity}', "Infinity is no JSON number (byte 6)"),
        (b"[18446744073709551616]", "a whole number beyond 64 bits (byte 1)"),
        (b"[-9223372036854775809]", "a whole number beyond 64 bits (byte 2)"),
        (b"[" + b"1" * 5000 + b"]", "a number beyond the range of a double (byte 1)"),
        (b'["\\ud800"]', "a lone surrogate, which is half a character (byte 2)"),
        (b'["\\ud800x"]', "a lone surrogate"),
        (b'["\\udc00"]', "a lone surrogate"),
        (b'["\xed\xa0\x80"]', "it is not UTF-8"),
        (b'["\xff"]', "it is not UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "a byte order mark (byte 0)"),
        (b'["\x01"]', "invalid character (byte 2)"),
        (b'{"a":1}x', "trailing characters (byte"),
        (b'{"a":1', "truncated"),
        (b"", "truncated"),
        (b'{"a":1,"a":2}', "the key 'a' comes twice in one object (byte 7)"),
        (b'{"a":{"b":1,"c":{"b":2},"b":3}}', "the key 'b' comes twice in one object (byte 24)"),
        (b'{"a":1,"\\u0061":2}', "the key 'a' comes twice"),
        (b'{"x":"\\u003a","a":1,"a":2}', "the key 'a' comes twice"),
        (b'{"a:":1,"a:":2}', "the key 'a:' comes twice"),
        (b"[" + b"1," * 99 + b"99999999999999999999]", "whole number beyond 64 bits (byte 199)"),
        (b"[" * 33 + b"]" * 33, "nested deeper than 32 (byte 32)"),
        (b"[" * 100_000, "nested deeper than 32 (byte 32)"),
        (b'{"a":' * 100_000, "nested deeper than 32"),
        (json.dumps({str(i): i for i in range(101)}).encode(), "more than 100 object keys"),
        (b"[" + b",".join([b"[]"] * 200) + b"]", "more than 100 arrays and objects"),
    ],
)
def test_what_is_outside_of_the_bounds_is_named_with_its_place(body: bytes, told: str) -> None:
    with pytest.raises(JsonFault) as caught:
        read(body)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"a:b": "c:d", "e": [":", {"::": "\u003a"}]},
        {"a": 2**64 - 1, "b": -(2**63), "c": 1e308},
        {"a": "[[[[" * 40},
        "a: b",
        [],
        None,
        7,
        ["x"] * 5000,
        [1] * 500 + [2.5, -3],
        [1] * 500 + ["a:b"],
        [True, None] * 100,
    ],
)
def test_what_is_within_the_bounds_comes_as_it_is(value: Any) -> None:
    assert read(json.dumps(value).encode()) == value
    assert read(json.dumps(value, ensure_ascii=False, indent=1).encode()) == value


def test_an_escaped_colon_is_no_key() -> None:
    assert read(b'{"a":"\\u003a\\u003A","b\\u003a":{"c":1}}') == {"a": "::", "b:": {"c": 1}}


def test_depth_is_counted_as_brackets_within_each_other() -> None:
    assert read(b'{"a":[1,{"b":2}]}', depth_max=3) == {"a": [1, {"b": 2}]}
    with pytest.raises(JsonFault):
        read(b'{"a":[1,{"b":[]}]}', depth_max=3)


TEXTS = st.text(st.sampled_from('a:"\\[]{}é\u200b😀\n'), max_size=6)
VALUES = st.recursive(
    TEXTS | st.integers(-(2**63), 2**64 - 1) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def depth(value: Any) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@settings(max_examples=200)
@given(value=VALUES, is_ascii=st.booleans(), depth_max=st.integers(1, 6))
def test_the_reading_is_that_of_the_standard_library(
    value: Any, is_ascii: bool, depth_max: int
) -> None:
    body = json.dumps(value, ensure_ascii=is_ascii)
    if depth(value) > depth_max:
        with pytest.raises(JsonFault):
            read(body.encode(), depth_max=depth_max)
    else:
        assert read(body.encode(), depth_max=depth_max) == value


@settings(max_examples=200)
@given(
    holder=st.lists(st.tuples(TEXTS, VALUES), min_size=1, max_size=5),
    more=VALUES,
    is_escaped=st.booleans(),
)
def test_a_key_that_comes_twice_is_found_wherever_it_stands(
    holder: list[tuple[str, Any]], more: Any, is_escaped: bool
) -> None:
    """Against the standard library's pairs; colons escaped in texts hide nothing."""
    members = ",".join(
        f"{json.dumps(name).replace(':', chr(92) + 'u003a') if is_escaped else json.dumps(name)}:"
        f"{json.dumps(value)}"
        for name, value in holder
    )
    body = f'[{json.dumps(more)},{{"z":{{{members}}}}}]'
    is_twice = len({name for name, _ in holder}) != len(holder)
    if is_twice:
        with pytest.raises(JsonFault, match="twice"):
            read(body.encode())
    else:
        read(body.encode())


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(JsonFault):
        read(body)
