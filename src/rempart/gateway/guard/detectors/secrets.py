"""API keys of known issuers and private keys, by their form, and by their checksum where they have one.

No guess by entropy: hashes, identifiers and compressed data look as random as a secret does. What has
neither a known beginning nor a checksum is not claimed (passwords, the secret half of AWS keys).
"""

import re
from collections.abc import Callable

from rempart.domain.guard import SECRETS
from rempart.domain.key_format import KEY_CHARACTERS, checksum
from rempart.gateway.guard.detectors.private_keys import PrivateKeys
from rempart.gateway.guard.interface import Detector, Match, Undecided, Verdict

SHORT_CHARACTERS = 200
_BASE62 = "0-9A-Za-z"
_WORD = "0-9A-Za-z_-"


def _is_rempart_key(key: str) -> bool:
    return checksum(key[:-6]) == key[-6:]


def _has_checksum(key: str) -> bool:
    """GitHub's (2021) and npm's: the last six characters are the CRC32 of those behind the prefix."""
    return checksum(key[4:-6]) == key[-6:]


def _is_mixed(key: str) -> bool:
    """Letters of both cases and digits: a word with hyphens, or ``xxxx…``, is no key."""
    body = key[8:]
    return (
        any(character.isdigit() for character in body)
        and any(character.islower() for character in body)
        and any(character.isupper() for character in body)
    )


def _has_both_cases(key: str) -> bool:
    return any(map(str.islower, key[3:])) and any(map(str.isupper, key[3:]))


def _is_old_openai_key(key: str) -> bool:
    """Between its halves stands "OpenAI" in base64."""
    return key[23:31] == "T3BlbkFJ"


def _has_digits(key: str) -> bool:
    return sum(character.isdigit() for character in key) >= 4


_JOSE_BEGINNINGS = (
    # {"alg": {"typ": {"kid": {"cty": {"enc": {"zip": {"jku": {"x5t": {"x5c": {"b64":
    "eyJhbGciOi", "eyJ0eXAiOi", "eyJraWQiOi", "eyJjdHkiOi", "eyJlbmMiOi", "eyJ6aXAiOi", "eyJqa3UiOi",
    "eyJ4NXQi", "eyJ4NWMi", "eyJiNjQi",
)  # fmt: skip


def _is_jose(key: str) -> bool:
    return key.startswith(_JOSE_BEGINNINGS)


def _always(_: str) -> bool:
    return True


class _Row:
    """One issuer's form.

    Args:
        literal: what it begins with.
        alphabet: of what follows, as in a regular expression's class.
        count: characters of it, behind the literal.
        is_open: more of the alphabet may follow; else exactly ``count`` do.
        is_it: says it of the literal and ``count`` characters.
    """

    __slots__ = ("_more", "_run", "count", "is_it", "is_open", "kind", "literal")

    def __init__(
        self, kind: str, literal: str, alphabet: str, count: int, *, is_open: bool = False,
        is_it: Callable[[str], bool] = _always,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.literal = literal
        self.count = count
        self.is_open = is_open
        self.is_it = is_it
        self._run = re.compile(rf"[{alphabet}]{{0,{count + 1}}}")
        # A dot goes on with it when more follows (the parts of a JWT), and ends a sentence otherwise.
        self._more = re.compile(rf"[{alphabet}]*(?:\.{{1,2}}[{alphabet}]+)*")

    def match(self, text: str, start: int, is_final: bool) -> Verdict:
        begin = start + len(self.literal)
        run = self._run.match(text, begin)
        end = begin if run is None else run.end()
        length = end - begin
        if self.is_open and length >= self.count:
            end = begin + self.count
            return Match(end, self.kind, self.tail) if self.is_it(text[start:end]) else None
        if end == len(text) and not is_final and length <= self.count:
            return Undecided.STRONG
        if length != self.count or (end < len(text) and text[end].isalnum()):
            return None
        return Match(end, self.kind) if self.is_it(text[start:end]) else None

    def tail(self, text: str, position: int, is_final: bool) -> tuple[int, bool]:
        """See ``interface.Tail``."""
        more = self._more.match(text, position)
        end = position if more is None else more.end()
        if is_final:
            return end, True
        rest = text[end : end + 3]
        return end, not (rest == "" or (len(rest) < 3 and rest in (".", "..")))


_ROWS = (
    _Row("rempart_key", "rmp_", _BASE62 + "_", KEY_CHARACTERS - 4, is_it=_is_rempart_key),
    *(_Row("github_token", f"gh{one}_", _BASE62, 36, is_it=_has_checksum) for one in "pousr"),
    _Row("github_token", "github_pat_", _BASE62 + "_", 40, is_open=True, is_it=_is_mixed),
    _Row("npm_token", "npm_", _BASE62, 36, is_it=_has_checksum),
    _Row("gitlab_token", "glpat-", _WORD, 20, is_open=True, is_it=_is_mixed),
    _Row("aws_key_id", "AKIA", "A-Z2-7", 16),
    _Row("aws_key_id", "ASIA", "A-Z2-7", 16),
    _Row("anthropic_key", "sk-ant-", _WORD, 40, is_open=True, is_it=_is_mixed),
    *(
        _Row("openai_key", f"sk-{one}-", _WORD, 40, is_open=True, is_it=_is_mixed)
        for one in ("proj", "svcacct", "admin")
    ),
    _Row("openai_key", "sk-", _BASE62, 48, is_it=_is_old_openai_key),
    _Row("google_key", "AIza", _WORD, 35, is_it=_is_mixed),
    _Row("huggingface_token", "hf_", _BASE62, 34, is_it=_has_both_cases),
    *(
        _Row("slack_token", f"xox{one}-", "0-9A-Za-z-", 20, is_open=True, is_it=_has_digits)
        for one in "abeoprs"
    ),
    _Row("slack_token", "xapp-", "0-9A-Za-z-", 20, is_open=True, is_it=_has_digits),
    *(
        _Row("stripe_key", f"{one}_{mode}_", _BASE62, 24, is_open=True, is_it=_is_mixed)
        for one in ("sk", "rk")
        for mode in ("live", "test")
    ),
    _Row("stripe_key", "whsec_", _BASE62 + "+/", 32, is_open=True, is_it=_is_mixed),
    _Row("jwt", "eyJ", _WORD, 14, is_open=True, is_it=_is_jose),
)  # fmt: skip


class ApiKeys:
    """All issuers' forms."""

    def __init__(self) -> None:
        # The longest literal first: "sk-ant-" is not "sk-".
        rows = sorted(_ROWS, key=lambda row: -len(row.literal))
        self._rows = {row.literal: row for row in rows}
        literals = "|".join(re.escape(row.literal) for row in rows)
        self._start = re.compile(rf"(?<![^\W_])(?:{literals})")
        self._beginnings = frozenset(
            literal[:length] for literal in self._rows for length in range(1, len(literal))
        )
        self._literal_max = max(len(literal) for literal in self._rows)

    def starts(self, text: str, position: int, is_final: bool) -> list[int]:
        """See ``Matcher``."""
        found = []
        length = len(text)
        # For a long text two dozen plain searches cost a tenth of the one with alternatives.
        if length - position < SHORT_CHARACTERS or any(
            text.find(literal, position) >= 0 for literal in self._rows
        ):
            found = [one.start() for one in self._start.finditer(text, position)]
        if not is_final:
            near_end = max(position, length - self._literal_max + 1, text.rfind(" ") + 1)
            for start in range(near_end, length):
                if (
                    text[start:] in self._beginnings
                    and not text[max(0, start - 1) : start].isalnum()
                ):
                    found.append(start)
            found.sort()
        return found

    def match(self, text: str, start: int, is_final: bool) -> Verdict:
        """See ``Matcher``."""
        literal = self._start.match(text, start)
        if (
            not is_final
            and len(text) - start < self._literal_max
            and text[start:] in self._beginnings
        ):
            return Undecided.WEAK if literal is None else Undecided.STRONG
        return None if literal is None else self._rows[literal[0]].match(text, start, is_final)


def secrets() -> Detector:
    """The detector."""
    return Detector(SECRETS, (PrivateKeys(), ApiKeys()))
