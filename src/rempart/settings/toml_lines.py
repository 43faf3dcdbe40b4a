"""The line on which each key, table and list element of a TOML text stands.

``tomllib`` gives values without their places, and an error without a line leaves people searching.
This scanner reads a text that ``tomllib`` has already accepted, so that it only has to know where
tokens begin and end (TOML 1.0.0, https://toml.io/en/v1.0.0), not what is wrong with them.
"""

import re
import tomllib
from bisect import bisect_right

from rempart.settings.schema import Path

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\r\n]*")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
# A closing delimiter may follow one or two quotes that still belong to the text.
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"""(?:""|")?', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'''(?:''|')?", re.DOTALL)
_TEXTS = (('"""', _LONG_BASIC), ("'''", _LONG_LITERAL), ('"', _BASIC), ("'", _LITERAL))


def line_numbers(text: str) -> dict[Path, int]:
    """The line (from 1) of every path in a valid TOML text, tables and list elements included.

    A table that is only implied by a longer name has the line of its first mention.
    """
    scanner = _Scanner(text)
    scanner.scan()
    return scanner.found


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}
        self._lists: dict[Path, int] = {}  # [[table]] path → number of its last element
        self._breaks = [match.start() for match in re.finditer("\n", text)]

    def scan(self) -> None:
        prefix: Path = ()
        while self._skip_blank():
            if self.text.startswith("[[", self.at):
                prefix = self._list_header()
            elif self.text.startswith("[", self.at):
                prefix = self._header()
            else:
                self._assignment(prefix)

    def _skip_blank(self) -> bool:
        """Pass spaces, line ends and comments; False at the end of the text."""
        self._take(_BLANK)
        return self.at < len(self.text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError("only a text that tomllib has accepted can be scanned")
        self.at = match.end()
        return match[0]

    def _note(self, path: Path, start: int) -> None:
        self.found.setdefault(path, bisect_right(self._breaks, start - 1) + 1)

    def _header(self) -> Path:
        start = self.at
        self.at += 1
        path = self._extend((), self._keys(), start)
        self._note(path, start)
        self._pass("]")
        return path

    def _list_header(self) -> Path:
        start = self.at
        self.at += 2
        *above, last = self._keys()
        table = (*self._extend((), above, start), last)
        self._note(table, start)
        number = self._lists[table] = self._lists.get(table, -1) + 1
        self._note((*table, number), start)
        self._pass("]]")
        return (*table, number)

    def _extend(self, path: Path, keys: list[str], start: int) -> Path:
        """Follow names downwards; a ``[[list]]`` on the way means its latest element."""
        for key in keys:
            path = (*path, key)
            self._note(path, start)
            if path in self._lists:
                path = (*path, self._lists[path])
        return path

    def _keys(self) -> list[str]:
        """A dotted name; quoted parts are unquoted."""
        keys = []
        while True:
            self._skip_blank()
            pattern = {'"': _BASIC, "'": _LITERAL}.get(self.text[self.at], _BARE_KEY)
            raw = self._take(pattern)
            keys.append(raw if pattern is _BARE_KEY else str(tomllib.loads(f"x = {raw}")["x"]))
            self._skip_blank()
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _pass(self, token: str) -> None:
        self._skip_blank()
        self.at += len(token)

    def _assignment(self, prefix: Path) -> None:
        start = self.at
        path = prefix
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self._pass("=")
        self._skip_blank()
        self._value(path)

    def _value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening == "[":
            self._list(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._scalar()

    def _scalar(self) -> None:
        for opening, pattern in _TEXTS:
            if self.text.startswith(opening, self.at):
                self._take(pattern)
                return
        self._take(_SCALAR)

    def _list(self, path: Path) -> None:
        self.at += 1
        number = 0
        while self._skip_blank() and self.text[self.at] != "]":
            self._note((*path, number), self.at)
            self._value((*path, number))
            number += 1
            self._skip_blank()
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._skip_blank() and self.text[self.at] != "}":
            self._assignment(path)
            self._skip_blank()
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1
