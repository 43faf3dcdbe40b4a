"""IBANs, with the length and structure that each country's have (ISO 13616, SWIFT's registry)."""

import re

from rempart.gateway.guard.detectors.check_digits import is_iban_97
from rempart.gateway.guard.interface import Match, Undecided, Verdict

_STRUCTURES = """
AD8n12c AE19n AL8n16c AT16n AZ4a20c BA16n BE12n BG4a6n8c BH4a14c BI23n BR23n1a1c BY4c4n16c CH5n12c CR18n
CY8n16c CZ20n DE18n DJ23n DK14n DO4c20n EE16n EG25n ES20n FI14n FK2a12n FO14n FR10n11c2n GB4a14n GE2a16n
GI4a15c GL14n GR7n16c GT24c HN4a20n HR17n HU24n IE4a14n IL19n IQ4a15n IS22n IT1a10n12c JO4a4n18c KW4a22c
KZ3n13c LB4n20c LC4a24c LI5n12c LT16n LU3n13c LV4a13c LY21n MC10n11c2n MD20c ME18n MK3n10c2n MN16n MR23n
MT4a5n18c MU4a19n3a NI4a20n NL4a10n NO11n OM3n16c PK4a16c PL24n PS4a21c PT21n QA4a21c RO4a16c RS18n RU14n15c
SA2n18c SC4a20n3a SD14n SE20n SI15n SK20n SM1a10n12c SO19n ST21n SV4a20n TL19n TN20n TR6n16c UA6n19c VA18n
VG4a16n XK16n YE4a4n18c
"""
"""After the two letters: n digits, a letters, c either; the two check digits are left out."""

SEPARATORS = " \u00a0\u202f.-"


def _spelled(structure: str) -> str:
    return "".join(kind * int(count) for count, kind in re.findall(r"(\d+)([nac])", structure))


STRUCTURE_OF = {one[:2]: "nn" + _spelled(one[2:]) for one in _STRUCTURES.split()}
"""Country → the class of each character behind its code, check digits first."""

_BEGINNINGS = frozenset(code[0] for code in STRUCTURE_OF)
# From the digits backwards: they are rare, and a pattern that begins with them skips all else.
_CHECK_DIGITS = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}..)(?<![^\W_]....)")
_UNFINISHED_START = re.compile(r"(?<![^\W_])[A-Za-z]{1,2}[0-9]?\Z")


class Iban:
    """Letters in either case; groups of any size with one separator, the same between all."""

    def starts(self, text: str, position: int, is_final: bool) -> list[int]:
        """See ``Matcher``."""
        found = [one.start() - 2 for one in _CHECK_DIGITS.finditer(text, position + 2)]
        if not is_final:
            near_end = _UNFINISHED_START.search(text, max(position, len(text) - 3))
            if near_end is not None:
                found.append(near_end.start())
        return found

    def match(self, text: str, start: int, is_final: bool) -> Verdict:
        """See ``Matcher``."""
        country = text[start : start + 2].upper()
        structure = STRUCTURE_OF.get(country)
        if structure is None:
            if is_final or len(country) == 2 or country not in _BEGINNINGS:
                return None
            return Undecided.WEAK
        at = start + 2
        end = len(text)
        separator = ""
        taken = [country]
        for kind in structure:
            if at < end and len(taken) > 2 and text[at] in SEPARATORS:
                separator = separator or text[at]
                if text[at] != separator:
                    return None
                at += 1
            if at == end:
                if is_final:
                    return None
                return Undecided.STRONG if len(taken) > 2 else Undecided.WEAK
            character = text[at]
            if not _fits(character, kind):
                return None
            taken.append(character)
            at += 1
        if at == end and not is_final:
            return Undecided.STRONG
        if at < end and text[at].isalnum():
            return None
        return Match(at, "iban") if is_iban_97("".join(taken).upper()) else None


def _fits(character: str, kind: str) -> bool:
    if not character.isascii():
        return False
    if kind == "n":
        return character.isdigit()
    return character.isalpha() if kind == "a" else character.isalnum()
