"""Control's own work on keys, in simulated time."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.registry import DictStore, registry_of
from lab.sim_loop import SimClock, simulate
from rempart.domain.errors import StateUnavailable
from rempart.domain.keys import StoredKey
from rempart.processes.control.upkeep import KEEP_S, USES_S, Upkeep
from rempart.state.durable.interface import Act, KeyRow
from rempart.state.shared.keys.interface import KeyUse
from rempart.state.shared.keys.memory import MemoryPublishedKeys
from rempart.telemetry.logs import Log

AT = datetime(2026, 11, 25, tzinfo=UTC)


class Parts:
    """An upkeep with everything that a test looks at."""

    def __init__(self, tmp_path: Path, **more: Any) -> None:
        self.store = DictStore()
        self.published = MemoryPublishedKeys()
        self.path = tmp_path / "log"
        clock = SimClock()
        self.log = Log(clock=clock, process="control", file=self.path, console="off", level="info")
        self.registry = registry_of(self.store, clock=clock, published=self.published)
        self.upkeep = Upkeep(registry=self.registry, log=self.log, **more)

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.path.read_text().splitlines()]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Parts]]:
    made: list[Parts] = []

    def build(**more: Any) -> Parts:
        made.append(Parts(tmp_path, **more))
        return made[-1]

    yield build
    for parts in made:
        parts.log.close()


async def _for(parts: Parts, seconds: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(parts.upkeep.run())
        await asyncio.sleep(seconds)
        running.cancel()


def test_a_change_of_another_instance_holds_after_one_round(make: Callable[..., Parts]) -> None:
    async def scenario() -> None:
        parts = make()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(parts.upkeep.run())
            await asyncio.sleep(10.1)
            stored = StoredKey(id="other", digest=b"d" * 32, scopes=frozenset())
            act = Act(actor="x", address="", action="key.create", target="key:other")
            await parts.store.put_key(KeyRow(stored=stored, created_at=AT), act)
            await asyncio.sleep(KEEP_S)
            assert parts.published.key("other") == stored
            running.cancel()

    simulate(scenario())


def test_the_loss_of_the_database_is_told_once_and_so_is_its_return(
    make: Callable[..., Parts],
) -> None:
    async def scenario() -> None:
        parts = make()
        parts.store.is_away = True
        await _for(parts, 10)
        assert parts.events() == ["state_unavailable"]
        parts.store.is_away = False
        await _for(parts, 10)
        assert parts.events() == ["state_unavailable", "state_available"]

    simulate(scenario())


def test_keys_are_confirmed_all_the_while(make: Callable[..., Parts]) -> None:
    async def scenario() -> None:
        parts = make()
        await _for(parts, 100)
        age_ms = parts.registry.now_ms - parts.published.snapshot().published_ms
        assert age_ms <= 1000 * KEEP_S

    simulate(scenario())


def test_uses_are_written_down_every_few_seconds(make: Callable[..., Parts]) -> None:
    async def scenario() -> None:
        parts = make()
        stored = StoredKey(id="a", digest=b"d" * 32, scopes=frozenset())
        parts.store.key_rows["a"] = KeyRow(stored=stored, created_at=AT)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(parts.upkeep.run())
            await asyncio.sleep(1)
            parts.published.note_uses([KeyUse(key_id="a", at_ms=5000)])
            await asyncio.sleep(USES_S)
            assert parts.store.key_rows["a"].last_used_at == datetime.fromtimestamp(5, UTC)
            running.cancel()

    simulate(scenario())


def test_a_chore_that_fails_is_due_again_and_the_others_wait_for_nothing_else(
    make: Callable[..., Parts],
) -> None:
    calls: list[float] = []

    async def chore() -> None:
        calls.append(asyncio.get_running_loop().time())
        if len(calls) < 3:
            raise StateUnavailable(reason="away")

    async def scenario() -> None:
        await _for(make(chores=((60.0, chore),)), 100)
        assert calls == [1000.0, 1000.0 + KEEP_S, 1000.0 + 2 * KEEP_S, 1000.0 + 2 * KEEP_S + 60]

    simulate(scenario())


def test_the_first_round_is_told_whether_or_not_the_database_is_there(
    make: Callable[..., Parts],
) -> None:
    async def scenario() -> None:
        told: list[int] = []
        parts = make(on_first=lambda: told.append(1))
        parts.store.is_away = True
        await _for(parts, 5)
        assert told == [1]

    simulate(scenario())
