"""Where peppers are kept: made once, rotated without locking anybody out, dropped only when nobody needs them."""

import stat
from pathlib import Path

import pytest

from rempart.domain.peppers import PEPPERS_MAX, Peppers
from rempart.state.peppers import drop_peppers, load_peppers, rotate_pepper
from rempart.state.private_files import BootstrapError


def ids(peppers: Peppers) -> list[str]:
    return [pepper.id for pepper in peppers.ring]


def test_the_first_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    first = load_peppers(tmp_path)
    assert ids(load_peppers(tmp_path)) == ids(first)
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600


def test_the_file_of_an_older_version_is_a_ring_of_one(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("ab" * 32 + "\n")
    assert [pepper.key for pepper in load_peppers(tmp_path).ring] == [b"\xab" * 32]


def test_rotating_puts_a_new_one_first_and_keeps_the_others(tmp_path: Path) -> None:
    before = load_peppers(tmp_path)
    rotated = rotate_pepper(tmp_path)
    assert ids(rotated)[1:] == ids(before)
    assert ids(load_peppers(tmp_path)) == ids(rotated)
    assert ids(rotate_pepper(tmp_path))[1:] == ids(rotated)


def test_rotating_has_an_end(tmp_path: Path) -> None:
    load_peppers(tmp_path)
    for _ in range(PEPPERS_MAX - 1):
        rotate_pepper(tmp_path)
    with pytest.raises(BootstrapError, match="Drop those that no key needs"):
        rotate_pepper(tmp_path)


def test_only_what_no_key_needs_is_dropped_and_never_the_newest(tmp_path: Path) -> None:
    load_peppers(tmp_path)
    rotate_pepper(tmp_path)
    newest, middle, oldest = ids(rotate_pepper(tmp_path))
    assert drop_peppers(tmp_path, {oldest}) == [middle]
    assert ids(load_peppers(tmp_path)) == [newest, oldest]
    assert drop_peppers(tmp_path, {""}) == []
    assert drop_peppers(tmp_path, set()) == [oldest]
    assert drop_peppers(tmp_path, set()) == []
    assert ids(load_peppers(tmp_path)) == [newest]


def test_a_master_key_makes_the_same_pepper_on_every_instance(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one = load_peppers(tmp_path / "other", "master")
    assert ids(one) == ids(load_peppers(tmp_path, "master"))
    assert ids(one) != ids(load_peppers(tmp_path, "Master"))
    assert list((tmp_path / "other").iterdir()) == []


def test_going_from_one_master_key_to_the_next_locks_nobody_out(tmp_path: Path) -> None:
    old = load_peppers(tmp_path, "old")
    new = load_peppers(tmp_path, "new", "old\n\nolder\n")
    assert ids(new)[1] == ids(old)[0]
    assert len(new.ring) == 3


def test_going_from_the_file_to_a_master_key_and_back_locks_nobody_out(tmp_path: Path) -> None:
    in_file = load_peppers(tmp_path)
    configured = load_peppers(tmp_path, "master")
    assert ids(configured)[1:] == ids(in_file)
    back = load_peppers(tmp_path, "", "master")
    assert ids(back) == [ids(in_file)[0], ids(configured)[0]]


@pytest.mark.parametrize(
    "content", [b"", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 32, b"00" * 32 + b"\nab"]
)
def test_a_damaged_file_is_never_replaced_in_silence(tmp_path: Path, content: bytes) -> None:
    """A new pepper would lock out every key."""
    (tmp_path / "secret.key").write_bytes(content)
    for act in (load_peppers, rotate_pepper, lambda folder: drop_peppers(folder, set())):
        with pytest.raises(BootstrapError, match="restore it from a backup"):
            act(tmp_path)
    assert (tmp_path / "secret.key").read_bytes() == content
