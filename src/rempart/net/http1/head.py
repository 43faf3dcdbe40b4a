"""A request's head: from bytes to a checked ``RequestHead``, however the bytes were cut.

llhttp (in httptools) parses; what it lets through is refused here. Every refusal depends only on the
bytes up to its place, never on how reads cut them, so that a head that comes byte by byte is treated
like one that comes whole. Sources: RFC 9112 §2–3, §6; RFC 9110 §5.5, §7.2, §10.1.1.
"""

import re

from httptools import HttpParserError as ParserError
from httptools import HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from rempart.net.http1.limits import ServerLimits
from rempart.net.http1.rules import Rule, RuleBroken

Headers = list[tuple[bytes, bytes]]

_METHOD_BYTES_MAX = 24
_method_prefix = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]*").match
_target_is_plain = re.compile(rb"[!\"$-~]+").fullmatch
_host_is_plain = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
).fullmatch
_absolute_target = re.compile(rb"https?://([^/?]+)([/?].*)?", re.IGNORECASE).fullmatch
_length_is_plain = re.compile(rb"[0-9]{1,18}").fullmatch

_BY_PARSER_TEXT = {
    # llhttp 9 in httptools 0.9; another text falls back to MALFORMED, and the tests notice.
    "Invalid header token": Rule.HEADER_NAME,
    "Invalid header field char": Rule.HEADER_LINE_END,
    "Invalid header value char": Rule.HEADER_VALUE,
    "Missing expected CR after header value": Rule.HEADER_LINE_END,
    "Missing expected LF after header value": Rule.HEADER_LINE_END,
    "Expected CRLF after version": Rule.REQUEST_LINE,
    "Expected LF after headers": Rule.HEADER_LINE_END,
    "Unexpected whitespace after header value": Rule.HEADER_FOLDED,
    "Unexpected space after start line": Rule.HEADER_FOLDED,
    "Invalid HTTP version": Rule.VERSION,
    "Invalid major version": Rule.VERSION,
    "Invalid minor version": Rule.VERSION,
    "Pause on PRI/Upgrade": Rule.PREFACE,
    "Expected HTTP/, RTSP/ or ICE/": Rule.REQUEST_LINE,
    "Expected HTTP/": Rule.REQUEST_LINE,
    "Invalid method for HTTP/x.x request": Rule.METHOD_UNKNOWN,
    "Expected space after method": Rule.METHOD_MALFORMED,
    "Duplicate Content-Length": Rule.LENGTH_TWICE,
    "Invalid character in Content-Length": Rule.LENGTH_MALFORMED,
    "Empty Content-Length": Rule.LENGTH_MALFORMED,
    "Content-Length overflow": Rule.LENGTH_MALFORMED,
    "Content-Length can't be present with Transfer-Encoding": Rule.LENGTH_AND_CODING,
    "Transfer-Encoding can't be present with Content-Length": Rule.LENGTH_AND_CODING,
    "Request has invalid `Transfer-Encoding`": Rule.CODING_UNKNOWN,
    "Invalid `Transfer-Encoding` header value": Rule.CODING_TWICE,
}


class RequestHead:
    """What a head says, checked.

    Attributes:
        method: as sent; always one that llhttp knows, never CONNECT.
        target: as sent.
        path: without query, undecoded; of an absolute target only its path.
        query: without "?".
        headers: names in lower case, values without space around them, in order.
        index: first value of each name.
        version: "1.1" or "1.0".
        content_length: None when not sent.
        is_chunked: the body is framed by chunks.
        expects_continue: the client waits for ``100 Continue`` before it sends the body.
        keeps_alive: the connection may take another request after this one.
    """

    __slots__ = (
        "content_length",
        "expects_continue",
        "headers",
        "index",
        "is_chunked",
        "keeps_alive",
        "method",
        "path",
        "query",
        "target",
        "version",
    )

    method: str
    target: bytes
    path: str
    query: str
    headers: Headers
    index: dict[bytes, bytes]
    version: str
    content_length: int | None
    is_chunked: bool
    expects_continue: bool
    keeps_alive: bool


class HeadReader:
    """Takes the bytes of one head; a new one is made for each request."""

    __slots__ = (
        "_headers",
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
        self._headers: Headers = []
        self._target = b""
        self._version = ""
        self._is_parsed = False
        self._line = b""  # the request line so far, until its CR LF
        self._lines_seen = 0
        self._size = 0
        self._tail = b""  # the last three bytes: the end may lie across two reads
        self._start: bytes | None = b""  # bytes before the method is known; None afterwards
        self._parser = HttpRequestParser(self)

    def feed(self, data: bytes) -> tuple[RequestHead, int] | None:
        """The head and how many bytes of ``data`` belong to it, or None while it is not whole.

        Raises:
            RuleBroken: the connection must answer with the rule's status and end.
        """
        end = data.find(b"\r\n\r\n")
        limits = self._limits
        if (
            end >= 0
            and self._size == 0
            and self._start == b""
            and end + 4 <= limits.header_bytes_max
            and data.count(b"\n", 0, end) <= limits.header_count_max
            and 0 < (eol := data.find(b"\r\n")) <= limits.target_bytes_max
            and data[: data.find(b" ", 0, _METHOD_BYTES_MAX)] in METHODS
        ):
            # Nearly every request: the whole head in one read, and within all bounds.
            end += 4
            self._line = data[:eol]
            self._start = None
            self._parse(data if end == len(data) else data[:end])
            return self._finish(), end
        return self._feed_slowly(data)

    @property
    def has_begun(self) -> bool:
        """Whether more than empty lines came."""
        return self._start is None or bool(self._start.strip(b"\r\n"))

    # Callbacks of the parser.

    def on_url(self, piece: bytes) -> None:
        """Part of the target."""
        self._target = self._target + piece if self._target else piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The empty line; in what llhttp takes for HTTP/0.9 already the request line's end."""
        self._version = version = self._parser.get_http_version()
        if version != "1.1" and version != "1.0":
            raise RuleBroken(Rule.VERSION)
        self._is_parsed = True

    def _parse(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            # CONNECT, or a wish to upgrade, which we may ignore (RFC 9110 §7.8). The body is framed
            # by us, so that the parser's view of it does not matter.
            pass
        except HttpParserInvalidMethodError as error:
            raise RuleBroken(_BY_PARSER_TEXT.get(str(error), Rule.METHOD_UNKNOWN)) from None
        except ParserError as error:
            if isinstance(error.__context__, RuleBroken):
                raise error.__context__ from None
            raise RuleBroken(_rule_of(error)) from None

    def _feed_slowly(self, data: bytes) -> tuple[RequestHead, int] | None:
        """The same for a head that comes in pieces or meets a bound."""
        taken = 0
        if self._start is not None:
            held = len(self._start)
            start = self._start + data
            skipped = _skip_empty_lines(start, is_first=self._size == 0)
            begun = start[skipped:]
            if not _has_method(begun):
                self._start = start
                return None
            self._start = None
            self._size = skipped
            taken = skipped - held
            # A method in pieces is given to the parser only when it is whole, since llhttp refuses an
            # unknown one at its first odd letter, when it cannot be told yet whether it is a token.
            self._check_method(begun)
            data = begun
        else:
            held = 0
            skipped = 0
        joined = self._tail + data
        end = joined.find(b"\r\n\r\n")
        size = len(data) if end < 0 else end + 4 - len(self._tail)
        self._feed_bounded(data if size == len(data) else data[:size])
        if end < 0:
            self._tail = joined[-3:]
            return None
        return self._finish(), taken + size

    def _feed_bounded(self, piece: bytes) -> None:
        """Feeds the parser line by line, so that a bound is met before any byte behind it is judged."""
        limits = self._limits
        at = 0
        while at < len(piece):
            if self._lines_seen > limits.header_count_max and piece[at] != 13:
                raise RuleBroken(Rule.HEADERS_TOO_MANY)
            end = piece.find(b"\n", at) + 1 or len(piece)
            if self._lines_seen == 0:
                # One byte of the target above its bound is enough to know.
                target_start = (self._line + piece[at:end]).find(b" ") + 1
                end = min(
                    end, at + max(1, target_start + limits.target_bytes_max + 1 - len(self._line))
                )
            room = limits.header_bytes_max - self._size
            part = piece[at : min(end, at + room)]
            self._size += len(part)
            if self._lines_seen == 0:
                self._line += part
            if part:
                self._parse(part)
                if len(self._target) > limits.target_bytes_max:
                    raise RuleBroken(Rule.TARGET_TOO_LONG)
            if end - at > room:
                raise RuleBroken(Rule.HEADERS_TOO_LARGE)
            if part[-1:] == b"\n":
                if self._lines_seen == 0:
                    self._line = self._line[:-2]
                self._lines_seen += 1
            at = end

    def _check_method(self, start: bytes) -> None:
        method = _method_prefix(start)[0]  # type: ignore[index]  # matches everywhere
        if not method or start[len(method) : len(method) + 1] != b" ":
            raise RuleBroken(Rule.METHOD_MALFORMED)
        if method not in METHODS:
            raise RuleBroken(Rule.METHOD_UNKNOWN)

    def _finish(self) -> RequestHead:
        if not self._is_parsed:
            raise RuleBroken(Rule.MALFORMED)  # llhttp sees the end elsewhere: never go on
        method = self._parser.get_method()
        self._parser = None  # type: ignore[assignment]  # breaks the cycle; nothing is fed any more
        return _checked(method, self._target, self._version, self._headers, self._line)


def _checked(
    method: bytes, target: bytes, version: str, headers: Headers, line: bytes
) -> RequestHead:
    """The head's meaning, after the rules that llhttp does not know."""
    is_1_1 = version == "1.1"
    if line != b"%b %b HTTP/1.%d" % (method, target, is_1_1):
        raise RuleBroken(_rule_of_line(line))
    if method == b"CONNECT":
        raise RuleBroken(Rule.CONNECT)
    head = RequestHead()
    head.method = METHODS[method]
    head.target = target
    head.version = version
    head.headers = headers
    index = dict(reversed(headers))
    head.index = index
    _set_path(head)
    if len(index) != len(headers):
        _check_twice(headers)
    host = index.get(b"host")
    if host is None:
        if is_1_1:
            raise RuleBroken(Rule.HOST_MISSING)
    elif not _host_is_plain(host):
        raise RuleBroken(Rule.HOST_MALFORMED)
    _set_framing(head, is_1_1)
    expectation = index.get(b"expect")
    head.expects_continue = False
    if expectation is not None and is_1_1:
        if expectation.lower() != b"100-continue":
            raise RuleBroken(Rule.EXPECTATION)
        head.expects_continue = head.is_chunked or bool(head.content_length)
    connection = index.get(b"connection")
    if connection is None:
        head.keeps_alive = is_1_1
    else:
        head.keeps_alive = _keeps_alive(connection, headers, is_1_1)
    return head


def _set_path(head: RequestHead) -> None:
    target = head.target
    if not _target_is_plain(target):
        raise RuleBroken(Rule.TARGET_MALFORMED)
    if target[:1] != b"/":
        absolute = _absolute_target(target)
        if absolute:
            # RFC 9112 §3.2.2: the target's authority stands for the Host header.
            if not _host_is_plain(absolute[1]):
                raise RuleBroken(Rule.TARGET_MALFORMED)
            target = absolute[2] or b"/"
            if target[:1] == b"?":
                target = b"/" + target
        elif target != b"*" or head.method != "OPTIONS":
            raise RuleBroken(Rule.TARGET_MALFORMED)
    head.path, _, head.query = target.decode("latin-1").partition("?")


def _set_framing(head: RequestHead, is_1_1: bool) -> None:
    coding = head.index.get(b"transfer-encoding")
    length = head.index.get(b"content-length")
    head.content_length = None
    head.is_chunked = False
    if coding is not None:
        if length is not None:
            raise RuleBroken(Rule.LENGTH_AND_CODING)
        if not is_1_1:
            raise RuleBroken(Rule.CODING_IN_1_0)
        if coding.lower() != b"chunked":
            raise RuleBroken(Rule.CODING_UNKNOWN)
        head.is_chunked = True
    elif length is not None:
        if not _length_is_plain(length):
            raise RuleBroken(Rule.LENGTH_MALFORMED)
        head.content_length = int(length)


def _check_twice(headers: Headers) -> None:
    names = [name for name, _ in headers]
    for name, rule in _ONCE.items():
        if names.count(name) > 1:
            raise RuleBroken(rule)


def _keeps_alive(connection: bytes, headers: Headers, is_1_1: bool) -> bool:
    if connection == b"keep-alive":
        return True
    tokens = {
        token.strip(b" \t").lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }
    if b"close" in tokens:
        return False
    return is_1_1 or b"keep-alive" in tokens


def _skip_empty_lines(start: bytes, *, is_first: bool) -> int:
    """How many bytes of empty lines stand before the request line (RFC 9112 §2.2 asks for one)."""
    skipped = 0
    while start[skipped : skipped + 2] == b"\r\n":
        skipped += 2
        if skipped > 4:
            raise RuleBroken(Rule.EMPTY_LINES)
    first = start[skipped : skipped + 1]
    if first == b"\n" or (first == b"\r" and len(start) > skipped + 1):
        raise RuleBroken(Rule.EMPTY_LINES)
    return skipped


def _has_method(begun: bytes) -> bool:
    """Whether it is known where the method ends, or that there is none."""
    end = len(_method_prefix(begun)[0])  # type: ignore[index]  # matches everywhere
    return (end < len(begun) and begun != b"\r") or end > _METHOD_BYTES_MAX


def _rule_of(error: ParserError) -> Rule:
    text = str(error)
    rule = _BY_PARSER_TEXT.get(text)
    if rule is None and "url" in text:
        return Rule.TARGET_MALFORMED
    return rule or Rule.MALFORMED


def _rule_of_line(line: bytes) -> Rule:
    protocol = line.rpartition(b" ")[2]
    return Rule.REQUEST_LINE if protocol in (b"HTTP/1.1", b"HTTP/1.0") else Rule.VERSION


_ONCE = {
    b"host": Rule.HOST_TWICE,
    b"content-length": Rule.LENGTH_TWICE,
    b"transfer-encoding": Rule.CODING_TWICE,
    b"expect": Rule.EXPECTATION,
}

METHODS = {
    name.encode(): name
    for name in (
        "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT COPY LOCK MKCOL MOVE PROPFIND PROPPATCH "
        "SEARCH UNLOCK BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE "
        "UNSUBSCRIBE PURGE MKCALENDAR LINK UNLINK QUERY"
    ).split()
}
"""Methods of HTTP that llhttp knows; those it knows from RTSP and ICE are refused."""
