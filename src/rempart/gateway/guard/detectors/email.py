"""E-mail addresses, as people have them: no quoted local parts, no address literals (RFC 5321)."""

import re

from rempart.gateway.guard.interface import Match, Undecided, Verdict

LOCAL_CHARACTERS_MAX = 64
DOMAIN_CHARACTERS_MAX = 255
_LATIN = "A-Za-zÀ-ÖØ-öø-ɏ"
_LOCAL = re.compile(rf"[{_LATIN}0-9._%+-]{{1,{LOCAL_CHARACTERS_MAX + 1}}}")
_DOMAIN_RUN = re.compile(rf"[{_LATIN}0-9.-]{{0,{DOMAIN_CHARACTERS_MAX}}}")
_DOMAIN = re.compile(
    rf"(?:[{_LATIN}0-9](?:[{_LATIN}0-9-]{{0,61}}[{_LATIN}0-9])?\.){{1,8}}([A-Za-z]{{2,24}})(?![{_LATIN}0-9])"
)
_NO_DOMAINS = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "js", "mjs", "json", "css", "html", "xml", "yaml",
     "yml", "toml", "ini", "txt", "csv", "log", "lock", "pdf", "exe", "dll", "whl", "gz"]
)  # fmt: skip
"""Endings of file names (``icon@2x.png``) that are no top-level domains."""
_NO_PEOPLE = frozenset({"git"})
"""``git@github.com:group/name.git`` is a place, not a person."""


class Email:
    """The longest run of characters before an ``@``, and a domain behind it."""

    def starts(self, text: str, position: int, is_final: bool) -> list[int]:
        """See ``Matcher``. Looks for ``@`` first; without one, only a last word can begin an address."""
        found: list[int] = []
        at = text.find("@", position)
        while at >= 0:
            _append_start(found, text, position, at)
            at = text.find("@", at + 1)
        if not is_final:
            _append_start(found, text, position, len(text))
        return found

    def match(self, text: str, start: int, is_final: bool) -> Verdict:
        """See ``Matcher``."""
        local = _LOCAL.match(text, start)
        if local is None or local.end() - start > LOCAL_CHARACTERS_MAX:
            return None
        at = local.end()
        if at == len(text):
            return None if is_final else Undecided.WEAK
        if text[at] != "@" or local[0] in _NO_PEOPLE:
            return None
        run = _DOMAIN_RUN.match(text, at + 1)
        if not is_final and (run is None or run.end() == len(text)):
            return Undecided.STRONG
        domain = _DOMAIN.match(text, at + 1, run.end() + 1 if run is not None else at + 1)
        if domain is None or domain[1].lower() in _NO_DOMAINS:
            return None
        return Match(domain.end(1), "email")


def _append_start(found: list[int], text: str, position: int, end: int) -> None:
    """The begin of the run of local characters that ends at ``end``, unless it is too long or decided."""
    before = text[max(0, end - LOCAL_CHARACTERS_MAX - 1) : end][::-1]
    run = _LOCAL.match(before)
    if run is None or run.end() > LOCAL_CHARACTERS_MAX:
        return
    start = end - len(run[0].rstrip("._%+-"))
    if start >= position and start < end:
        found.append(start)
