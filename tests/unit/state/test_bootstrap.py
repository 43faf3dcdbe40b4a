"""The first secrets: made once, private, whole or not there, and recognised again."""

import os
import re
import stat
from pathlib import Path

import pytest

from rempart.domain.key_format import CHOSEN_KEY_ID, look_up_id
from rempart.domain.keys import ALL_SCOPES, StoredKey, digest_secret
from rempart.domain.peppers import Peppers
from rempart.state.bootstrap import BootstrapError, load_admin_key, new_key, retire_admin_key
from rempart.state.peppers import load_peppers

PEPPERS = Peppers.of([b"p" * 32])
FORMAT = re.compile(r"rmp_[0-9A-Za-z]{12}_[0-9A-Za-z]{33}[0-9A-Za-z]{6}")
GIVEN = "an-administrator-s-key-of-32-and-more"


def recognises(key: StoredKey, peppers: Peppers, secret: str) -> bool:
    pepper = peppers.key(key.pepper_id)
    return pepper is not None and key.digest == digest_secret(pepper, secret)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.requirement("problem-authentication")
def test_a_new_key_has_the_contract_s_format_and_is_never_made_twice() -> None:
    made = {new_key() for _ in range(200)}
    assert len(made) == 200
    for key in made:
        assert FORMAT.fullmatch(key)
        assert look_up_id(key) == key[4:16]


def test_the_first_start_makes_both_secrets_and_later_ones_find_them(tmp_path: Path) -> None:
    peppers = load_peppers(tmp_path)
    first = load_admin_key(tmp_path, peppers, None)
    assert (first.is_new, first.file) == (True, tmp_path / "admin.key")
    again = load_admin_key(tmp_path, load_peppers(tmp_path), "")
    assert not again.is_new
    assert again.secret == first.secret
    assert again.stored == first.stored
    assert first.stored.id == first.secret.reveal()[4:16]
    assert first.stored.scopes == ALL_SCOPES
    assert first.stored.is_unlimited
    assert recognises(first.stored, peppers, first.secret.reveal())
    assert (tmp_path / "admin.key").read_text() == first.secret.reveal() + "\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["admin.key", "secret.key"]


def test_the_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_admin_key(tmp_path, load_peppers(tmp_path), None)
    finally:
        os.umask(before)
    assert [mode(path) for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_neither_repr_nor_str_shows_the_admin_key(tmp_path: Path) -> None:
    admin = load_admin_key(tmp_path, PEPPERS, None)
    assert admin.secret.reveal() not in f"{admin!r} {admin}"


def test_a_given_key_is_taken_and_written_nowhere(tmp_path: Path) -> None:
    admin = load_admin_key(tmp_path, PEPPERS, GIVEN)
    assert (admin.is_new, admin.file) == (False, None)
    assert admin.stored.id == CHOSEN_KEY_ID
    assert recognises(admin.stored, PEPPERS, GIVEN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong", ["short", "x" * 31, "x" * 513, "x" * 20 + " " + "x" * 20, "x\n" * 20]
)
def test_a_key_that_is_no_good_is_refused_without_being_told(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(BootstrapError, match="REMPART_ADMIN_KEY must be 32 to 512") as refused:
        load_admin_key(tmp_path, PEPPERS, wrong)
    assert wrong not in str(refused.value)
    (tmp_path / "admin.key").write_text(wrong[:31])
    with pytest.raises(BootstrapError, match=r"admin\.key must be 32 to 512 .* delete the file"):
        load_admin_key(tmp_path, PEPPERS, None)


@pytest.mark.parametrize("length", [32, 512])
def test_the_shortest_and_the_longest_key_are_taken(tmp_path: Path, length: int) -> None:
    assert load_admin_key(tmp_path, PEPPERS, "x" * length).secret.reveal() == "x" * length


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in ("secret.key", "admin.key"):
        (tmp_path / name).mkdir()
    with pytest.raises(BootstrapError, match=r"secret\.key cannot be read: Is a directory"):
        load_peppers(tmp_path)
    with pytest.raises(BootstrapError, match=r"admin\.key cannot be read: Is a directory"):
        load_admin_key(tmp_path, PEPPERS, None)


def test_a_rotated_key_is_forgotten_and_no_other_one_is_made(tmp_path: Path) -> None:
    made = load_admin_key(tmp_path, PEPPERS, None)
    assert made is not None
    retire_admin_key(tmp_path, "anotherkey12")
    assert (tmp_path / "admin.key").exists()
    retire_admin_key(tmp_path, made.stored.id)
    assert not (tmp_path / "admin.key").exists()
    assert load_admin_key(tmp_path, PEPPERS, None) is None
    given = load_admin_key(tmp_path, PEPPERS, GIVEN)
    assert given is not None
