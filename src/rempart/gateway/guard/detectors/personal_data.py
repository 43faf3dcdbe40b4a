"""Personal data: IBAN, card, NIR and SIRET by their check digits; e-mail addresses and phone numbers by form.

Names, addresses and dates of birth need a model, and are not claimed. Neither is a SIREN alone: one in ten
numbers of nine digits passes its check.
"""

from rempart.domain.guard import PERSONAL_DATA, PERSONAL_KINDS
from rempart.gateway.guard.detectors.email import Email
from rempart.gateway.guard.detectors.iban import Iban
from rempart.gateway.guard.detectors.numbers import Numbers
from rempart.gateway.guard.interface import Detector, Matcher


def personal_data(kinds: frozenset[str]) -> Detector:
    """The detector for these kinds; empty: all of them."""
    kinds = kinds or frozenset(PERSONAL_KINDS)
    matchers: list[Matcher] = []
    if "email" in kinds:
        matchers.append(Email())
    if "iban" in kinds:
        matchers.append(Iban())
    if kinds & {"card", "nir", "siret", "phone"}:
        matchers.append(Numbers(kinds))
    return Detector(PERSONAL_DATA, tuple(matchers))
