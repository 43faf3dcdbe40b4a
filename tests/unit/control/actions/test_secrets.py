"""A new pepper: nobody is locked out, and an old one goes only when no key needs it."""

import asyncio
from pathlib import Path

import pytest

from lab.registry import DictStore, registry_of
from rempart.base.clock import SystemClock
from rempart.control.actions import keys, secrets
from rempart.control.actions.fields import NewKey
from rempart.control.actions.operator import Operator
from rempart.control.actions.secrets import Peppered, PepperFile
from rempart.control.registry import Registry
from rempart.domain.errors import InsufficientScope, InvalidRequest, StateUnavailable
from rempart.domain.peppers import PEPPERS_MAX, Peppers
from rempart.state.peppers import load_peppers
from rempart.state.shared.keys.memory import MemoryPublishedKeys
from rempart.state.shared.keys.verify import Verifier

LOCAL = Operator.local(0)


class House:
    """A registry whose peppers stand in a file, and a worker's verifier."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store, self.published = DictStore(), MemoryPublishedKeys()
        self.registry: Registry = registry_of(self.store, published=self.published)
        self.registry.peppers = load_peppers(folder)
        self.verifier = Verifier(
            keys=self.published,
            peppers=self.registry.peppers,
            clock=SystemClock(),
            age_s_max=1e9,
        )
        self.file = PepperFile(folder, is_configured=False, renew=self.renew)
        asyncio.run(self.registry.keep())

    async def renew(self) -> Peppers:
        peppers = load_peppers(self.folder)
        self.verifier.replace_peppers(peppers)
        return peppers

    def create(self) -> str:
        made = asyncio.run(keys.create(self.registry, LOCAL, NewKey(name="a")))
        return made.secret.reveal()

    def rotate(self) -> Peppered:
        return asyncio.run(secrets.rotate(self.registry, LOCAL, self.file))

    def drop(self) -> Peppered:
        return asyncio.run(secrets.drop_unused(self.registry, LOCAL, self.file))

    def use(self, secret: str) -> None:
        self.verifier.verify(secret, "192.0.2.1")
        self.published.note_uses(self.verifier.take_uses())
        asyncio.run(self.registry.note_uses())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_keys_work_on_and_move_to_the_new_pepper_as_they_are_used(house: House) -> None:
    first, second = house.create(), house.create()
    found = house.rotate()
    assert found.keys_waiting == 2
    assert len(found.pepper_ids) == 2
    house.use(first)
    assert house.drop().pepper_ids == found.pepper_ids
    house.use(second)
    assert house.drop() == Peppered(found.pepper_id, [found.pepper_id], 0)
    for secret in (first, second, house.create()):
        house.use(secret)
    assert house.store.actions == [
        "key.create", "key.create", "secrets.rotate",
        "secrets.drop_unused", "secrets.drop_unused", "key.create",
    ]  # fmt: skip


def test_a_secret_in_its_grace_keeps_its_pepper(house: House) -> None:
    old = house.create()
    (id_,) = house.store.key_rows
    house.rotate()
    new = asyncio.run(keys.rotate(house.registry, LOCAL, id_, grace_s=600)).secret.reveal()
    assert len(house.drop().pepper_ids) == 2
    house.use(old)
    house.use(new)


def test_where_the_pepper_is_configured_the_way_is_told(house: House) -> None:
    house.file = PepperFile(house.folder, is_configured=True, renew=house.renew)
    with pytest.raises(InvalidRequest, match="previous_master_key"):
        house.rotate()
    assert house.store.actions == []


def test_too_many_peppers_are_refused_until_unused_ones_are_dropped(house: House) -> None:
    for _ in range(PEPPERS_MAX - 1):
        house.rotate()
    with pytest.raises(InvalidRequest, match="drop-unused"):
        house.rotate()
    assert len(house.drop().pepper_ids) == 1
    assert len(house.rotate().pepper_ids) == 2


def test_while_the_database_is_away_no_pepper_changes(house: House) -> None:
    before = (house.folder / "secret.key").read_text()
    house.store.is_away = True
    with pytest.raises(StateUnavailable):
        house.rotate()
    assert (house.folder / "secret.key").read_text() == before


def test_who_may_only_read_rotates_nothing(house: House) -> None:
    reader = Operator("r", frozenset({"admin:read"}))
    with pytest.raises(InsufficientScope):
        asyncio.run(secrets.rotate(house.registry, reader, house.file))
