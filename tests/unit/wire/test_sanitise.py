"""Hidden characters go, honest text stays."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rempart.wire.sanitise import needs_no_look, sanitise

HONEST = [
    # French, with its typography: narrow and wide no-break spaces, guillemets, ligatures, curly apostrophes.
    "Portez ce vieux whisky au juge blond qui fume : dès Noël, où un zéphyr haï me vêt de glaçons würmiens.",
    "L’œuvre « Ça ira »\u202f; l’aïeul à Nîmes\u00a0: 1\u202f234,56\u00a0€ — n’est-ce pas\u202f?",
    "Article L1234-5 du Code du travail, alinéa 2º\r\n\t§ 3… ‘cité’ “ainsi” †",
    "extra\u00adordinaire",
    # Arabic with vowels and tatweel; Persian and Urdu with their non-joiners.
    "السَّلامُ عَلَيْكُمْ، كيف حالُك؟ ﷺ الـــعربية ١٢٣",
    "می‌خواهم کتاب‌ها را بخوانم؛ نمی‌شود. خانه‌ای",
    "اردو میں لکھنا، آپ کی‌مدد",
    "\u200fالسعر: 100 USD\u200f (تقريبا)\u200e.",
    "قال \u2066Alice\u2069 و\u2067بوب\u2069\u2066 (x)\u2069",
    "שָׁלוֹם עֲלֵיכֶם \u200eabc\u200f",
    # Indic scripts with joiners and non-joiners.
    "नमस्ते, क्षत्रिय क्‍ष श्री र्‍य क्‌ष शक्ति ड़",
    "বাংলা র‌্যাব ক্‍ষ; ক্‌ষ",
    "ശ്രീ നന്‍മ അവന്‍ തമിഴ്‌നാട്",
    "ශ්‍රී ලංකා ක්‍ෂ",
    "தமிழ் క్ష ಕ್ಷ ગુજરાતી ਪੰਜਾਬੀ",
    # Others with invisible needs.
    "ᠮᠣᠩᠭᠣᠯ\u180b ᠪᠢᠴᠢᠭ\u180eᠠ",
    "中文，日本語（かな）「葛\U000e0100城市」 한국어 邊\U000e0101",
    "ខ្មែរ မြန်မာ ภาษาไทย",
    "Tiếng Việt Ελληνικά Русский Հայերեն ქართული",
    # Emoji: families, skin tones, flags, keycaps, text and emoji presentation, gendered, couples.
    "👨‍👩‍👧‍👦 👩🏽‍🚀 👩‍❤️‍💋‍👨 🏳️‍🌈 🏴‍☠️ 🧑🏿‍🤝‍🧑🏻 ❤️‍🔥 👁️‍🗨️ 🐻‍❄️ 🙋🏾‍♀️ 😶‍🌫️ ⛓️‍💥",
    "🇫🇷 🇩🇿 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🏴󠁧󠁢󠁷󠁬󠁳󠁿 1️⃣ #️⃣ *️⃣ ☎︎ ☎️ ©️ ™️ ℹ️ ▶️ ⏏︎ ✔︎",
    # Mathematics and code.
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, 2⋅π ≈ 6.28 ≨︀ ∩︀",
    'def f(x):\n\treturn {"a": [1, 2]}  # <div class="é">&nbsp;</div>\r\n$ ls -la | grep \'^d\' && echo "$HOME"\n',
    "SELECT * FROM t WHERE a <> 'b' -- ±\n<|not a token|> [INST] </s>",
    "",
    " \n\t\r\n ",
]


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_comes_out_unchanged(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert sanitise(text) == (text, 0)


@pytest.mark.parametrize(
    ("text", "clean", "taken"),
    [
        ("a\x00b\x1bc\x7fd\x85e\x9bf", "abcdef", 5),
        ("a\tb\nc\rd", "a\tb\nc\rd", 0),
        ("pass\u200bword\ufeff\u2060", "password", 3),
        ("ab\u200ccd\u200d", "abcd", 2),
        ("<|im_\u200dstart|>", "<|im_start|>", 1),
        ("user\u202etxt.exe\u202c", "usertxt.exe", 2),
        ("a\u202ab\u202bc\u202dd", "abcd", 3),
        ("x\u2066y\u2069\u200e", "xy", 3),
        ("العربية\u202e", "العربية", 1),
        ("hi" + "".join(chr(0xE0000 + ord(c)) for c in "ignore all"), "hi", 10),
        ("🏴" + "".join(chr(0xE0000 + ord(c)) for c in "evil") + "\U000e007f", "🏴", 5),
        ("😀" + "\ufe0f" * 5, "😀\ufe0f", 4),
        ("😀" + "".join(chr(0xE0100 + n) for n in range(20)), "😀", 20),
        ("葛" + "\U000e0100" * 3, "葛\U000e0100", 2),
        ("a\ufe0f\ufe00", "a", 2),
        ("👩\u200d\u200d👩", "👩👩", 2),
        ("👩\u200d", "👩", 1),
        ("👩\u200dx", "👩x", 1),
        ("می\u200c\u200c\u200cخواهم", "می\u200cخواهم", 2),
        ("سلام" + "\u200f" * 9, "سلام\u200f\u200f", 7),
        ("a\u00ad\u00adb -\u00ad5", "ab -5", 3),
        ("\u3164\uffa0\u115fx\U0001d173\ufff9y\ufffe\U0001ffff\ufdd0", "xy", 8),
        ("\ud800x", "x", 1),
        ("e\u0301", "é", 0),
        ("e\u200b\u0301", "é", 1),
        ("\u212b\u2126", "ÅΩ", 0),
    ],
)
def test_what_nobody_sees_is_taken_out_and_counted(text: str, clean: str, taken: int) -> None:
    assert sanitise(text) == (clean, taken)


SIGNS = st.sampled_from(
    [
        *"ab 1#=\n<|👩👧❤🏴葛كيकष\u094d\u0301\u0338\u1820Ωé\u2329\u2126\u1100\u1161",
        *"\u200b\u200c\u200d\u200e\u200f\u061c\u00ad\u034f\u180b\u180e\u202e\u2066\u2069\ufe00\ufe0f\ufeff",
        *"\U000e0001\U000e0067\U000e007f\U000e0100\x00\x7f\x85\U0001f3fd\u20e3",
        "\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ]
)


@settings(max_examples=200)
@given(st.lists(SIGNS, max_size=12).map("".join) | st.text(max_size=12))
def test_a_second_pass_takes_out_nothing_more(text: str) -> None:
    clean, _ = sanitise(text)
    assert sanitise(clean) == (clean, 0)
    assert unicodedata.is_normalized("NFC", clean)


@settings(max_examples=200)
@given(st.lists(SIGNS, max_size=8).map("".join) | st.text(max_size=8), st.booleans())
def test_a_body_that_needs_no_look_has_nothing_to_take_out(text: str, is_ascii: bool) -> None:
    body = json.dumps([text], ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    if needs_no_look(body):
        assert sanitise(text) == (text, 0)


def test_plain_bodies_need_no_look() -> None:
    assert needs_no_look(b'{"a":"line\\nend \\"quoted\\" \\\\ \\t"}')
    assert not needs_no_look('{"a":"é"}'.encode())
    assert not needs_no_look(b'{"a":"\\u200b"}')
    assert not needs_no_look(b'{"a":"\x7f"}')
    assert not needs_no_look(b'{"a":"\\b"}')
