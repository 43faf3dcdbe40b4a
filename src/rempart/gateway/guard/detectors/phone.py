"""Phone numbers with their country (E.164): ``+33 6 12 34 56 78``, ``+33 (0)6…``, ``+1 (555) 123-4567``."""

from rempart.gateway.guard.interface import Match, Undecided, Verdict

DIGITS_MAX = 15
DIGITS_MIN = 8
_DIGITS = frozenset("0123456789")
_BETWEEN = " \u00a0\u202f.-/()"
_CODES = frozenset(
    str(code) for code in (
        1, 7, 20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54,
        55, 56, 57, 58, 60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98, 211,
        212, 213, 216, 218, 220, 221, 222, 223, 224, 225, 226, 227, 228, 229, 230, 231, 232, 233, 234,
        235, 236, 237, 238, 239, 240, 241, 242, 243, 244, 245, 246, 248, 249, 250, 251, 252, 253, 254,
        255, 256, 257, 258, 260, 261, 262, 263, 264, 265, 266, 267, 268, 269, 290, 291, 297, 298, 299,
        350, 351, 352, 353, 354, 355, 356, 357, 358, 359, 370, 371, 372, 373, 374, 375, 376, 377, 378,
        380, 381, 382, 383, 385, 386, 387, 389, 420, 421, 423, 500, 501, 502, 503, 504, 505, 506, 507,
        508, 509, 590, 591, 592, 593, 594, 595, 596, 597, 598, 599, 670, 672, 673, 674, 675, 676, 677,
        678, 679, 680, 681, 682, 683, 685, 686, 687, 688, 689, 690, 691, 692, 800, 850, 852, 853, 855,
        856, 870, 880, 886, 960, 961, 962, 963, 964, 965, 966, 967, 968, 970, 971, 972, 973, 974, 975,
        976, 977, 992, 993, 994, 995, 996, 998,
    )
)  # fmt: skip
"""Country codes in use (ITU-T E.164)."""
_EXACT = {"1": 11, "33": 11, "262": 12, "590": 12, "594": 12, "596": 12}
"""Digits in all, where all numbers of a country have as many."""


def match_international(text: str, start: int, is_final: bool) -> Verdict:
    """The verdict on a number that begins with ``+``."""
    digits = ""
    at = last = start + 1
    end = len(text)
    exact = 0
    between = 0
    group_end, group_digits = last, 0
    while at < end:
        character = text[at]
        if character in _DIGITS:
            digits += character
            at += 1
            last = at
            between = 0
            if len(digits) == 3:
                if not any(digits[:width] in _CODES for width in (1, 2, 3)):
                    return None
                exact = next((_EXACT[digits[:w]] for w in (1, 2, 3) if digits[:w] in _EXACT), 0)
            if len(digits) > DIGITS_MAX:  # the groups before this one may be a number
                if group_digits < DIGITS_MIN:
                    return None
                return Match(group_end, "phone")
            if exact and len(digits) == exact:
                break
            continue
        if text.startswith("(0)", at) and digits:
            at += 3
            continue
        if not between:
            group_end, group_digits = last, len(digits)
        between += 1
        if character not in _BETWEEN or between > 2 or not digits:
            break
        at += 1
    if not is_final and (at == end or (end - at < 3 and text.startswith("(0)"[: end - at], at))):
        return Undecided.STRONG if len(digits) >= 4 else Undecided.WEAK
    if len(digits) < DIGITS_MIN or (exact and len(digits) != exact):
        return None
    if last < end and text[last].isalnum():
        return None
    return Match(last, "phone")
