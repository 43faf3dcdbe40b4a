"""What is found, as people write it, and what is not: order numbers, dates, hashes, code, articles of law."""

import random
import string

import pytest

from lab.guard_texts import HONEST, grouped, samples
from rempart.domain.guard import PERSONAL_KINDS
from rempart.gateway.guard.detectors.personal_data import personal_data
from rempart.gateway.guard.detectors.secrets import secrets
from rempart.gateway.guard.lane import mask_text
from rempart.gateway.guard.scan import scan

MATCHERS = personal_data(frozenset()).matchers
ALL = secrets().matchers + MATCHERS


def kinds_in(text: str) -> list[str]:
    found: list[str] = []
    mask_text(MATCHERS, text, found.append)
    return found


@pytest.mark.requirement("check-injection")
@pytest.mark.parametrize(
    "around", ["{}", "a {} b", "« {} »", "a:{},", "({})", "n°{}.", "\n{}\n", "={};"]
)
def test_each_way_of_writing_is_found_between_any_signs(around: str) -> None:
    rng = random.Random(around)
    for _ in range(20):
        for kind, text in samples(rng):
            if kind in PERSONAL_KINDS:
                assert kinds_in(around.format(text)) == [kind], (kind, around.format(text))


@pytest.mark.parametrize("text", HONEST)
def test_honest_texts_hold_nothing(text: str) -> None:
    assert scan(ALL, text, 0, True).findings == []


@pytest.mark.parametrize("around", ["x{}", "{}x", "1{}", "{}1", "3.{}", "{}.5", "2024-{}", "{}-01"])
def test_a_part_of_something_longer_is_nothing(around: str) -> None:
    for text in ("4111111111111111", "73282932000074", "185057800608491"):
        assert kinds_in(around.format(text)) == []


def test_digits_that_only_look_like_numbers_pass_their_check_as_chance_has_it() -> None:
    """Beginning and length right, the rest random: the rates that docs/explanation/guard.md states."""
    rng = random.Random(7)
    count = 20_000

    def digits(total: int) -> str:
        return "".join(rng.choices(string.digits, k=total))

    def rate(kind: str, make: object) -> float:
        return sum(kinds_in(make()) == [kind] for _ in range(count)) / count  # type: ignore[operator]

    assert 0.08 < rate("card", lambda: "4970" + digits(12)) < 0.12  # Luhn: 1 in 10
    assert 0.006 < rate("siret", lambda: "7" + digits(13)) < 0.014  # Luhn twice: 1 in 100
    iban = rate("iban", lambda: "FR76" + digits(23))
    assert 0.006 < iban < 0.015  # 1 in 97
    nir = rate("nir", lambda: "1" + digits(2) + "05" + "75" + digits(8))
    assert 0.006 < nir < 0.015


def test_random_identifiers_are_hardly_ever_taken_for_something() -> None:
    """Numbers and hashes of all lengths that no one chose to look like anything."""
    rng = random.Random(8)
    count = 30_000
    found = 0
    for _ in range(count):
        form = rng.randrange(4)
        if form == 0:
            text = "".join(rng.choices("0123456789abcdef", k=rng.choice((16, 32, 40, 64))))
        elif form == 1:
            text = str(rng.randint(1, 10 ** rng.randint(1, 20)))
        elif form == 2:
            text = f"CMD-{rng.randint(2000, 2030)}-{rng.randint(0, 10**8):08d}"
        else:
            text = grouped(str(rng.randint(10**11, 10**12)), (4,), rng.choice(" -"))
        found += bool(kinds_in(text))
    assert found / count < 0.002


def test_kinds_can_be_chosen() -> None:
    matchers = personal_data(frozenset({"iban"})).matchers
    text = "jean@x.fr 4111 1111 1111 1111 +33612345678 FR76 3000 6000 0112 3456 7890 189"
    found: list[str] = []
    assert mask_text(matchers, text, found.append).endswith("+33612345678 [IBAN]")
    assert found == ["iban"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4970 1012 3456 7892 12/26 123", ["card"]),
        ("12 4111 1111 1111 1111", ["card"]),
        ("01/02/2026 06 12 34 56 78", ["phone"]),
        ("le 2024-01-05 06 12 34 56 78", ["phone"]),
        ("06 12 34 56 78 / 06 98 76 54 32", ["phone", "phone"]),
        ("+33 6 12 34 56 78 12 rue", ["phone"]),
        ("+49 30 12345678 2024-11-24", ["phone"]),
        ("Tél.0612345678", ["phone"]),
        ("mailto:a@b.fr?subject=c", ["email"]),
        ("<a@b.fr>,\"c\" <d@e.co.uk>", ["email", "email"]),
        ("请发邮件到foo@bar.com谢谢", ["email"]),
        ("a@b@c.fr", ["email"]),
        ("FR7630006000011234567890189@", ["iban"]),
    ],
)  # fmt: skip
def test_what_stands_beside_does_not_hide_it(text: str, expected: list[str]) -> None:
    assert kinds_in(text.replace("4970 1012 3456 7892", "4111 1111 1111 1111")) == expected


@pytest.mark.parametrize(
    "text",
    ["4" * 10**5, "06 " * 10**5, "a@" * 10**5, "@" * 10**5, "a@" + "b." * 10**5, "+1 " * 10**5, "FR76 " * 10**5,
     "1-" * 10**5, "(0)" * 10**5, "x" * 10**5 + "@", "é" * 10**5, "\\u00" * 10**5, "a" + "-" * 10**5],
)  # fmt: skip
def test_hostile_texts_cost_no_more_than_their_length(text: str) -> None:
    """Counted, not timed: every matcher is asked at most once per place, and looks a bounded way ahead."""
    for is_final in (True, False):
        found = scan(ALL, text, 0, is_final)
        assert len(found.findings) <= len(text)
    for matcher in ALL:
        assert len(matcher.starts(text, 0, True)) <= len(text)
