"""Texts with and without secrets and personal data: valid numbers made up, and honest look-alikes.

All numbers are made here from their rules, by another way than the detectors check them.
"""

import random
import string
import zlib
from collections.abc import Iterator
from itertools import pairwise

from hypothesis import strategies as st

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def crc62(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits.rjust(6, "0")


def luhn_digit(digits: str) -> str:
    """The digit that makes ``digits`` a Luhn number, by trying all ten."""
    for last in string.digits:
        total = 0
        for place, digit in enumerate(reversed(digits + last)):
            value = int(digit) * (1 + place % 2)
            total += value - 9 if value > 9 else value
        if total % 10 == 0:
            return last
    raise AssertionError


def card(rng: random.Random, first: str = "4970", total: int = 16) -> str:
    body = first + "".join(rng.choices(string.digits, k=total - 1 - len(first)))
    return body + luhn_digit(body)


def siret(rng: random.Random) -> str:
    siren = str(rng.randint(10_000_000, 99_999_999))
    siren += luhn_digit(siren)
    body = siren + f"{rng.randint(0, 9999):04d}"
    return body + luhn_digit(body)


def nir(rng: random.Random, department: str = "") -> str:
    department = department or f"{rng.randint(1, 95):02d}"
    body = f"{rng.randint(1, 2)}{rng.randint(0, 99):02d}{rng.randint(1, 12):02d}"
    rest = f"{rng.randint(1, 990):03d}{rng.randint(1, 999):03d}"
    number = int(body + {"2A": "19", "2B": "18"}.get(department, department) + rest)
    return f"{body}{department}{rest}{97 - number % 97:02d}"


def french_iban(rng: random.Random) -> str:
    bban = "".join(rng.choices(string.digits, k=10))
    bban += "".join(rng.choices(string.digits + string.ascii_uppercase, k=11))
    bban += "".join(rng.choices(string.digits, k=2))
    number = int("".join(str(int(one, 36)) for one in bban + "FR00"))
    return f"FR{98 - number % 97:02d}{bban}"


def grouped(text: str, groups: tuple[int, ...], separator: str) -> str:
    """``text`` cut into groups; the last size counts for the rest."""
    pieces, at, number = [], 0, 0
    while at < len(text):
        size = groups[min(number, len(groups) - 1)]
        pieces.append(text[at : at + size])
        at += size
        number += 1
    return separator.join(pieces)


def github_token(rng: random.Random) -> str:
    body = "".join(rng.choices(BASE62, k=30))
    return f"ghp_{body}{crc62(body)}"


def rempart_key(rng: random.Random) -> str:
    body = "rmp_" + "".join(rng.choices(BASE62, k=12)) + "_" + "".join(rng.choices(BASE62, k=33))
    return body + crc62(body)


def long_key(rng: random.Random, first: str, count: int = 80) -> str:
    return first + "aB3" + "".join(rng.choices(BASE62 + "-_", k=count - 4)) + "x"


PEM = (
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n"
    + "MIIEpAIBAAKCAQEAwH5fVQ9uT3xkq0Zc4rS1bXyz7mJd2LwPqR8sT6vUoYhNgKfE\n" * 4
    + "QUJD\n-----END ENCRYPTED PRIVATE KEY-----"
)


def samples(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Kind and text, one of each way of writing."""
    for separator in ("", " ", "-", ".", "\u00a0", "\u202f"):
        yield "card", grouped(card(rng), (4,), separator)
        yield "iban", grouped(french_iban(rng), (4,), separator)
        yield "siret", grouped(siret(rng), (3, 3, 3, 5), separator)
        yield "nir", grouped(nir(rng), (1, 2, 2, 2, 3, 3, 2), separator)
        yield "phone", grouped("0" + str(rng.randint(10**8, 10**9 - 1)), (2,), separator)
    yield "card", grouped(card(rng, "37", 15), (4, 6, 5), " ")
    yield "card", grouped(card(rng, "36", 14), (4, 6, 4), " ")
    yield "iban", french_iban(rng).lower()
    yield "nir", grouped(nir(rng, "2A"), (1, 2, 2, 2, 3, 3, 2), " ")
    yield "nir", nir(rng, "2B")
    yield "siret", "35600000000048"
    yield "phone", "+33 6 12 34 56 78"
    yield "phone", "+33 (0)6.12.34.56.78"
    yield "phone", "+1 (555) 123-4567"
    yield "phone", "0033612345678"
    yield "email", "jean.dupont@exemple.fr"
    yield "email", "prénom+étiquette@sous.domaine.gouv.fr"
    yield "github_token", github_token(rng)
    yield "rempart_key", rempart_key(rng)
    yield "aws_key_id", "AKIA" + "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16))
    yield "openai_key", long_key(rng, "sk-proj-", 100)
    yield "anthropic_key", long_key(rng, "sk-ant-api03-", 90)
    yield "google_key", long_key(rng, "AIza", 35)
    yield "slack_token", "xoxb-" + "123456789012-123456789012-abcdefABCDEF"
    yield "stripe_key", "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    yield (
        "jwt",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    )
    yield "private_key", PEM


HONEST = (
    "L'article L1234-5 du Code du travail et l'article R. 4228-20 ; L. 1237-19-1, alinéa 2.",
    "Commande n° 2024-11-24-0001, colis 1Z999AA10123456784, facture FA2024/00123456.",
    "2026-11-24T16:00:00.000Z, le 24.11.2026 à 16h00, du 01/02/2026 au 03/04/2026.",
    "550e8400-e29b-41d4-a716-446655440000 et 0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b.",
    "d41d8cd98f00b204e9800998ecf8427e e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "3.14159265358979323846, 6,02214076e23, 1 234 567 890 €, 12.345.678,90",
    "192.168.001.001:8080, fe80::1ff:fe23:4567:890a, 00:1A:2B:3C:4D:5E",
    "00 01 02 03 04 05 06 07 08 09 0a 0b, 01-02-03-04-05-06, 7 12 23 31 42 49",
    "for (int i = 0; i < 4000000000; i++) { a[i] = 0x12345678; } // 1732512345678901234 ns",
    "git@github.com:group/name.git, icon@2x.png, @decorator, user@localhost, pkg@1.2.3",
    "sk-learn, sk-proj-a-class-name-with-hyphens-that-is-really-long, ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "AKIA is a prefix. A JWT begins with eyJ. The header is -----BEGIN CERTIFICATE-----.",
    "FR76 est le début d'un IBAN ; DE12 ABCD n'en est pas un. TVA FR40303265045.",
    "Le SIREN 732829320 seul n'est pas recherché. NAF 6201Z, RCS Paris B 552 100 554.",
    "ISBN 978-2-07-036024-5, ISSN 0317-8471, EAN 3017620422003, DOI 10.1000/182.",
    "العربية ١٢٣٤٥٦٧٨٩٠ हिन्दी १२३४५६७८९० 👩‍👩‍👧‍👦 été ŒUVRE",
)
"""Nothing in these may be found."""

_WORDS = st.sampled_from(
    ["le ", "client ", "n° ", "\n", ", ", ". ", "(", ")", '"', "\\n", '\\"', "\\u00e9", "\\", "@", "a@", ".fr",
     "06 ", "12 ", "0", "4970 ", "1012", "+33", "FR", "FR76 ", "sk-", "gh", "ghp_", "eyJ", "rmp_", "-----", "-",
     "-----BEGIN ", "PRIVATE KEY-----", "-----END ", "Proc", "Version: 1\n", "x" * 40, "é", "日本", ": ", "{", "}"]
)  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Anything: words, beginnings of what is looked for, and the whole of it, side by side."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    whole = [text for _, text in samples(rng)]
    parts = draw(
        st.lists(_WORDS | st.sampled_from(whole) | st.text(max_size=6), min_size=1, max_size=10)
    )
    return "".join(parts)


def pieces(draw: st.DrawFn, text: str, cuts_max: int = 12) -> list[str]:
    """``text`` cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=cuts_max)))
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
