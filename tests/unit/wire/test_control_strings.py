"""Control strings are found in any writing and broken for good."""

import json

import pytest

from rempart.wire.control_strings import FAMILIES, ControlStrings, literals, without_numbers
from rempart.wire.sanitise import needs_no_look

CONTROL = ControlStrings(FAMILIES)


@pytest.mark.parametrize("one", FAMILIES)
def test_each_is_broken_once_and_reads_the_same(one: str) -> None:
    broken = CONTROL.break_in(f"a{one}b")
    assert not CONTROL.is_in(broken)
    assert broken.replace(" ", "") == f"a{one}b"
    body = json.dumps([one], ensure_ascii=False).encode()
    assert not (needs_no_look(body) and CONTROL.are_absent(body))


def test_digits_stand_for_any_and_letters_for_any_case() -> None:
    control = ControlStrings(["<unused0>", "<|A_1|>"])
    assert control.break_in("<unused6123> <|a_22|>") == "<unused6123 > <|a_22 |>"
    assert without_numbers(f"<unused{n}>" for n in range(6000)) == ["<unused0>"]


def test_overlapping_ones_are_all_broken() -> None:
    control = ControlStrings(["<a>b", ">b<c>", "<a", "< a"])
    assert not control.is_in(control.break_in("<a>b<c>"))


def test_a_template_tells_its_marks() -> None:
    template = (
        "{{ bos_token }}[INST] <<SYS>>\n{% if x < 3 %}<|im_start|>{{ m.role }}<tool_call><table>"
    )
    assert literals(template) == ["[INST]", "<<SYS>>", "<|im_start|>", "<tool_call>"]


def test_plain_bodies_hold_none() -> None:
    for text in ("if a < b: x[0] > 1", "<div>", "a [link] b", "x <- y"):
        assert CONTROL.are_absent(json.dumps({"content": text}).encode())
        assert CONTROL.break_in(text) is text
