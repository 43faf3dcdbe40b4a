"""The head of a GGUF file is read within bounds, and a broken one is an error."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rempart.runners.files.gguf_header import GgufError, lacking_bytes, read_header


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def head(*pairs: bytes, version: int = 3, count: int | None = None) -> bytes:
    return (
        b"GGUF"
        + struct.pack("<IQQ", version, 1, len(pairs) if count is None else count)
        + b"".join(pairs)
    )


NAME = text("general.architecture") + struct.pack("<I", 8) + text("llama")
CONTEXT = text("llama.context_length") + struct.pack("<II", 4, 8192)
WORDS = text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc")
NESTED = text("nested") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ3B", 0, 3, 1, 2, 3)
TRUE = text("flag") + struct.pack("<I?", 7, True)
WHOLE = head(NAME, WORDS, NESTED, TRUE, CONTEXT)


def written(folder: Path, data: bytes) -> Path:
    path = folder / "m.gguf"
    path.write_bytes(data)
    return path


def test_scalars_and_texts_are_given_and_arrays_stepped_over(tmp_path: Path) -> None:
    assert read_header(written(tmp_path, WHOLE)) == {
        "general.architecture": "llama",
        "flag": True,
        "llama.context_length": 8192,
    }


def test_reading_stops_behind_what_is_wanted(tmp_path: Path) -> None:
    path = written(tmp_path, head(NAME, CONTEXT, count=9))
    assert read_header(path, until=".context_length")["llama.context_length"] == 8192
    with pytest.raises(GgufError, match="ends in the middle"):
        read_header(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<htm" + bytes(40), "not a GGUF"),
        (head(version=1), "version 1"),
        (head(count=10**9), "entries"),
        (head(text("k") + struct.pack("<I", 99)), "unknown kind 99"),
        (head(text("k") + struct.pack("<IIQ", 9, 99, 1)), "unknown kind 99"),
        (head(text("k") + struct.pack("<IIQ", 9, 0, 10**12)), "elements"),
        (head(struct.pack("<Q", 2**60)), "text of"),
    ],
)
def test_a_head_that_makes_no_sense_is_an_error(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(GgufError, match=said):
        read_header(written(tmp_path, data))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_anywhere_in_its_head_is_an_error(tmp_path: Path, cut: int) -> None:
    with pytest.raises(GgufError):
        read_header(written(tmp_path, WHOLE[:cut]))


def test_the_demo_models_head_is_read(demo_model: Path) -> None:
    found = read_header(demo_model)
    assert found["llama.context_length"] == 8192
    assert found["llama.block_count"] == 30


@pytest.mark.parametrize("lacking", [0, 1, 1000, 10_000_000])
def test_what_is_missing_at_the_end_of_a_file_is_told_to_the_byte(
    demo_model: Path, tmp_path: Path, lacking: int
) -> None:
    data = demo_model.read_bytes()
    assert lacking_bytes(written(tmp_path, data[: len(data) - lacking])) == lacking


def test_a_file_that_promises_tensors_and_ends_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match="ends in the middle"):
        lacking_bytes(written(tmp_path, head()))
