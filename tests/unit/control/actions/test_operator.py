"""Who acts, and what that allows."""

import pytest

from rempart.control.actions.operator import Operator
from rempart.domain.errors import InsufficientScope
from rempart.domain.keys import ALL_SCOPES, Principal


def test_who_may_only_read_changes_nothing() -> None:
    with pytest.raises(InsufficientScope, match="admin:write"):
        Operator("r", frozenset({"admin:read"})).must_write()
    Operator("w", frozenset({"admin:write"})).must_write()


def test_the_first_scope_that_is_missing_is_named() -> None:
    writer = Operator("w", frozenset({"admin:write"}))
    with pytest.raises(InsufficientScope, match="inference"):
        writer.must_hold(["metrics", "inference"])
    writer.must_hold(["admin:write"])
    writer.must_hold([])


def test_on_the_machine_itself_everything_may_be_done() -> None:
    local = Operator.local(1000)
    local.must_hold(ALL_SCOPES)
    assert (local.id, local.address) == ("local:1000", "")


def test_an_act_says_who_and_from_where() -> None:
    operator = Operator.of(Principal(id="abc", scopes=ALL_SCOPES), "192.0.2.1")
    act = operator.act("key.revoke", "key:x", after={"a": 1})
    assert (act.actor, act.address, act.action, act.target) == (
        "abc", "192.0.2.1", "key.revoke", "key:x",
    )  # fmt: skip
    assert (act.before, act.after) == (None, {"a": 1})
