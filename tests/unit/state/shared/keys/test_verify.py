"""A secret lets in whom it stands for, and does the same work whether it is right, wrong or made up."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rempart.domain import errors
from rempart.domain.errors import InvalidApiKey, RempartError
from rempart.domain.key_format import CHOSEN_KEY_ID, look_up_id, make_key
from rempart.domain.keys import SECRET_CHARACTERS_MAX, StoredKey, digest_secret
from rempart.domain.peppers import Peppers
from rempart.state.shared.keys import verify as verify_module
from rempart.state.shared.keys.interface import Found
from rempart.state.shared.keys.memory import MemoryPublishedKeys
from rempart.state.shared.keys.verify import ENTRIES_MAX, Verifier

OLD, NEW = b"o" * 32, b"n" * 32
PEPPERS = Peppers.of([NEW, OLD])
ID = "CmZaBOdxHqBP"
SECRET = make_key(ID, "S" * 33)
OTHER = make_key(ID, "T" * 33)
CHOSEN = "correct-horse-battery-staple-of-32"


@dataclass
class Clock:
    at: datetime = datetime(2026, 11, 25, tzinfo=UTC)

    def now(self) -> float:
        return self.at.timestamp()

    def wall(self) -> datetime:
        return self.at


def stored(secret: str = SECRET, peppers: Peppers = PEPPERS, **fields: Any) -> StoredKey:
    digest, pepper_id = peppers.digest(secret)
    fields = {
        "digest": digest,
        "pepper_id": pepper_id,
        "scopes": frozenset({"inference"}),
        **fields,
    }
    return StoredKey(id=look_up_id(secret), **fields)


class Door:
    """A verifier over some keys, at a moment that the test sets."""

    def __init__(self, *keys: StoredKey, peppers: Peppers = PEPPERS, age_s_max: float = 60) -> None:
        self.clock = Clock()
        self.keys = MemoryPublishedKeys()
        self.verifier = Verifier(
            keys=self.keys, peppers=peppers, clock=self.clock, age_s_max=age_s_max
        )
        self.publish(*keys)

    @property
    def now_s(self) -> float:
        return self.clock.at.timestamp()

    def publish(self, *keys: StoredKey) -> None:
        self.keys.publish(keys=keys, projects=[], now_ms=int(self.now_s * 1000))

    def asked(self, secret: str, address: str = "192.0.2.1") -> str:
        """The id that is let in, or the code of the refusal."""
        try:
            return self.verifier.verify(secret, address).principal.id
        except RempartError as error:
            return error.code


def test_a_key_is_let_in_by_its_secret_alone() -> None:
    door = Door(stored(), stored(CHOSEN))
    assert door.asked(SECRET) == ID
    assert door.asked(CHOSEN) == CHOSEN_KEY_ID
    for wrong in (OTHER, SECRET[:-1], SECRET + "x", CHOSEN + "x", "", "x", "\udcff" * 40):
        assert door.asked(wrong) == "invalid_api_key", wrong


def test_the_principal_has_what_the_key_says() -> None:
    key = stored(
        scopes=frozenset({"metrics"}), models=("a",), limits={"requests_per_minute": 5},
        is_unlimited=True, project="p1", expires_s=9e9,
    )  # fmt: skip
    principal = Door(key).verifier.verify(SECRET, "").principal
    for name in ("id", "scopes", "models", "limits", "is_unlimited", "project", "content"):
        assert getattr(principal, name) == getattr(key, name)
    assert principal.expires_s == 9e9


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"revoked_s": 1.0}, "revoked_api_key"), ({"expires_s": 1.0}, "expired_api_key")],
)
def test_what_became_of_a_key_is_told_only_to_who_has_its_secret(
    fields: dict[str, Any], code: str
) -> None:
    door = Door(stored(**fields))
    assert door.asked(SECRET) == code
    assert door.asked(OTHER) == "invalid_api_key"


def test_a_key_ends_at_its_moment() -> None:
    door = Door()
    door.publish(stored(expires_s=door.now_s + 10))
    assert door.asked(SECRET) == ID
    door.clock.at += timedelta(seconds=9.999)
    assert door.asked(SECRET) == ID
    door.clock.at += timedelta(seconds=0.001)
    assert door.asked(SECRET) == "expired_api_key"


def rotated(door: Door, grace_s: float, **fields: Any) -> StoredKey:
    """The key after a rotation: OTHER is new, SECRET is valid for a while."""
    before = stored()
    return stored(
        OTHER, old_digest=before.digest, old_pepper_id=before.pepper_id,
        old_until_s=door.now_s + grace_s, **fields,
    )  # fmt: skip


def test_after_a_rotation_both_secrets_work_until_the_grace_is_over() -> None:
    door = Door()
    door.publish(rotated(door, 10))
    assert door.asked(OTHER) == door.asked(SECRET) == ID
    assert door.verifier.verify(OTHER, "").principal.expires_s == 0
    assert door.verifier.verify(SECRET, "").principal.expires_s == door.now_s + 10
    door.clock.at += timedelta(seconds=10)
    assert door.asked(OTHER) == ID
    assert door.asked(SECRET) == "expired_api_key"


def test_a_rotated_key_still_expires_with_both_secrets() -> None:
    door = Door()
    door.publish(rotated(door, 100, expires_s=door.now_s + 10))
    assert door.verifier.verify(SECRET, "").principal.expires_s == door.now_s + 10


@pytest.mark.parametrize(
    ("address", "is_let_in"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("", False),
        ("unix", False),
    ],
)
def test_a_key_may_be_bound_to_networks(address: str, is_let_in: bool) -> None:
    door = Door(stored(networks=("192.0.2.0/24", "2001:db8::/32")))
    assert door.asked(SECRET, address) == (ID if is_let_in else "address_not_allowed")
    assert door.asked(OTHER, address) == "invalid_api_key"


def test_networks_that_cannot_be_read_let_nobody_in() -> None:
    assert Door(stored(networks=("192.0.2.0/33",))).asked(SECRET) == "address_not_allowed"


class Work:
    """Counts what a verification does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, door: Door) -> None:
        self.done: list[str] = []

        def digest(key: bytes, secret: str) -> bytes:
            self.done.append("digest")
            return digest_secret(key, secret)

        compare = hmac.compare_digest

        def compare_digest(one: bytes, other: bytes) -> bool:
            self.done.append("compare")
            return compare(one, other)

        look = door.keys.look

        def counted_look(id_: str) -> Found:
            self.done.append("look")
            return look(id_)

        monkeypatch.setattr(verify_module, "digest_secret", digest)
        monkeypatch.setattr(hmac, "compare_digest", compare_digest)
        monkeypatch.setattr(door.keys, "look", counted_look)

    def of(self, door: Door, secret: str) -> list[str]:
        self.done = []
        door.asked(secret)
        return self.done


@pytest.mark.requirement("problem-authentication")
def test_unknown_and_wrong_keys_do_the_work_of_a_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(stored(), stored(CHOSEN), stored(make_key("revokedkey00", "R" * 33), revoked_s=1.0))
    door.publish(rotated(door, 10))
    work = Work(monkeypatch, door)
    expected = ["look", "digest", "compare", "compare"]
    typing_error = SECRET[:20] + ("0" if SECRET[20] != "0" else "1") + SECRET[21:]
    secrets = {
        "good": OTHER,
        "good, in its grace": SECRET,
        "chosen": CHOSEN,
        "chosen, wrong": CHOSEN + "x",
        "wrong secret": make_key(ID, "U" * 33),
        "unknown id": make_key("unknownkey00", "U" * 33),
        "revoked": make_key("revokedkey00", "R" * 33),
        "typing error": typing_error,
        "one letter": "x",
        "not even text": "\udcff" * 30,
    }
    for what, secret in secrets.items():
        for _ in range(2):  # what is remembered from the first time saves no work the second time
            assert work.of(door, secret) == expected, what


def test_a_text_beyond_the_longest_is_refused_without_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door(stored())
    work = Work(monkeypatch, door)
    assert work.of(door, "x" * (SECRET_CHARACTERS_MAX + 1)) == []


def test_made_up_keys_grow_nothing() -> None:
    door = Door(stored())
    door.asked(SECRET)
    for number in range(500):
        door.asked(make_key(f"{number:012}", "U" * 33))
    assert len(door.verifier._entries) == 1
    assert [use.key_id for use in door.verifier.take_uses()] == [ID]


def test_what_is_kept_of_known_keys_has_a_bound() -> None:
    secrets = [make_key(f"{number:012}", "S" * 33) for number in range(ENTRIES_MAX + 10)]
    door = Door(*map(stored, secrets))
    assert all(door.asked(secret) != "invalid_api_key" for secret in secrets)
    assert len(door.verifier._entries) == ENTRIES_MAX
    assert door.asked(secrets[0]) == look_up_id(secrets[0])


def test_a_change_of_a_key_counts_at_once() -> None:
    door = Door(stored())
    assert door.verifier.verify(SECRET, "").principal.models == ()
    door.publish(stored(models=("a",)))
    assert door.verifier.verify(SECRET, "").principal.models == ("a",)
    door.publish(stored(revoked_s=1.0))
    assert door.asked(SECRET) == "revoked_api_key"


def test_before_keys_are_published_nobody_is_let_in_and_nobody_is_told_that_a_key_is_wrong() -> (
    None
):
    clock = Clock()
    verifier = Verifier(keys=MemoryPublishedKeys(), peppers=PEPPERS, clock=clock, age_s_max=60)
    with pytest.raises(errors.StateUnavailable) as refused:
        verifier.verify(SECRET, "")
    assert refused.value.retry_after_s == 1.0
    assert not verifier.is_current()


def test_keys_that_nobody_confirmed_for_too_long_are_not_used() -> None:
    door = Door(stored(), age_s_max=60)
    door.clock.at += timedelta(seconds=60)
    assert door.asked(SECRET) == ID
    assert door.verifier.is_current()
    door.clock.at += timedelta(seconds=0.1)
    assert door.asked(SECRET) == door.asked("wrong") == "state_unavailable"
    assert not door.verifier.is_current()
    door.keys.confirm(int(door.now_s * 1000))
    assert door.asked(SECRET) == ID


def test_a_key_under_an_older_pepper_works_and_gets_a_digest_under_the_newest_when_used() -> None:
    old = Peppers.of([OLD])
    door = Door(stored(peppers=old))
    assert door.asked(OTHER) == "invalid_api_key"
    assert door.verifier.take_uses() == []
    assert door.asked(SECRET) == ID
    (use,) = door.verifier.take_uses()
    assert (use.digest, use.pepper_id) == PEPPERS.digest(SECRET)
    assert use.at_ms == int(door.now_s * 1000)
    door.publish(stored(digest=use.digest, pepper_id=use.pepper_id))
    assert door.asked(SECRET) == ID
    (again,) = door.verifier.take_uses()
    assert (again.digest, again.pepper_id) == (b"", "")


def test_an_old_secret_in_its_grace_never_becomes_the_key_s_digest() -> None:
    old = Peppers.of([OLD])
    before = stored(peppers=old)
    door = Door()
    door.publish(
        stored(OTHER, peppers=old, old_digest=before.digest, old_pepper_id=before.pepper_id,
               old_until_s=door.now_s + 10)
    )  # fmt: skip
    assert door.asked(SECRET) == ID
    assert [use.digest for use in door.verifier.take_uses()] == [b""]


def test_a_key_rotated_after_the_pepper_was_works_with_both_secrets() -> None:
    before = stored(peppers=Peppers.of([OLD]))
    door = Door()
    door.publish(
        stored(OTHER, old_digest=before.digest, old_pepper_id=before.pepper_id,
               old_until_s=door.now_s + 10)
    )  # fmt: skip
    assert door.asked(OTHER) == door.asked(SECRET) == ID


def test_a_key_whose_pepper_is_not_here_yet_is_not_called_wrong() -> None:
    door = Door(stored(), peppers=Peppers.of([OLD]))
    assert door.asked(SECRET) == "state_unavailable"
    door.verifier.replace_peppers(PEPPERS)
    assert door.asked(SECRET) == ID


# What was let in, later


def ended(door: Door, secret: str, *then: StoredKey) -> str | None:
    credential = door.verifier.verify(secret, "")
    door.publish(*then)
    try:
        door.verifier.renewed(credential)
    except RempartError as error:
        return error.code
    return None


def test_what_was_let_in_ends_with_its_key() -> None:
    door = Door(stored())
    assert ended(door, SECRET, stored(name="another")) is None
    assert ended(door, SECRET, stored(expires_s=1.0)) == "expired_api_key"
    door.publish(stored())
    assert ended(door, SECRET, stored(revoked_s=1.0)) == "revoked_api_key"


def test_what_was_let_in_by_a_key_that_is_gone_has_ended() -> None:
    door = Door(stored())
    credential = door.verifier.verify(SECRET, "")
    door.keys.publish_all(keys=[], projects=[], now_ms=int(door.now_s * 1000))
    with pytest.raises(errors.RevokedApiKey):
        door.verifier.renewed(credential)


def test_what_was_let_in_before_a_rotation_goes_on_for_the_grace() -> None:
    door = Door(stored())
    credential = door.verifier.verify(SECRET, "")
    door.publish(rotated(door, 10))
    assert door.verifier.renewed(credential).principal.expires_s == door.now_s + 10
    door.clock.at += timedelta(seconds=10)
    with pytest.raises(errors.ExpiredApiKey):
        door.verifier.renewed(credential)


def test_what_was_let_in_two_rotations_ago_has_ended() -> None:
    door = Door(stored())
    credential = door.verifier.verify(SECRET, "")
    between = stored(OTHER)
    third = make_key(ID, "V" * 33)
    door.publish(
        stored(third, old_digest=between.digest, old_pepper_id=between.pepper_id, old_until_s=9e9)
    )
    with pytest.raises(errors.RevokedApiKey):
        door.verifier.renewed(credential)


def test_a_new_digest_of_the_same_secret_ends_nothing() -> None:
    door = Door(stored(peppers=Peppers.of([OLD])))
    assert ended(door, SECRET, stored()) is None


def test_nothing_shows_a_digest() -> None:
    credential = Door(stored()).verifier.verify(SECRET, "")
    assert repr(credential) == f"Credential(principal={ID!r})"


def test_the_error_of_a_wrong_key_does_not_hold_it() -> None:
    with pytest.raises(InvalidApiKey) as refused:
        Door(stored()).verifier.verify(OTHER, "")
    assert OTHER not in f"{refused.value!r} {refused.value.details}"
