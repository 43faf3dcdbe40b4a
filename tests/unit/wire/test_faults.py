"""Faults say where, what was expected and what was found, briefly."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.wire import faults
from rempart.wire.faults import FAULTS_MAX, MISSING, ConversionError, Faults, FieldFault, finding


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (MISSING, "nothing"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ({"a": 1}, "an object"),
        ([1, 2], "a list of 2"),
        (1.5, "1.5"),
        ("a", "'a'"),
    ],
)
def test_findings(value: Any, found: str) -> None:
    assert finding(value) == found


@given(st.text() | st.integers(0, 10**300).map(str) | st.integers())
def test_a_finding_is_never_longer_than_60_characters(value: Any) -> None:
    assert len(finding(value)) <= 60


def test_a_long_text_is_shown_by_its_beginning_and_its_length() -> None:
    assert finding("secret " * 100) == "'secret secret secret sec'… (700 characters)"


def test_a_number_is_no_truth_value_and_a_truth_value_no_number() -> None:
    assert not faults.number(0, 2).holds(True)
    assert not faults.whole(0, 2).holds(True)
    assert not faults.whole(0, 2).holds(1.0)
    assert not faults.BOOLEAN.holds(1)
    assert faults.number(0, 2).holds(2)
    assert not faults.number(0, 2).holds(2.1)


def test_rules_for_texts_and_lists() -> None:
    assert faults.text(3, least=1).holds("abc")
    assert not faults.text(3, least=1).holds("")
    assert not faults.text(3).holds("abcd")
    rule = faults.list_of(faults.one_of("a", "b"), 2, least=1)
    assert rule.expected == "a list of 1 to 2, each one of a, b"
    assert [rule.holds(v) for v in (["a"], [], ["a", "b", "a"], ["c"], "a", [["a"]])] == [True] + [
        False
    ] * 5
    either = faults.either(faults.BOOLEAN, faults.OBJECT)
    assert [either.holds(v) for v in (True, {}, 1)] == [True, True, False]
    assert either.expected == "true or false, or an object"


def test_null_counts_as_not_there() -> None:
    wrong = Faults()
    wrong.check_members({"a": None, "b": 1}, {"a": faults.TEXT, "b": faults.TEXT}, "x.")
    assert wrong.fields == [FieldFault("x.b", "a text", "1")]


def test_what_is_required_is_noted_when_missing() -> None:
    wrong = Faults()
    assert wrong.required({}, "a", "", faults.TEXT) is None
    assert wrong.required({"a": "b"}, "a", "", faults.TEXT) == "b"
    assert wrong.fields == [FieldFault("a", "a text", "nothing")]


def test_the_list_of_faults_is_bounded() -> None:
    wrong = Faults()
    for index in range(FAULTS_MAX + 5):
        wrong.add(f"a[{index}]", "a text", 1)
    assert len(wrong.fields) == FAULTS_MAX
    with pytest.raises(ConversionError, match=r"a\[0\] must be a text; found 1"):
        wrong.raise_if_any()


def test_metadata_is_bounded() -> None:
    assert faults.METADATA.holds({"a": "b"})
    for value in ({"a": 1}, {"a" * 65: "b"}, {"a": "b" * 513}, {str(i): "" for i in range(17)}, []):
        assert not faults.METADATA.holds(value)


def test_a_number_too_long_to_be_written_is_described() -> None:
    assert finding(10**5000) == "a whole number beyond 64 bits"
