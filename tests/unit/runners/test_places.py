"""Names, ports and files of a start."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.runners.places import (
    FILE_BYTES_MAX,
    NAME_MAX,
    Places,
    file_name,
    free_port,
    write_private,
)


@given(st.text(min_size=1, max_size=128))
def test_a_models_file_name_is_safe_and_short(name: str) -> None:
    made = file_name(name)
    assert 0 < len(made) <= NAME_MAX
    assert made.isascii()
    assert "/" not in made
    assert made[0] not in ".-"


def test_different_models_have_different_file_names() -> None:
    names = ["demo", "org/demo", "org-demo", "org demo", "x" * 60, "x" * 61, "..", ".", "é"]
    assert len({file_name(name) for name in names}) == len(names)
    assert file_name("demo") == "demo"


def test_every_start_has_a_name_and_a_key_of_its_own(tmp_path: Path) -> None:
    places = Places(tmp_path / "run", tmp_path / "data")
    one, two = places.new("m"), places.new("m")
    assert (one.name, two.name) == ("m-1", "m-2")
    assert one.key != two.key
    assert len(one.key) >= 32
    assert one.key not in repr(one)
    assert one.models_dir == tmp_path / "data" / "models"
    places.close()


def test_a_sockets_path_always_fits(tmp_path: Path) -> None:
    for folder in (Path("/tmp/r"), tmp_path / ("deep" * 30)):
        places = Places(folder, tmp_path)
        try:
            place = places.new("x" * 128)
            longest = place.run_dir / f"{place.name}.sock.door.sock"
            assert len(os.fsencode(longest)) <= 107
            assert len(longest.name) <= FILE_BYTES_MAX
        finally:
            places.close()
            if folder.exists():
                folder.rmdir()


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listening:
        assert listening.getsockname()[1] > 0


def test_a_private_file_is_ours_alone_and_replaces_what_was_there(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "a", tmp_path / "b"
    elsewhere.write_text("theirs")
    path.symlink_to(elsewhere)
    write_private(path, "secret")
    assert path.read_text() == "secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert elsewhere.read_text() == "theirs"
    with pytest.raises(OSError, match="No such file"):
        write_private(tmp_path / "none" / "a", "x")
