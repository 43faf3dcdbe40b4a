"""The rules for putting pieces together."""

from rempart.wire.assembly import as_index, extend_logprobs, join_into, joined


def test_texts_are_joined_lists_that_came_as_lists_stay_lists_and_null_changes_nothing() -> None:
    members: dict[str, object] = {}
    join_into(members, {"a": "x", "b": ["p"], "c": 1})
    join_into(members, {"a": "y", "b": ["q"], "c": None})
    assert joined(members) == {"a": "xy", "b": ["q"], "c": 1}


def test_a_member_that_changes_its_kind_is_replaced() -> None:
    members: dict[str, object] = {}
    join_into(members, {"a": "x", "b": 1})
    join_into(members, {"a": 2, "b": "y"})
    assert joined(members) == {"a": 2, "b": "y"}


def test_only_whole_numbers_from_nought_are_an_index() -> None:
    assert (as_index(0), as_index(3)) == (0, 3)
    assert {as_index(value) for value in (-1, True, 1.0, "1", None)} == {None}


def test_logprobs_are_appended_to_a_copy() -> None:
    first = {"content": [1], "refusal": None}
    known = extend_logprobs(None, first)
    known = extend_logprobs(known, {"content": [2], "refusal": [3]})
    assert known == {"content": [1, 2], "refusal": [3]}
    assert first == {"content": [1], "refusal": None}
    assert extend_logprobs(known, "rubbish") is known
