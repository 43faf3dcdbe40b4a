"""What the head of a GGUF file says of its model, without loading it.

Only scalars and texts are given; arrays (the vocabulary, mostly) are stepped over. Source: the
GGUF specification, versions 2 and 3, little endian.
"""

import struct
from pathlib import Path
from typing import BinaryIO

from rempart.runners.files.source import GGUF_MAGIC

Value = int | float | bool | str

PAIRS_COUNT_MAX = 100_000
TEXT_BYTES_MAX = 64 * 1024 * 1024
ELEMENTS_COUNT_MAX = 50_000_000
ARRAY_DEPTH_MAX = 4
TENSORS_COUNT_MAX = 100_000
DIMENSIONS_COUNT_MAX = 8
ALIGNMENT_BYTES = 32
"""Where ``general.alignment`` does not say otherwise."""

_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2),
}  # fmt: skip
"""ggml's types of tensors: elements of a block, and its bytes. Of another type the place alone is checked."""

_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_TEXT, _ARRAY = 8, 9
_UINT32, _UINT64 = _SCALARS[4], _SCALARS[10]


class GgufError(Exception):
    """The file's head is not what the specification says: broken off, or of another version."""


def read_header(path: Path, until: str = "") -> dict[str, Value]:
    """The scalars and texts of the head, by key.

    Args:
        path: the file; of a split model its first part.
        until: a key's ending (``.context_length``) behind which reading stops: with it the
            vocabulary, which follows and takes most of the time, is not touched.

    Raises:
        GgufError: the head is not well-formed.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        _, found = _pairs(file, path, until)
        return found


def lacking_bytes(path: Path) -> int:
    """How many bytes are missing at the end of the file for its last tensor to be whole; 0 for a whole file.

    Raises:
        GgufError: the head is not well-formed.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        tensors_count, found = _pairs(file, path, "")
        if tensors_count > TENSORS_COUNT_MAX:
            raise GgufError(f"{path} claims to have {tensors_count} tensors")
        end = 0
        for _ in range(tensors_count):
            end = max(end, _tensor_end(file))
        alignment = found.get("general.alignment", ALIGNMENT_BYTES)
        if not isinstance(alignment, int) or alignment <= 0:
            raise GgufError(f"{path} has general.alignment {alignment!r}")
        start = -(-file.tell() // alignment) * alignment
        return max(0, start + end - path.stat().st_size) if tensors_count else 0


def _pairs(file: BinaryIO, path: Path, until: str) -> tuple[int, dict[str, Value]]:
    """The number of tensors, and the entries of the head."""
    if _take(file, 4) != GGUF_MAGIC:
        raise GgufError(f"{path} is not a GGUF file")
    version = _number(file, _UINT32)
    if version not in (2, 3):
        raise GgufError(f"{path} is of GGUF version {version}; versions 2 and 3 are known here")
    tensors_count = _number(file, _UINT64)
    pairs_count = _number(file, _UINT64)
    if pairs_count > PAIRS_COUNT_MAX:
        raise GgufError(f"{path} claims to have {pairs_count} entries in its head")
    found: dict[str, Value] = {}
    for _ in range(pairs_count):
        key = _text(file)
        kind = _number(file, _UINT32)
        if kind == _TEXT:
            found[key] = _text(file)
        elif kind == _ARRAY:
            _skip_array(file, ARRAY_DEPTH_MAX)
        else:
            found[key] = _scalar(file, kind)
        if until and key.endswith(until):
            break
    return tensors_count, found


def _tensor_end(file: BinaryIO) -> int:
    """Where a tensor's data ends, counted from the start of all data."""
    _text(file)
    dimensions_count = _number(file, _UINT32)
    if dimensions_count > DIMENSIONS_COUNT_MAX:
        raise GgufError(f"the head has a tensor of {dimensions_count} dimensions")
    elements = 1
    for _ in range(dimensions_count):
        elements *= _number(file, _UINT64)
    block_elements, block_bytes = _BLOCKS.get(_number(file, _UINT32), (elements or 1, 1))
    return _number(file, _UINT64) + -(-elements // block_elements) * block_bytes


def _take(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise GgufError("the file ends in the middle of its head")
    return data


def _number(file: BinaryIO, form: struct.Struct) -> int:
    value: int = form.unpack(_take(file, form.size))[0]
    return value


def _scalar(file: BinaryIO, kind: int) -> int | float | bool:
    form = _SCALARS.get(kind)
    if form is None:
        raise GgufError(f"the head has a value of the unknown kind {kind}")
    value: int | float | bool = form.unpack(_take(file, form.size))[0]
    return value


def _text_size(file: BinaryIO) -> int:
    size = _number(file, _UINT64)
    if size > TEXT_BYTES_MAX:
        raise GgufError(f"the head has a text of {size} bytes")
    return size


def _text(file: BinaryIO) -> str:
    return _take(file, _text_size(file)).decode("utf-8", "replace")


def _skip_array(file: BinaryIO, depth: int) -> None:
    kind = _number(file, _UINT32)
    count = _number(file, _UINT64)
    if count > ELEMENTS_COUNT_MAX or depth == 0:
        raise GgufError(f"the head has an array of {count} elements")
    if kind == _TEXT:
        for _ in range(count):
            file.seek(_text_size(file), 1)
    elif kind == _ARRAY:
        for _ in range(count):
            _skip_array(file, depth - 1)
    else:
        form = _SCALARS.get(kind)
        if form is None:
            raise GgufError(f"the head has an array of the unknown kind {kind}")
        file.seek(form.size * count, 1)
