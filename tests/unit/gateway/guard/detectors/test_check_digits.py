"""Check digits, against numbers made by their rules the other way round."""

import random
import string

import pytest

from lab.guard_texts import card, french_iban, nir, siret
from rempart.gateway.guard.detectors.check_digits import (
    is_card,
    is_iban_97,
    is_luhn,
    is_nir,
    is_siret,
)

MADE = {"card": (card, is_card), "siret": (siret, is_siret), "iban": (french_iban, is_iban_97),
        "nir": (nir, is_nir)}  # fmt: skip


@pytest.mark.parametrize("kind", MADE)
def test_what_was_made_by_the_rule_passes(kind: str) -> None:
    make, is_it = MADE[kind]
    rng = random.Random(kind)
    assert all(is_it(make(rng)) for _ in range(500))


@pytest.mark.parametrize("kind", MADE)
def test_any_one_digit_changed_fails(kind: str) -> None:
    make, is_it = MADE[kind]
    rng = random.Random(kind)
    for _ in range(30):
        number = make(rng)
        for at, digit in enumerate(number):
            for other in set(string.digits) - {digit} if digit.isdigit() else ():
                changed = number[:at] + other + number[at + 1 :]
                assert not is_it(changed), (number, changed)


@pytest.mark.parametrize(
    "number",
    ["4111111111111111", "5555555555554444", "2223003122003222", "378282246310005", "6011111111111117",
     "30569309025904", "3530111333300000", "6200000000000005", "4222222222222", "4000000000000000006"],
)  # fmt: skip
def test_the_networks_own_test_numbers_are_cards(number: str) -> None:
    assert is_card(number)


def test_a_luhn_number_that_no_network_issues_is_no_card() -> None:
    assert is_luhn("0000000000000000")
    assert not is_card("0000000000000000")
    assert is_luhn("1000000000000008")
    assert not is_card("1000000000000008")
    assert not is_card("41111111111111" + "3")  # no Visa has 15 digits


def test_la_postes_establishments_have_a_rule_of_their_own() -> None:
    assert is_siret("35600000000048")  # its seat, a Luhn number too
    assert is_siret("35600000000001")  # its digits add up to a multiple of 5
    assert not is_luhn("35600000000001")
    assert not is_siret("35600000000002")


def test_corsica_counts_as_19_and_18() -> None:
    rng = random.Random(1)
    for department in ("2A", "2B"):
        number = nir(rng, department)
        assert is_nir(number)
        assert not is_nir(number.replace(department, "2B" if department == "2A" else "2A"))


@pytest.mark.parametrize(
    "number",
    [
        "185057800608491",
        "285132A00608400"[:15],
        "585057800608491",
        "185007800608491",
        "185050000608491",
    ],
)
def test_a_number_without_sex_month_or_department_is_no_nir(number: str) -> None:
    assert is_nir(number) is (number == "185057800608491")
