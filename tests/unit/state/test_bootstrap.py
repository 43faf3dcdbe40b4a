"""The first secrets: made once, private, whole or not there, and recognised again."""

import os
import re
import signal
import stat
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.domain.keys import ALL_SCOPES, find_key
from rempart.state.bootstrap import (
    ADMIN_KEY_ID,
    BootstrapError,
    checksum,
    load_admin_key,
    load_pepper,
    new_key,
    write_private,
)

PEPPER = b"p" * 32
FORMAT = re.compile(r"rmp_[0-9A-Za-z]{12}_[0-9A-Za-z]{33}[0-9A-Za-z]{6}")
GIVEN = "an-administrator-s-key-of-32-and-more"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.requirement("problem-authentication")
def test_a_new_key_has_the_contract_s_format_and_is_never_made_twice() -> None:
    made = {new_key() for _ in range(200)}
    assert len(made) == 200
    for key in made:
        assert FORMAT.fullmatch(key)
        assert checksum(key[:-6]) == key[-6:]


@given(st.integers(0, 49), st.sampled_from("0123456789ABCXYZabcxyz"))
def test_the_checksum_catches_every_wrong_character(position: int, other: str) -> None:
    key = "rmp_0123456789ab_" + "0123456789ABCDEFGHIJKLMNOPQRSTUVW"
    wrong = key[:position] + other + key[position + 1 :]
    assert (checksum(wrong) == checksum(key)) == (wrong == key)


@given(st.text(st.characters(codec="ascii")))
def test_a_checksum_is_six_characters_of_base62_that_hold_a_crc32(body: str) -> None:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number = 0
    for character in checksum(body):
        number = number * 62 + digits.index(character)
    assert len(checksum(body)) == 6
    assert number == zlib.crc32(body.encode())


def test_the_first_start_makes_both_secrets_and_later_ones_find_them(tmp_path: Path) -> None:
    pepper = load_pepper(tmp_path, "")
    first = load_admin_key(tmp_path, pepper, None)
    assert len(pepper) == 32
    assert (first.is_new, first.file) == (True, tmp_path / "admin.key")
    again = load_admin_key(tmp_path, load_pepper(tmp_path, ""), "")
    assert not again.is_new
    assert again.secret == first.secret
    assert again.stored == first.stored
    assert first.stored.id == ADMIN_KEY_ID
    assert first.stored.scopes == ALL_SCOPES
    assert find_key([first.stored], pepper, first.secret.reveal()) is first.stored
    assert (tmp_path / "admin.key").read_text() == first.secret.reveal() + "\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["admin.key", "secret.key"]


def test_the_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_admin_key(tmp_path, load_pepper(tmp_path, ""), None)
    finally:
        os.umask(before)
    assert [mode(path) for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_neither_repr_nor_str_shows_the_admin_key(tmp_path: Path) -> None:
    admin = load_admin_key(tmp_path, PEPPER, None)
    assert admin.secret.reveal() not in f"{admin!r} {admin}"


def test_a_given_key_is_taken_and_written_nowhere(tmp_path: Path) -> None:
    admin = load_admin_key(tmp_path, PEPPER, GIVEN)
    assert (admin.is_new, admin.file) == (False, None)
    assert find_key([admin.stored], PEPPER, GIVEN) is admin.stored
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong", ["short", "x" * 31, "x" * 513, "x" * 20 + " " + "x" * 20, "x\n" * 20]
)
def test_a_key_that_is_no_good_is_refused_without_being_told(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(BootstrapError, match="REMPART_ADMIN_KEY must be 32 to 512") as refused:
        load_admin_key(tmp_path, PEPPER, wrong)
    assert wrong not in str(refused.value)
    (tmp_path / "admin.key").write_text(wrong[:31])
    with pytest.raises(BootstrapError, match=r"admin\.key must be 32 to 512 .* delete the file"):
        load_admin_key(tmp_path, PEPPER, None)


@pytest.mark.parametrize("length", [32, 512])
def test_the_shortest_and_the_longest_key_are_taken(tmp_path: Path, length: int) -> None:
    assert load_admin_key(tmp_path, PEPPER, "x" * length).secret.reveal() == "x" * length


def test_a_configured_master_key_makes_the_same_pepper_on_every_instance(tmp_path: Path) -> None:
    pepper = load_pepper(tmp_path / "nowhere", "master")
    assert pepper == load_pepper(tmp_path, "master")
    assert pepper != load_pepper(tmp_path, "Master")
    assert len(pepper) == 32
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 32])
def test_a_damaged_pepper_is_never_replaced_in_silence(tmp_path: Path, content: bytes) -> None:
    """A new one would lock out every key."""
    (tmp_path / "secret.key").write_bytes(content)
    with pytest.raises(BootstrapError, match="restore it from a backup"):
        load_pepper(tmp_path, "")
    assert (tmp_path / "secret.key").read_bytes() == content


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in ("secret.key", "admin.key"):
        (tmp_path / name).mkdir()
    with pytest.raises(BootstrapError, match=r"secret\.key cannot be read: Is a directory"):
        load_pepper(tmp_path, "")
    with pytest.raises(BootstrapError, match=r"admin\.key cannot be read: Is a directory"):
        load_admin_key(tmp_path, PEPPER, None)


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
@pytest.mark.parametrize("before", [None, "old\n"])
def test_a_crash_in_between_leaves_no_half_file(
    tmp_path: Path, moment: str, before: str | None
) -> None:
    path = tmp_path / "secret.key"
    if before is not None:
        path.write_text(before)
    program = f"""
import os, pathlib, signal
from rempart.state import bootstrap

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

match {moment!r}:
    case "write":
        bootstrap.open = die
    case "fsync":
        os.fsync = die
    case "replace":
        pathlib.Path.replace = die
bootstrap.write_private(pathlib.Path({str(path)!r}), "new\\n")
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (path.read_text() if path.exists() else None) == before


def test_what_a_crash_left_behind_does_not_stop_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container every start has the same process id."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    left = tmp_path / ".secret.key.1"
    left.write_text("half")
    left.chmod(0o644)
    write_private(tmp_path / "secret.key", "new\n")
    assert (tmp_path / "secret.key").read_text() == "new\n"
    assert mode(tmp_path / "secret.key") == 0o600
    assert not left.exists()


def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "secret.key", "new\n")
    assert list(tmp_path.iterdir()) == []
