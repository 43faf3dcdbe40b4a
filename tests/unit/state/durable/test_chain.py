"""A log that was changed, cut in the middle or reordered does not pass for whole."""

from datetime import UTC, datetime

import msgspec
import pytest

from rempart.base.clock import iso_utc
from rempart.state.durable.chain import START_HASH, Chain, entry_hash
from rempart.state.durable.interface import Act, AuditRow

AT = datetime(2026, 11, 25, tzinfo=UTC)


def log(count: int) -> list[AuditRow]:
    rows: list[AuditRow] = []
    for sequence in range(1, count + 1):
        act = Act(actor="x", address="", action="a", target=f"key:{sequence}", after={"n": 1})
        previous = rows[-1].hash if rows else START_HASH
        hash_ = entry_hash(previous, sequence, iso_utc(AT), act)
        rows.append(AuditRow(sequence=sequence, at=AT, act=act, previous_hash=previous, hash=hash_))
    return rows


def followed(rows: list[AuditRow]) -> Chain:
    chain = Chain()
    chain.follow(rows[:2])
    chain.follow(rows[2:])
    return chain


def test_a_whole_log_is_whole() -> None:
    rows = log(5)
    chain = followed(rows)
    assert (chain.fault, chain.count, chain.head) == ("", 5, rows[-1].hash)
    assert followed([]).fault == ""


@pytest.mark.parametrize(
    "change",
    [
        {"act": Act(actor="y", address="", action="a", target="key:3", after={"n": 1})},
        {"act": Act(actor="x", address="", action="a", target="key:3", after={"n": 2})},
        {"at": datetime(2026, 11, 26, tzinfo=UTC)},
        {"hash": bytes(32)},
        {"previous_hash": bytes(32)},
        {"sequence": 4},
    ],
)
def test_a_changed_entry_is_found(change: dict[str, object]) -> None:
    rows = log(5)
    rows[2] = msgspec.structs.replace(rows[2], **change)
    chain = followed(rows)
    assert "3" in chain.fault
    assert chain.count == 2


def test_a_removed_and_a_moved_entry_are_found() -> None:
    assert followed(log(5)[:2] + log(5)[3:]).fault
    rows = log(5)
    rows[1], rows[2] = rows[2], rows[1]
    assert followed(rows).fault
