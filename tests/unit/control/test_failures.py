"""Failed attempts become audit entries, few of them under a flood, and none is lost."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.registry import DictStore, kept, registry_of
from rempart.control.failures import ENTRIES_MAX, act_of, gathered, write_down
from rempart.domain.errors import StateUnavailable
from rempart.state.shared.lockout.interface import FailedAttempts
from rempart.state.shared.lockout.memory import MemoryLockout


def failed(address: str, count: int = 1, **more: Any) -> FailedAttempts:
    return FailedAttempts(
        **{"address": address, "code": "invalid_api_key", "first_ms": 1000, "last_ms": 2000}
        | {"count": count}
        | more
    )


def test_an_entry_says_from_where_how_often_and_when() -> None:
    act = act_of(failed("192.0.2.1", 3))
    assert (act.actor, act.address, act.action, act.target) == (
        "anonymous", "192.0.2.1", "authentication.failed", "authentication",
    )  # fmt: skip
    assert act.after == {
        "code": "invalid_api_key",
        "count": 3,
        "first_at": "1970-01-01T00:00:01.000Z",
        "last_at": "1970-01-01T00:00:02.000Z",
    }
    known = act_of(failed("192.0.2.1", key_id="abc", code="revoked_api_key"))
    assert (known.actor, known.target) == ("abc", "key:abc")


@settings(max_examples=100)
@given(
    found=st.lists(
        st.builds(
            failed,
            st.sampled_from([f"192.0.2.{n}" for n in range(40)]),
            st.integers(1, 50),
            code=st.sampled_from(["invalid_api_key", "expired_api_key"]),
            key_id=st.sampled_from(["", "", "", "abc"]),
        ),
        max_size=60,
    )
)
def test_no_attempt_is_lost_and_the_entries_are_bounded(found: list[FailedAttempts]) -> None:
    entries = gathered(found, 5)
    assert len(entries) <= 5 + 2
    for code in ("invalid_api_key", "expired_api_key"):
        before = sum(one.count for one in found if one.code == code)
        assert before == sum(one.count for one in entries if one.code == code)


def test_known_keys_come_first_then_those_that_tried_most() -> None:
    found = [failed("a", 1), failed("b", 9), failed("c", 1, key_id="k")]
    assert [one.address for one in gathered(found, 2)] == ["c", "b", "*"]


def test_what_was_reported_is_written_once() -> None:
    store, lockout = DictStore(), MemoryLockout()
    registry = kept(registry_of(store))
    lockout.report(failed(f"192.0.2.{n}") for n in range(ENTRIES_MAX + 2))
    assert asyncio.run(write_down(registry, lockout)) == ENTRIES_MAX + 1
    assert asyncio.run(write_down(registry, lockout)) == 0
    assert store.entries[-1].act.address == "*"
    assert sum(entry.act.after["count"] for entry in store.entries if entry.act.after) == 22


def test_what_the_database_did_not_take_waits() -> None:
    store, lockout = DictStore(), MemoryLockout()
    registry = kept(registry_of(store))
    lockout.report([failed("192.0.2.1"), failed("192.0.2.2")])
    taken = store.append
    calls: list[int] = []

    async def append(act: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise StateUnavailable(reason="away")
        return await taken(act)

    store.append = append  # type: ignore[method-assign]  # the second append fails
    with pytest.raises(StateUnavailable):
        asyncio.run(write_down(registry, lockout))
    assert asyncio.run(write_down(registry, lockout)) == 1
    assert len(store.entries) == 2
