"""What every store of failed attempts promises, on each of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.state.shared.lockout.decide import Rules
from rempart.state.shared.lockout.interface import FailedAttempts, LockoutStore
from rempart.state.shared.lockout.lmdb import LmdbLockout
from rempart.state.shared.lockout.memory import MemoryLockout

Open = Callable[..., LockoutStore]
RULES = Rules(failures=3, window_ms=1000, block_ms=5000)


@pytest.fixture(params=["memory", "lmdb"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Each call another process's view of the same store."""
    if request.param == "memory":
        made: list[MemoryLockout] = []

        def memory(**bounds: int) -> LockoutStore:
            made.extend([] if made else [MemoryLockout(**bounds)])
            return made[0]

        yield memory
        return
    environment = lmdb.open(str(tmp_path / "shared"), map_size=2**26, max_dbs=32, sync=False)
    yield lambda **bounds: LmdbLockout(environment, **bounds)
    environment.close()


def report(address: str, count: int = 1, **fields: object) -> FailedAttempts:
    return FailedAttempts(
        **{"address": address, "code": "invalid_api_key", "count": count, "first_ms": 10,
           "last_ms": 20, **fields}  # type: ignore[arg-type]
    )  # fmt: skip


def test_failures_of_all_processes_count_together_until_they_block(open_store: Open) -> None:
    one, other = open_store(), open_store()
    assert one.failed("a", 0, RULES) == (1, 0)
    assert other.failed("a", 10, RULES) == (2, 0)
    assert one.standing("a", 20, RULES) == (2, 0)
    assert one.failed("a", 20, RULES) == (3, 5000)
    assert other.standing("a", 1020, RULES) == (3, 4000)
    assert other.standing("b", 20, RULES) == (0, 0)


def test_a_block_ends_whatever_is_tried_meanwhile(open_store: Open) -> None:
    store = open_store()
    for _ in range(3):
        store.failed("a", 0, RULES)
    for now_ms in range(0, 5000, 100):
        assert store.failed("a", now_ms, RULES).blocked_ms == 5000 - now_ms
    assert store.standing("a", 5000, RULES) == (0, 0)
    assert store.failed("a", 5000, RULES) == (1, 0)


def test_a_window_begins_anew_after_its_time(open_store: Open) -> None:
    store = open_store()
    store.failed("a", 0, RULES)
    store.failed("a", 999, RULES)
    assert store.standing("a", 999, RULES) == (2, 0)
    assert store.standing("a", 1000, RULES) == (0, 0)
    assert store.failed("a", 1000, RULES) == (1, 0)


def test_a_clock_that_steps_back_blocks_nobody_for_longer_than_a_block(open_store: Open) -> None:
    store = open_store()
    for _ in range(3):
        store.failed("a", 10**9, RULES)
    assert store.standing("a", 5, RULES).blocked_ms <= RULES.block_ms


@pytest.mark.parametrize("who", ["", "x" * 5000, "é" * 200, "\0"])
def test_any_address_can_be_counted(open_store: Open, who: str) -> None:
    store = open_store()
    store.failed(who, 0, RULES)
    assert store.standing(who, 1, RULES).failures == 1
    store.report([report(who)])
    assert len(store.collect(5)) == 1


def test_the_table_has_a_bound_and_the_newest_always_finds_room(open_store: Open) -> None:
    store = open_store(addresses_max=100)
    for number in range(1000):
        store.failed(f"a{number}", 0, RULES)
        assert store.standing(f"a{number}", 0, RULES).failures == 1
    known = [n for n in range(1000) if store.standing(f"a{n}", 0, RULES).failures]
    assert len(known) == 100


def test_what_no_longer_counts_is_forgotten_bit_by_bit(open_store: Open) -> None:
    store = open_store()
    for number in range(50):
        store.failed(f"old{number:02}", 0, RULES)
    for _ in range(3):
        store.failed("blocked", 0, RULES)
    store.failed("new", 1500, RULES)
    dropped = [store.drop_idle(1500, RULES, entries_max=20) for _ in range(6)]
    assert sum(dropped) == 50
    assert max(dropped) <= 20
    assert store.standing("blocked", 1500, RULES).blocked_ms == 3500
    assert store.standing("new", 1500, RULES).failures == 1
    assert store.drop_idle(10**6, RULES, entries_max=20) == 2


def test_reports_of_one_kind_are_added_up_and_collected_once(open_store: Open) -> None:
    worker, control = open_store(), open_store()
    worker.report([report("a", 2), report("b", key_id="k1", code="expired_api_key")])
    worker.report([report("a", 3, first_ms=5, last_ms=15), report("a", 1, code="revoked_api_key")])
    found = sorted(control.collect(10), key=lambda one: (one.address, one.code))
    assert found == [
        report("a", 5, first_ms=5, last_ms=20),
        report("a", 1, code="revoked_api_key"),
        report("b", key_id="k1", code="expired_api_key"),
    ]
    assert control.collect(10) == []


def test_reports_have_a_bound_and_their_sum_is_kept(open_store: Open) -> None:
    store = open_store(reports_max=50)
    store.report(report(f"a{number}") for number in range(500))
    found = store.collect(1000)
    assert len(found) == 51
    assert sum(one.count for one in found) == 500
    assert [one.count for one in found if one.address == "*"] == [450]


def test_they_are_collected_in_portions(open_store: Open) -> None:
    store = open_store()
    store.report(report(f"a{number}") for number in range(25))
    assert [len(store.collect(10)) for _ in range(4)] == [10, 10, 5, 0]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 400)), max_size=60))
def test_an_address_is_blocked_after_so_many_failures_in_one_window(
    steps: list[tuple[str, int]],
) -> None:
    """Against the plain words: a window begins with its first failure, the third one in it blocks."""
    store, now_ms = MemoryLockout(), 0
    windows: dict[str, tuple[int, int]] = {}
    blocked: dict[str, int] = {}
    for who, later_ms in steps:
        now_ms += later_ms
        if blocked.get(who, 0) > now_ms:
            assert store.failed(who, now_ms, RULES).blocked_ms == blocked[who] - now_ms
            continue
        if blocked.pop(who, 0):
            windows.pop(who, None)
        since, count = windows.get(who, (now_ms, 0))
        since, count = (now_ms, 1) if now_ms - since >= 1000 else (since, count + 1)
        windows[who] = (since, count)
        if count >= 3:
            blocked[who] = now_ms + 5000
        assert store.failed(who, now_ms, RULES) == (count, 5000 if count >= 3 else 0)
