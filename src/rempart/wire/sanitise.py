"""Text without the characters that nobody sees, and in Unicode's normal form C; honest text stays as it is.

Hidden characters carry orders past human eyes (tag characters), break words for a filter but not for a
model (zero-width), or show another order than the one that is read (overrides). Most of them have honest
uses too, so that it is their place which decides:

- Joiners (U+200C, U+200D) stay in scripts that need them, and in emoji sequences.
- Variation selectors stay behind what they can vary: emoji, symbols, ideographs, keycaps.
- Marks and isolates of direction stay in texts with letters of right-to-left scripts; embeddings and
  overrides never do.
- Tag characters stay in the flags of England, Scotland and Wales.
- Soft hyphens stay between letters.
- Tab, line feed and carriage return are the only control characters.

A place is the characters right before and behind, which never go themselves: so a second pass over the
outcome takes out nothing more (tests/unit/wire/test_sanitise.py).

Sources: UAX 9, UAX 15, UTS 51, RFC 5892 appendix A, UTR 36.
"""

import re
import unicodedata

_NEVER = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls but \t \n \r
    "\u200b\u2060-\u2064"  # zero-width space, word joiner, invisible operators
    "\u202a-\u202e"  # embeddings and overrides of direction
    "\u206a-\u206f\ufff9-\ufffb\ufeff"  # deprecated formats, annotations, byte order mark
    "\u3164\uffa0\u115f"  # fillers, which are blanks that are none
    "\ufdd0-\ufdef\ufffe\uffff"  # never characters
    "\ud800-\udfff"  # halves of characters
)
_NEVER_BEYOND = (
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # formats of shorthand and music
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # tags
    + "".join(
        f"{chr((plane << 16) + 0xFFFE)}-{chr((plane << 16) + 0xFFFF)}" for plane in range(1, 17)
    )
)
_DIRECTIONS = "\u061c\u200e\u200f\u2066-\u2069"
_BY_PLACE = f"\u00ad\u034f\u180b-\u180f\u200c\u200d\ufe00-\ufe0f{_DIRECTIONS}"
_BY_PLACE_BEYOND = "\U000e0100-\U000e01ef"

# Two classes, since one that reaches beyond U+FFFF is six times slower for all texts.
_SUSPECT = re.compile(f"[{_NEVER}{_BY_PLACE}]")
_SUSPECT_BEYOND = re.compile(f"[{_NEVER_BEYOND}{_BY_PLACE_BEYOND}]")
_FLAG = "\U0001f3f4"
_FLAGS = tuple(
    _FLAG + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
_REMOVED = re.compile(f"[{_NEVER}{_NEVER_BEYOND}]+")
_REMOVED_BUT_FLAGS = re.compile(f"({'|'.join(_FLAGS)})|[{_NEVER}{_NEVER_BEYOND}]+")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)

_JOINING = (
    # Arabic to N'Ko and Mandaic, all Indic scripts with Sinhala, Tibetan, Myanmar, Khmer, Mongolian, Balinese
    # and their kin, their later blocks; but for the hidden ones among them.
    "\u0600-\u061b\u061d-\u07ff\u0840-\u0dff\u0f00-\u109f\u1780-\u180a\u1810-\u18af\u1900-\u1cff"
    "\ua800-\uaaff\uabc0-\uabff\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010a00-\U00010a5f"
    "\U00011000-\U00011fff"
)
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u20e3\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_VARIED = (
    # Keycaps, emoji, symbols and operators, ideographs, Myanmar, Phags-pa, Manichaean.
    "0-9#*\u00a9\u00ae\u1000-\u109f\u2010-\u2029\u202f-\u205f\u2070-\u2bff\u3000-\u303f\u3200-\u9fff"
    "\ua840-\ua877\uaa60-\uaa7f\uf900-\ufaff\uff00-\uff60\U00010ac0-\U00010aff"
    "\U0001f000-\U0001faff\U00020000-\U0002fffd\U00030000-\U0003fffd"
)
_IDEOGRAPHS = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002fffd\U00030000-\U0003fffd"
_LETTER = r"[^\W\d_]"

_OUT_OF_PLACE = (
    rf"\u200c(?<![{_JOINING}]\u200c)",
    rf"\u200d(?!(?<=[{_JOINING}]\u200d)|(?<=[{_EMOJI}]\u200d)(?=[{_EMOJI}])"
    rf"|(?<=[{_EMOJI}]\ufe0f\u200d)(?=[{_EMOJI}]))",
    rf"[\ufe00-\ufe0f](?<![{_VARIED}].)",
    rf"[\U000e0100-\U000e01ef](?<![{_IDEOGRAPHS}].)",
    r"[\u180b-\u180f](?<![\u1810-\u18af].)",
    rf"\u00ad(?!(?<={_LETTER}\u00ad){_LETTER})",
    rf"\u034f(?<![^\s{_BY_PLACE}{_BY_PLACE_BEYOND}].)",
)
# Two of them at one place are honest (the end of one isolate and the begin of the next); a third is not.
_RIGHT_TO_LEFT_ONLY = (rf"[{_DIRECTIONS}](?<=[{_DIRECTIONS}]{{3}})",)
_OTHERS = (rf"[{_DIRECTIONS}]",)
_DROPPED = re.compile("|".join(_OUT_OF_PLACE + _OTHERS), re.DOTALL)
_DROPPED_RIGHT_TO_LEFT = re.compile("|".join(_OUT_OF_PLACE + _RIGHT_TO_LEFT_ONLY), re.DOTALL)


def needs_no_look(body: bytes) -> bool:
    """Whether no text of a JSON body can hold anything to take out or to normalise; a few fast searches.

    Args:
        body: well-formed JSON, in which raw control characters below U+0020 cannot be.
    """
    return (
        body.isascii()
        and b"\x7f" not in body
        and (b"\\" not in body or not (b"\\u" in body or b"\\b" in body or b"\\f" in body))
    )


def sanitise(text: str) -> tuple[str, int]:
    """The text without hidden characters, in normal form C; and how many were taken out."""
    if text.isascii():
        if text.isprintable():  # the fastest look there is; line ends are not printable
            return text, 0
    elif not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if _SUSPECT.search(text) is None and (
        not _has_beyond(text) or _SUSPECT_BEYOND.search(text) is None
    ):
        return text, 0
    has_flag = _FLAG in text
    clean = _REMOVED_BUT_FLAGS.sub(_kept_flag, text) if has_flag else _REMOVED.sub("", text)
    dropped = _DROPPED if _RIGHT_TO_LEFT.search(clean) is None else _DROPPED_RIGHT_TO_LEFT
    clean = dropped.sub("", clean)
    taken = len(text) - len(clean)
    # A letter and its accent may have stood on both sides of what is gone.
    return (unicodedata.normalize("NFC", clean) if taken else text), taken


def _has_beyond(text: str) -> bool:
    """Whether a character is beyond U+FFFF: it takes two units in UTF-16."""
    return len(text.encode("utf-16-le", "surrogatepass")) != 2 * len(text)


def _kept_flag(found: re.Match[str]) -> str:
    return found[1] or ""
