"""What operators may write of keys and projects."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rempart.control.actions import fields
from rempart.control.actions.fields import KeyChanges, NewKey, NewProject, ProjectChanges, parse
from rempart.domain.errors import InvalidRequest

NOW = datetime(2026, 11, 25, tzinfo=UTC)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=150)
@given(
    kind=st.sampled_from([NewKey, KeyChanges, NewProject, ProjectChanges]),
    document=ANYTHING
    | st.dictionaries(st.sampled_from(sorted(NewKey.model_fields)), ANYTHING, max_size=6),
)
def test_whatever_is_sent_is_taken_or_refused_with_its_fields(kind: Any, document: Any) -> None:
    try:
        parse(kind, document)
    except InvalidRequest as error:
        for field in error.details["fields"]:
            assert field["problem"]
            assert len(field["found"]) <= fields.FOUND_CHARACTERS_MAX + 1
        json.dumps(error.details, ensure_ascii=False).encode()


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\x00", "a" * 129, "\u202eabc", "\ud800"])
def test_names_are_printable_text(name: str) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        parse(NewKey, {"name": name})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
    ],
)
def test_networks_are_kept_in_one_form(given: str, kept: str) -> None:
    assert parse(NewKey, {"name": "a", "networks": [given]}).networks == [kept]


@pytest.mark.parametrize("given", ["10.0.0.1/8", "10.0.0.0/33", "everywhere", "", "10.0.0.0/8 "])
def test_what_is_no_network_is_refused(given: str) -> None:
    with pytest.raises(InvalidRequest, match=r"networks\.0"):
        parse(NewKey, {"name": "a", "networks": [given]})


@pytest.mark.parametrize(
    "amount", [-1, 1.5, "5", True, 10**12 + 1, float("nan"), float("inf"), "default"]
)
def test_an_amount_is_a_whole_number_within_bounds(amount: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"limits\.requests_per_minute"):
        parse(NewKey, {"name": "a", "limits": {"requests_per_minute": amount}})


def test_amounts_are_counted_in_micros_and_shown_as_written() -> None:
    written = {"cost_per_day": 0.000001, "cost_per_month": 1e9, "tokens_per_day": None}
    wanted = parse(NewKey, {"name": "a", "limits": written})
    amounts = fields.amounts_of(wanted.limits)
    assert amounts == {"cost_per_day": 1, "cost_per_month": 10**15, "tokens_per_day": None}
    assert fields.shown_amounts(amounts) == written


def test_a_change_sets_and_takes_away_by_name() -> None:
    changes = parse(
        KeyChanges,
        {"limits": {"tokens_per_day": None, "requests_per_hour": "default", "cost_per_day": 2}},
    )
    assert changes.limits is not None
    before: dict[str, int | None] = {"requests_per_hour": 5, "concurrent_requests": 2}
    assert fields.changed_amounts(before, changes.limits) == {
        "concurrent_requests": 2,
        "tokens_per_day": None,
        "cost_per_day": 2_000_000,
    }


def test_labels_are_bounded_also_after_a_change() -> None:
    before = {f"a{number}": "x" for number in range(fields.LABELS_MAX)}
    assert len(fields.changed_labels(before, {"a0": None, "b": "y"})) == fields.LABELS_MAX
    with pytest.raises(InvalidRequest, match="labels"):
        fields.changed_labels(before, {"b": "y"})


@pytest.mark.parametrize(
    "moment",
    [
        "2027-01-01",
        "2027-01-01T00:00:00",
        "tomorrow",
        5,
        "",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+12:00",
    ],
)
def test_a_moment_has_its_time_zone(moment: Any) -> None:
    with pytest.raises(InvalidRequest, match="expires_at"):
        parse(NewKey, {"name": "a", "expires_at": moment})


def test_a_moment_is_taken_in_any_zone() -> None:
    wanted = parse(NewKey, {"name": "a", "expires_at": "2027-01-01T01:00:00+01:00"})
    assert fields.expiry(wanted, NOW) == datetime(2027, 1, 1, tzinfo=UTC)


def test_the_longest_life_is_a_moment_that_exists() -> None:
    wanted = parse(NewKey, {"name": "a", "expires_in_s": fields.LIFE_S_MAX})
    assert fields.expiry(wanted, NOW) is not None


def test_one_wrong_field_is_told_in_the_sentence_and_more_are_counted() -> None:
    with pytest.raises(InvalidRequest) as error:
        parse(NewKey, {"name": "", "content": "maybe"})
    assert error.value.param == "name"
    assert "(1 more in details.fields)" in error.value.message
