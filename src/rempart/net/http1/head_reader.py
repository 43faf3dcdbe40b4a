"""From a client's bytes to a checked ``RequestHead``, however reads cut them.

llhttp (in httptools) parses. A head that comes whole and is in order takes the short way. All others,
those with any fault among them, go line by line, so that what is refused, and why, depends on the bytes
up to the fault alone: a head that trickles in is judged like one that comes in one read with
more behind it.
"""

import re

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from rempart.net.http1.head import METHODS, Headers, RequestHead, checked_head
from rempart.net.http1.limits import ServerLimits
from rempart.net.http1.rules import Rule, RuleBroken

_METHOD_BYTES_MAX = 24
_EMPTY_LINES_BYTES_MAX = 4
_CR = 13
_method_prefix = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]*").match
_says_http = re.compile(rb"(?:HTTP|RTSP|ICE)/[0-9.]*").fullmatch

_RULES = {
    # llhttp 9 in httptools 0.9; another text falls back to MALFORMED, and the tests notice.
    "Expected CRLF after version": Rule.REQUEST_LINE,
    "Expected HTTP/, RTSP/ or ICE/": Rule.REQUEST_LINE,
    "Expected dot": Rule.VERSION,
    "Invalid HTTP version": Rule.VERSION,
    "Invalid major version": Rule.VERSION,
    "Invalid minor version": Rule.VERSION,
    "Invalid header token": Rule.HEADER_NAME,
    "Invalid header field char": Rule.HEADER_NAME,
    "Invalid header value char": Rule.HEADER_VALUE,
    "Missing expected CR after header value": Rule.HEADER_LINE_END,
    "Missing expected LF after header value": Rule.HEADER_LINE_END,
    "Expected LF after headers": Rule.HEADER_LINE_END,
    "Unexpected whitespace after header value": Rule.HEADER_FOLDED,
    "Unexpected space after start line": Rule.HEADER_FOLDED,
    "Duplicate Content-Length": Rule.LENGTH_TWICE,
    "Invalid character in Content-Length": Rule.LENGTH_MALFORMED,
    "Empty Content-Length": Rule.LENGTH_MALFORMED,
    "Content-Length overflow": Rule.LENGTH_MALFORMED,
    "Content-Length can't be present with Transfer-Encoding": Rule.LENGTH_AND_CODING,
    "Transfer-Encoding can't be present with Content-Length": Rule.LENGTH_AND_CODING,
    "Request has invalid `Transfer-Encoding`": Rule.CODING_UNKNOWN,
    "Empty Transfer-Encoding": Rule.CODING_UNKNOWN,
    "Invalid `Transfer-Encoding` header value": Rule.CODING_AGAIN,
}


class HeadReader:
    """Takes the bytes of one head; a new one is made for each request."""

    __slots__ = (
        "_headers",
        "_is_line_start",
        "_is_parsed",
        "_limits",
        "_line",
        "_lines_seen",
        "_parser",
        "_size",
        "_start",
        "_tail",
        "_target",
        "_version",
    )

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._size = 0
        self._tail = b""  # the last three bytes: the end may lie across two reads
        self._start: bytes | None = b""  # all that came, until it is known where the method ends
        self._lines_seen = 0
        self._is_line_start = True
        self._line = b""  # the request line, so far
        self._begin()

    def _begin(self) -> None:
        self._headers: Headers = []
        self._target = b""
        self._version = ""
        self._is_parsed = False
        self._parser: HttpRequestParser | None = HttpRequestParser(self)

    @property
    def has_begun(self) -> bool:
        """Whether more than empty lines came."""
        return self._start is None or bool(self._start.strip(b"\r\n"))

    def feed(self, data: bytes) -> tuple[RequestHead, int] | None:
        """The head and how many bytes of ``data`` belong to it, or None while it is not whole.

        Raises:
            RuleBroken: the connection must answer with the rule's status and end.
        """
        limits = self._limits
        if (
            self._size == 0
            and self._start == b""
            and 0 <= (end := data.find(b"\r\n\r\n")) <= limits.header_bytes_max - 4
            and data.count(b"\n", 0, end) <= limits.header_count_max
            and 0 < (eol := data.find(b"\r\n")) <= limits.target_bytes_max
            and data[: data.find(b" ", 0, _METHOD_BYTES_MAX)] in METHODS
        ):
            # Nearly every request: the whole head in one read, and within all bounds.
            end += 4
            try:
                self._parse(data if end == len(data) else data[:end])
                return self._finish(data[:eol]), end
            except RuleBroken:
                self._begin()  # the long way tells what is wrong
        return self._feed_slowly(data)

    # Callbacks of the parser.

    def on_url(self, piece: bytes) -> None:
        """Part of the target."""
        self._target = self._target + piece if self._target else piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The empty line."""
        if self._parser is not None:
            self._version = self._parser.get_http_version()
        self._is_parsed = True

    def _parse(self, piece: bytes) -> None:
        if self._parser is None:
            raise RuleBroken(Rule.MALFORMED)
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            # CONNECT, or a wish to upgrade, which we may ignore (RFC 9110 §7.8). The body is framed
            # by us, so that the parser's view of it does not matter.
            pass
        except HttpParserInvalidMethodError:
            raise RuleBroken(Rule.METHOD_UNKNOWN) from None
        except HttpParserInvalidURLError:
            raise RuleBroken(Rule.TARGET_MALFORMED) from None
        except HttpParserError as error:
            raise RuleBroken(_rule_of(str(error))) from None

    def _finish(self, line: bytes) -> RequestHead:
        parser = self._parser
        if not self._is_parsed or parser is None:
            raise RuleBroken(Rule.MALFORMED)  # llhttp sees the end elsewhere
        head = checked_head(parser.get_method(), self._target, self._version, self._headers, line)
        self._parser = None  # breaks a reference cycle
        return head

    # The long way.

    def _feed_slowly(self, data: bytes) -> tuple[RequestHead, int] | None:
        taken = 0
        if self._start is not None:
            # A method is shown to the parser only when it is whole: llhttp refuses an unknown one at its
            # first odd letter, where it cannot be told yet whether it is a token.
            begun = self._find_start(data)
            if begun is None:
                return None
            taken = len(data) - len(begun)  # less than nothing, if some was held
            data = begun
        joined = self._tail + data
        end = joined.find(b"\r\n\r\n")
        size = len(data) if end < 0 else end + 4 - len(self._tail)
        self._feed_lines(data[:size])
        if end < 0:
            self._tail = joined[-3:]
            return None
        return self._finish(self._line), taken + size

    def _find_start(self, data: bytes) -> bytes | None:
        """What came from the method on, None while that is not whole."""
        start = (self._start or b"") + data
        skipped = _skip_empty_lines(start)
        begun = start[skipped:]
        method = _method_prefix(begun)
        name = method[0] if method is not None else b""
        if len(name) <= _METHOD_BYTES_MAX and (len(name) == len(begun) or begun == b"\r"):
            self._start = start
            return None
        if len(name) > _METHOD_BYTES_MAX or begun[len(name) : len(name) + 1] != b" " or not name:
            raise RuleBroken(Rule.METHOD_MALFORMED)
        if name not in METHODS:
            raise RuleBroken(Rule.METHOD_UNKNOWN)
        self._start = None
        self._size = skipped
        return begun

    def _feed_lines(self, piece: bytes) -> None:
        """Shows the parser a line at a time, so that a bound is met before what lies behind it."""
        limits = self._limits
        at = 0
        while at < len(piece):
            is_one_more = self._lines_seen > limits.header_count_max and self._is_line_start
            if is_one_more and piece[at] != _CR:
                raise RuleBroken(Rule.HEADERS_TOO_MANY)
            end = piece.find(b"\n", at) + 1 or len(piece)
            if self._lines_seen == 0:
                end = self._end_of_target(piece, at, end)
            room = limits.header_bytes_max - self._size
            part = piece[at : min(end, at + room)]
            self._size += len(part)
            if part:
                self._parse(part)
            if self._lines_seen == 0:
                self._line += part
                if len(self._target) > limits.target_bytes_max:
                    raise RuleBroken(Rule.TARGET_TOO_LONG)
            if end - at > room:
                raise RuleBroken(Rule.HEADERS_TOO_LARGE)
            self._is_line_start = part[-1:] == b"\n"
            if self._is_line_start:
                if self._lines_seen == 0:
                    self._check_line()
                self._lines_seen += 1
            at = end

    def _end_of_target(self, piece: bytes, at: int, end: int) -> int:
        """Where to stop in the request line: one byte of a target above its bound is enough to know."""
        line = self._line + piece[at:end]
        longest = line.find(b" ") + 1 + self._limits.target_bytes_max + 1
        return min(end, at + max(1, longest - len(self._line)))

    def _check_line(self) -> None:
        if self._line[-2:] != b"\r\n":
            raise RuleBroken(Rule.REQUEST_LINE)
        self._line = line = self._line[:-2]
        protocol = line.rpartition(b" ")[2]
        if protocol not in (b"HTTP/1.1", b"HTTP/1.0"):
            is_version = _says_http(protocol) is not None or line.count(b" ") == 1
            raise RuleBroken(Rule.VERSION if is_version else Rule.REQUEST_LINE)


def _skip_empty_lines(start: bytes) -> int:
    """How many bytes of empty lines stand before the request line (RFC 9112 §2.2 asks for one line)."""
    skipped = 0
    while start[skipped : skipped + 2] == b"\r\n":
        skipped += 2
        if skipped > _EMPTY_LINES_BYTES_MAX:
            raise RuleBroken(Rule.EMPTY_LINES)
    first = start[skipped : skipped + 1]
    if first == b"\n" or (first == b"\r" and len(start) > skipped + 1):
        raise RuleBroken(Rule.EMPTY_LINES)
    return skipped


def _rule_of(text: str) -> Rule:
    return _RULES.get(text, Rule.MALFORMED)
