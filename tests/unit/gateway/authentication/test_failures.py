"""A flood of failed attempts becomes a few reports, and none is lost from their sum."""

import asyncio

from lab.exchanges import LoopClock
from lab.sim_loop import simulate
from rempart.gateway.authentication.failures import KINDS_MAX, Failures


def test_attempts_are_added_up_by_address_code_and_key() -> None:
    async def body() -> None:
        failures = Failures(LoopClock())
        failures.note("192.0.2.1", "invalid_api_key", "")
        await asyncio.sleep(2)
        failures.note("192.0.2.1", "invalid_api_key", "")
        failures.note("192.0.2.1", "expired_api_key", "k1")
        first, second = failures.take()
        assert (first.address, first.code, first.key_id, first.count) == (
            "192.0.2.1", "invalid_api_key", "", 2,
        )  # fmt: skip
        assert first.last_ms - first.first_ms == 2000
        assert (second.code, second.key_id, second.count) == ("expired_api_key", "k1", 1)
        assert failures.take() == []

    simulate(body())


def test_more_addresses_than_there_is_room_for_count_together() -> None:
    async def body() -> None:
        failures = Failures(LoopClock())
        for number in range(KINDS_MAX + 500):
            failures.note(f"a{number}", "invalid_api_key", "")
        found = failures.take()
        assert len(found) == KINDS_MAX + 1
        assert sum(one.count for one in found) == KINDS_MAX + 500
        assert found[-1].address == "*"
        assert found[-1].count == 500

    simulate(body())
