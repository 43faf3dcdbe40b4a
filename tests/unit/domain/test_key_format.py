"""Keys are written so that a typing error is seen, a scanner finds them, and their id says where to look."""

import os
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.domain.key_format import (
    BASE62,
    CHOSEN_KEY_ID,
    ID_CHARACTERS,
    KEY_CHARACTERS,
    SCANNER_PATTERN,
    SECRET_CHARACTERS,
    checksum,
    chosen_text_fault,
    look_up_id,
    make_key,
    random_base62,
)

ID = "0123456789ab"
KEY = make_key(ID, "0123456789ABCDEFGHIJKLMNOPQRSTUVW")


@pytest.mark.requirement("problem-authentication")
def test_a_key_has_the_contract_s_form() -> None:
    assert re.fullmatch(r"rmp_[0-9A-Za-z]{12}_[0-9A-Za-z]{33}[0-9A-Za-z]{6}", KEY)
    assert len(KEY) == KEY_CHARACTERS == 56
    assert KEY[-6:] == checksum(KEY[:-6])
    # 62^33 > 2^160, as the contract asks.
    assert 62**SECRET_CHARACTERS > 2**160


def test_a_key_is_looked_up_by_its_id() -> None:
    assert look_up_id(KEY) == ID


@given(st.integers(0, KEY_CHARACTERS - 1), st.sampled_from("0123456789ABCXYZabcxyz_é-"))
def test_a_typing_error_is_seen_and_its_id_is_not_looked_up(position: int, other: str) -> None:
    wrong = KEY[:position] + other + KEY[position + 1 :]
    assert look_up_id(wrong) == (ID if wrong == KEY else CHOSEN_KEY_ID)


@pytest.mark.parametrize(
    "text", ["", KEY[:-1], KEY + "0", " " + KEY, KEY.upper(), "x" * 56, "é" * 56]
)
def test_a_text_in_another_form_is_looked_up_as_the_operator_s_own(text: str) -> None:
    assert look_up_id(text) == CHOSEN_KEY_ID


def test_the_operator_s_own_key_has_an_id_like_any_other() -> None:
    """So that rotating it gives a key in our format which is found under the same id."""
    rotated = make_key(CHOSEN_KEY_ID, "x" * SECRET_CHARACTERS)
    assert look_up_id(rotated) == CHOSEN_KEY_ID


@given(st.text(st.characters(codec="ascii")))
def test_a_checksum_is_six_characters_of_base62_that_hold_a_crc32(body: str) -> None:
    number = 0
    for character in checksum(body):
        number = number * 62 + BASE62.index(character)
    assert len(checksum(body)) == 6
    assert number == zlib.crc32(body.encode())


@pytest.mark.parametrize(
    ("id_", "secret"),
    [("short", "x" * 33), ("x" * 13, "x" * 33), ("x" * 11 + "_", "x" * 33), ("x" * 12, "x" * 32),
     ("x" * 12, "x" * 32 + "-"), ("é" * 12, "x" * 33), ("x" * 12, "\n" * 33)],
)  # fmt: skip
def test_no_key_is_made_of_other_parts_and_the_error_does_not_show_them(
    id_: str, secret: str
) -> None:
    with pytest.raises(ValueError, match="a key is made of") as refused:
        make_key(id_, secret)
    assert secret not in str(refused.value)


def test_random_characters_use_all_of_base62_and_are_never_the_same_twice() -> None:
    made = [random_base62(SECRET_CHARACTERS, os.urandom) for _ in range(200)]
    assert len(set(made)) == 200
    assert set("".join(made)) == set(BASE62)
    assert len(random_base62(ID_CHARACTERS, lambda count: b"\0" * count)) == ID_CHARACTERS


def test_scanners_find_a_key_in_a_text_and_nothing_that_only_begins_like_one() -> None:
    found = re.findall(SCANNER_PATTERN, f'API_KEY="{KEY}" rmp_short_x {KEY}x x{KEY}')
    assert found == [KEY]


@pytest.mark.parametrize("text", ["x" * 31, "x" * 513, "x y" * 20, "x\n" * 20, "x\x7f" * 20])
def test_a_chosen_key_must_be_long_and_print(text: str) -> None:
    assert chosen_text_fault(text).startswith("found")
    assert chosen_text_fault("é" * 32) == ""
