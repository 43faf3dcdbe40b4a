"""The check digits of the numbers that have some: what tells an IBAN or a card from any other number."""

LA_POSTE = "356000000"
"""The SIREN whose establishments have no Luhn number: their digits add up to a multiple of 5 (Insee)."""

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def is_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1; one in ten numbers has it by chance."""
    values = [ord(digit) - 48 for digit in reversed(digits)]
    return (sum(values[::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0


def is_iban_97(text: str) -> bool:
    """Whether letters and digits of an IBAN leave 1 when divided by 97 (ISO 13616, ISO 7064).

    Args:
        text: without separators, letters in upper case.
    """
    turned = text[4:] + text[:4]
    return int("".join([str(int(character, 36)) for character in turned])) % 97 == 1


# What cards begin with, and how many digits they then have (ISO/IEC 7812, the networks' own pages).
_CARDS: tuple[tuple[int, int, int, frozenset[int]], ...] = (
    (1, 4, 4, frozenset({13, 16, 19})),  # Visa
    (2, 51, 55, frozenset({16})),  # Mastercard
    (4, 2221, 2720, frozenset({16})),
    (2, 34, 34, frozenset({15})),  # American Express
    (2, 37, 37, frozenset({15})),
    (4, 6011, 6011, frozenset({16, 19})),  # Discover
    (3, 644, 649, frozenset({16, 19})),
    (2, 65, 65, frozenset({16, 19})),
    (3, 300, 305, frozenset({14, 16})),  # Diners Club
    (2, 36, 36, frozenset({14, 16})),
    (2, 38, 39, frozenset({14, 16})),
    (4, 3528, 3589, frozenset({16, 19})),  # JCB
    (2, 62, 62, frozenset({16, 17, 18, 19})),  # UnionPay
    (4, 5018, 5018, frozenset({16, 18, 19})),  # Maestro
    (4, 5020, 5020, frozenset({16, 18, 19})),
    (4, 5038, 5038, frozenset({16, 18, 19})),
    (4, 6304, 6304, frozenset({16, 18, 19})),
    (4, 6759, 6763, frozenset({16, 18, 19})),
)


def is_card(digits: str) -> bool:
    """Whether a network issues cards of this beginning and length, and the Luhn digit is right."""
    for width, first, last, lengths in _CARDS:
        if first <= int(digits[:width]) <= last and len(digits) in lengths:
            return is_luhn(digits)
    return False


def is_siret(digits: str) -> bool:
    """Whether 14 digits are a SIRET: a SIREN with its own check digit, and one over all (Insee)."""
    siren = digits[:9]
    if siren == "000000000" or not is_luhn(siren):
        return False
    if siren == LA_POSTE and sum(ord(digit) - 48 for digit in digits) % 5 == 0:
        return True
    return is_luhn(digits)


def is_nir(digits: str) -> bool:
    """Whether 15 characters are a French social security number with its key.

    Sex (7 and 8 while provisional), year, month (20 and above where it is not known), department (Corsica
    2A and 2B), commune, order, and the key: 97 less the number modulo 97, where 2A counts as 19 and 2B as 18.
    """
    department = digits[5:7]
    if department == "2A":
        number = digits[:5] + "19" + digits[7:]
    elif department == "2B":
        number = digits[:5] + "18" + digits[7:]
    else:
        number = digits
    if not number.isdigit() or digits[0] not in "123478" or department == "00":
        return False
    month = int(number[3:5])
    if not (1 <= month <= 12 or 20 <= month <= 42 or month >= 50):
        return False
    if digits[7:10] == "000" or digits[10:13] == "000":
        return False
    return int(number[13:]) == 97 - int(number[:13]) % 97
