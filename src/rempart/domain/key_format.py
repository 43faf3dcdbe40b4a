"""How a key is written: ``rmp_<12-character id>_<secret><6-character checksum>``, all base62.

The checksum is the CRC32 of all before it, as in GitHub's tokens: it catches typing errors, and lets
secret scanners tell a key from a text that only begins like one. The id is public (logs, records,
listings) and is what a key is looked up by. An operator may choose the first admin key as any text;
such texts have no id of their own and are all looked up under one.
"""

import re
import zlib
from collections.abc import Callable

from rempart.domain.keys import SECRET_CHARACTERS_MAX, SECRET_CHARACTERS_MIN

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_CHARACTERS = 12
SECRET_CHARACTERS = 33
"""196 random bits; the contract asks for at least 160."""
CHECKSUM_CHARACTERS = 6
KEY_CHARACTERS = 4 + ID_CHARACTERS + 1 + SECRET_CHARACTERS + CHECKSUM_CHARACTERS

CHOSEN_KEY_ID = "bootstrapkey"
"""The id of the key whose secret an operator chose (REMPART_ADMIN_KEY). It has the length of all ids, so that
rotating it gives a key in our format that is found the same way."""

SCANNER_PATTERN = r"\brmp_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}\b"
"""For secret scanners; a match whose checksum is right is a key of ours (docs/how-to/find-leaked-keys.md)."""
_SHAPE = re.compile(r"rmp_([0-9A-Za-z]{12})_[0-9A-Za-z]{39}").fullmatch
_PAIRS = tuple(first + second for first in BASE62 for second in BASE62)
"""Two digits at a time: half the divisions, for a check that every request pays."""


def checksum(body: str) -> str:
    """Six characters of base62 that hold the CRC32 of ``body`` (ASCII)."""
    number = zlib.crc32(body.encode("ascii"))
    number, last = divmod(number, 3844)
    first, middle = divmod(number, 3844)
    return _PAIRS[first] + _PAIRS[middle] + _PAIRS[last]


def make_key(id_: str, secret: str) -> str:
    """The whole key of an id and a secret.

    Raises:
        ValueError: either is not base62 of its length; the message does not hold them.
    """
    body = f"rmp_{id_}_{secret}"
    key = body + checksum(body) if body.isascii() else ""
    if _SHAPE(key) is None or len(id_) != ID_CHARACTERS:
        raise ValueError(
            f"a key is made of an id of {ID_CHARACTERS} and a secret of {SECRET_CHARACTERS} base62 characters"
        )
    return key


def random_base62(characters: int, random: Callable[[int], bytes]) -> str:
    """Random characters.

    Args:
        random: gives that many random bytes (``os.urandom``). More are drawn than needed, so that the
            remainder favours no character by more than one part in 2^64.
    """
    number = int.from_bytes(random(characters + 8), "big")
    text = []
    for _ in range(characters):
        number, digit = divmod(number, 62)
        text.append(BASE62[digit])
    return "".join(text)


def look_up_id(text: str) -> str:
    """The id under which a presented text is looked up.

    A key with a typing error is none of ours, so it is looked up like any chosen text: its own id is not
    asked for, and yet it costs what a good key costs.
    """
    # Without the regular expression it costs half; an id of other characters is just not found.
    if (
        len(text) == KEY_CHARACTERS
        and text.startswith("rmp_")
        and text[16] == "_"
        and text.isascii()
        and checksum(text[:-6]) == text[-6:]
    ):
        return text[4:16]
    return CHOSEN_KEY_ID


def chosen_text_fault(text: str) -> str:
    """What keeps a text from being the operator's key; empty: nothing does."""
    if not SECRET_CHARACTERS_MIN <= len(text) <= SECRET_CHARACTERS_MAX:
        return f"found {len(text)} characters"
    if not text.isprintable() or " " in text:
        return "found characters that do not print, or a space"
    return ""
