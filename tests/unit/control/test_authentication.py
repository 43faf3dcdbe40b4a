"""Who a request of the control API comes from."""

from datetime import UTC, datetime

import pytest

from rempart.control.authentication import Authentication
from rempart.domain.errors import (
    AddressNotAllowed,
    InvalidApiKey,
    MissingApiKey,
    RateLimitExceeded,
    RevokedApiKey,
    StateUnavailable,
)
from rempart.domain.key_format import make_key
from rempart.domain.keys import ALL_SCOPES, StoredKey
from rempart.domain.peppers import Peppers
from rempart.settings.protection import Lockout
from rempart.state.shared.keys.memory import MemoryPublishedKeys
from rempart.state.shared.keys.verify import Verifier
from rempart.state.shared.lockout.memory import MemoryLockout

GOOD, REVOKED, NEAR = (make_key(name * 12, "s" * 33) for name in "abc")
PEPPERS = Peppers.of([b"p" * 32])


class StillClock:
    """A clock that stands."""

    def now(self) -> float:
        return 1000.0

    def wall(self) -> datetime:
        return datetime(2026, 11, 25, tzinfo=UTC)


class Door:
    """An authentication over three keys."""

    def __init__(self, *, is_published: bool = True) -> None:
        self.keys, self.lockout = MemoryPublishedKeys(), MemoryLockout()
        clock = StillClock()
        if is_published:
            now_ms = int(clock.wall().timestamp() * 1000)
            made = [
                self.stored(GOOD),
                self.stored(REVOKED, revoked_s=1.0),
                self.stored(NEAR, networks=("10.0.0.0/8",)),
            ]
            self.keys.publish_all(keys=made, projects=[], now_ms=now_ms)
        self.authenticate = Authentication(
            verifier=Verifier(keys=self.keys, peppers=PEPPERS, clock=clock, age_s_max=60),
            lockout=self.lockout,
            settings=Lockout(failures=3),
            clock=clock,
        )

    def stored(self, secret: str, **more: object) -> StoredKey:
        digest, pepper_id = PEPPERS.digest(secret)
        values: dict[str, object] = {"id": secret[4:16], "digest": digest, "pepper_id": pepper_id}
        return StoredKey(scopes=ALL_SCOPES, **{**values, **more})  # type: ignore[arg-type]  # of a test

    def ask(self, secret: str, address: str = "192.0.2.1") -> str:
        return self.authenticate({"authorization": f"Bearer {secret}"}, False, address).id


def test_a_key_is_taken_from_either_header() -> None:
    door = Door()
    assert door.ask(GOOD) == "a" * 12
    assert door.authenticate({"x-api-key": GOOD}, False, "192.0.2.1").id == "a" * 12
    with pytest.raises(MissingApiKey):
        door.authenticate({"authorization": "Basic abc"}, False, "192.0.2.1")


def test_what_a_key_is_or_was_is_told_only_to_who_presents_its_secret() -> None:
    door = Door()
    with pytest.raises(RevokedApiKey):
        door.ask(REVOKED)
    with pytest.raises(AddressNotAllowed):
        door.ask(NEAR)
    assert door.ask(NEAR, "10.1.2.3")
    with pytest.raises(InvalidApiKey):
        door.ask(make_key("b" * 12, "t" * 33))


def test_failures_are_left_for_the_audit_log() -> None:
    door = Door()
    for secret in (REVOKED, "x" * 40):
        with pytest.raises((RevokedApiKey, InvalidApiKey)):
            door.ask(secret)
    found = {(one.code, one.key_id, one.address) for one in door.lockout.collect(10)}
    assert found == {
        ("revoked_api_key", "b" * 12, "192.0.2.1"),
        ("invalid_api_key", "", "192.0.2.1"),
    }


def test_wrong_keys_block_their_address_and_right_ones_are_let_in_all_the_same() -> None:
    door = Door()
    for _ in range(2):
        with pytest.raises(InvalidApiKey):
            door.ask("x" * 40)
    with pytest.raises(RateLimitExceeded) as blocked:
        door.ask("x" * 40)
    assert blocked.value.retry_after_s == 300
    assert door.ask(GOOD)
    with pytest.raises(InvalidApiKey):
        door.ask("x" * 40, "192.0.2.2")


def test_before_anything_is_published_nobody_knows() -> None:
    with pytest.raises(StateUnavailable):
        Door(is_published=False).ask(GOOD)
