"""Requests that servers have disagreed on: smuggling, malformed, and odd but well-formed ones.

Each item says what our server makes of it. The forms come from RFC 9112 and from what was reported
against other servers over the years (CL.TE, TE.CL, TE.0, 0.CL, bare LF and CR, chunk extensions,
obs-fold, absolute targets, request lines); the bytes are ours.
"""

from dataclasses import dataclass, field

from rempart.net.http1.rules import Rule


@dataclass(frozen=True)
class Seen:
    """A request that a handler gets."""

    method: str
    path: str
    body: bytes = b""
    query: str = ""


@dataclass(frozen=True)
class Item:
    """Bytes of a client, and what becomes of them.

    Attributes:
        seen: requests whose handler got a whole body, in order.
        refused: the rule that ends the connection afterwards; None: it stays open.
        closes: the last answer ends the connection.
    """

    name: str
    data: bytes
    seen: tuple[Seen, ...] = ()
    refused: Rule | None = None
    closes: bool = field(default=False)


HOST = b"Host: a\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GOT = Seen("GET", "/")


# Lines of a table are easier to compare than wrapped ones.
# fmt: off


def _refused(name: str, data: bytes, rule: Rule, *seen: Seen) -> Item:
    return Item(name, data, seen, rule, closes=True)


def _taken(name: str, data: bytes, *seen: Seen, closes: bool = False) -> Item:
    return Item(name, data, seen, None, closes)


def _line(line: bytes) -> bytes:
    return line + b"\r\n" + HOST + b"\r\n"


def _header(header: bytes) -> bytes:
    return GET + header + b"\r\n\r\n"


def _smuggled(headers: bytes) -> bytes:
    """A body that is a request of its own to whoever frames it differently."""
    return POST + headers + b"\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


REQUEST_LINES = [
    _taken("plain", GET + b"\r\n", GOT),
    _taken("query", _line(b"GET /a/b?c=d&e?f HTTP/1.1"), Seen("GET", "/a/b", query="c=d&e?f")),
    _taken("undecoded path", _line(b"GET /%2e%2E/%00 HTTP/1.1"), Seen("GET", "/%2e%2E/%00")),
    _taken("odd but allowed", _line(b'GET /"<>\\^`{|} HTTP/1.1'), Seen("GET", '/"<>\\^`{|}')),
    _taken("double slash", _line(b"GET //b HTTP/1.1"), Seen("GET", "//b")),
    _taken("absolute", _line(b"GET http://b:80/x?y HTTP/1.1"), Seen("GET", "/x", query="y")),
    _taken("absolute, no path", _line(b"GET HTTP://b HTTP/1.1"), Seen("GET", "/")),
    _taken("absolute, query only", _line(b"GET http://b?y HTTP/1.1"), Seen("GET", "/", query="y")),
    _taken("asterisk", _line(b"OPTIONS * HTTP/1.1"), Seen("OPTIONS", "*")),
    _taken("one empty line before", b"\r\n" + GET + b"\r\n", GOT),
    _taken("two empty lines before", b"\r\n\r\n" + GET + b"\r\n", GOT),
    _taken("known odd method", _line(b"PROPFIND / HTTP/1.1"), Seen("PROPFIND", "/")),
    _refused("three empty lines before", b"\r\n\r\n\r\n" + GET + b"\r\n", Rule.EMPTY_LINES),
    _refused("bare LF before", b"\n" + GET + b"\r\n", Rule.EMPTY_LINES),
    _refused("bare CR before", b"\r" + GET + b"\r\n", Rule.EMPTY_LINES),
    _refused("CR CR LF before", b"\r\r\n" + GET + b"\r\n", Rule.EMPTY_LINES),
    _refused("space before", b" " + GET + b"\r\n", Rule.METHOD_MALFORMED),
    _refused("unknown method", _line(b"FETCH / HTTP/1.1"), Rule.METHOD_UNKNOWN),
    _refused("unknown method, long", _line(b"G" * 100 + b" / HTTP/1.1"), Rule.METHOD_MALFORMED),
    _refused("lower-case method", _line(b"get / HTTP/1.1"), Rule.METHOD_UNKNOWN),
    _refused("method is no token", _line(b"GE(T / HTTP/1.1"), Rule.METHOD_MALFORMED),
    _refused("method of RTSP", _line(b"DESCRIBE / HTTP/1.1"), Rule.METHOD_UNKNOWN),
    _refused("RTSP", _line(b"DESCRIBE / RTSP/1.0"), Rule.METHOD_UNKNOWN),
    _refused("GET in RTSP", _line(b"GET / RTSP/1.0"), Rule.VERSION),
    _refused("ICE", _line(b"SOURCE / ICE/1.0"), Rule.METHOD_UNKNOWN),
    _refused("CONNECT", _line(b"CONNECT a:80 HTTP/1.1"), Rule.CONNECT),
    _refused("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Rule.METHOD_MALFORMED),
    _refused("two spaces after method", _line(b"GET  / HTTP/1.1"), Rule.REQUEST_LINE),
    _refused("two spaces after target", _line(b"GET /  HTTP/1.1"), Rule.REQUEST_LINE),
    _refused("space at the end", _line(b"GET / HTTP/1.1 "), Rule.REQUEST_LINE),
    _refused("tab after method", _line(b"GET\t/ HTTP/1.1"), Rule.METHOD_MALFORMED),
    _refused("tab in target", _line(b"GET /\ta HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("space in target", _line(b"GET /a b HTTP/1.1"), Rule.REQUEST_LINE),
    _refused("control in target", _line(b"GET /\x01 HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("DEL in target", _line(b"GET /\x7f HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("UTF-8 in target", _line(b"GET /\xc3\xa9 HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("fragment", _line(b"GET /#a HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("no slash", _line(b"GET a HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("asterisk with GET", _line(b"GET * HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("another scheme", _line(b"GET ftp://b/ HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("absolute with a name", _line(b"GET http://u@b/ HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("absolute without a host", _line(b"GET http:///a HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("no target", _line(b"GET HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("no target, two spaces", _line(b"GET  HTTP/1.1"), Rule.TARGET_MALFORMED),
    _refused("LF after request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", Rule.REQUEST_LINE),
    _refused("CR after request line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", Rule.REQUEST_LINE),
    _refused("long target", _line(b"GET /" + b"a" * 8192 + b" HTTP/1.1"), Rule.TARGET_TOO_LONG),
    _taken(
        "longest target",
        _line(b"GET /" + b"a" * 8191 + b" HTTP/1.1"),
        Seen("GET", "/" + "a" * 8191),
    ),
    _refused("endless target", b"GET /" + b"a" * 100_000, Rule.TARGET_TOO_LONG),
    _refused("endless spaces", b"GET" + b" " * 100_000, Rule.HEADERS_TOO_LARGE),
    _refused(
        "odd byte behind the bound",
        b"GET /" + b"a" * 8195 + b"\x01 HTTP/1.1\r\n\r\n",
        Rule.TARGET_TOO_LONG,
    ),
]

VERSIONS = [
    _taken("1.0", b"GET / HTTP/1.0\r\n\r\n", GOT, closes=True),
    _taken("1.0 kept", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", GOT),
    _taken("1.0 with host", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", GOT, closes=True),
    _refused("0.9", b"GET /\r\n\r\n", Rule.VERSION),
    _refused("0.9, LF", b"GET /\nHost: a\r\n\r\n", Rule.REQUEST_LINE),
    _refused("0.9, one line", b"GET /\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Rule.VERSION),
    _refused("0.9, said", _line(b"GET / HTTP/0.9"), Rule.VERSION),
    _refused("1.2", _line(b"GET / HTTP/1.2"), Rule.VERSION),
    _refused("1.10", _line(b"GET / HTTP/1.10"), Rule.REQUEST_LINE),
    _refused("01.1", _line(b"GET / HTTP/01.1"), Rule.VERSION),
    _refused("2.0", _line(b"GET / HTTP/2.0"), Rule.VERSION),
    _refused("2", _line(b"GET / HTTP/2"), Rule.VERSION),
    _refused("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Rule.METHOD_UNKNOWN),
    _refused("lower-case", _line(b"GET / http/1.1"), Rule.REQUEST_LINE),
    _refused("other protocol", _line(b"GET / HTTPS/1.1"), Rule.REQUEST_LINE),
]

HEADERS = [
    _taken("space around a value", _header(b"X: \t a b \t "), GOT),
    _taken("empty value", _header(b"X:"), GOT),
    _taken("bytes above ASCII", _header(b"X: \xff\x80\xc3\xa9"), GOT),
    _taken("tab in a value", _header(b"X: a\tb"), GOT),
    _taken("twice", _header(b"X: a\r\nX: b"), GOT),
    _taken("upgrade is not taken", _header(b"Connection: upgrade\r\nUpgrade: h2c"), GOT),
    _taken(
        "upgrade with a body",
        POST + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello",
        Seen("POST", "/", b"hello"),
    ),
    _refused("space before colon", _header(b"X : a"), Rule.HEADER_NAME),
    _refused("tab before colon", _header(b"X\t: a"), Rule.HEADER_NAME),
    _refused(
        "framing with space before colon",
        _smuggled(b"Transfer-Encoding : chunked"),
        Rule.HEADER_NAME,
    ),
    _refused("length with space before colon", _smuggled(b"Content-Length : 5"), Rule.HEADER_NAME),
    _refused("empty name", _header(b": a"), Rule.HEADER_NAME),
    _refused("no colon", _header(b"X"), Rule.HEADER_NAME),
    _refused("name is no token", _header(b"X(: a"), Rule.HEADER_NAME),
    _refused("quote in name", _header(b'"X": a'), Rule.HEADER_NAME),
    _refused("UTF-8 in name", _header(b"X\xc3\xa9: a"), Rule.HEADER_NAME),
    _refused("NUL in name", _header(b"X\0: a"), Rule.HEADER_NAME),
    _refused("CR in name", _header(b"X\r: a"), Rule.HEADER_NAME),
    _refused("NUL in value", _header(b"X: a\0b"), Rule.HEADER_VALUE),
    _refused("control in value", _header(b"X: a\x01"), Rule.HEADER_VALUE),
    _refused(
        "vertical tab in value", _header(b"Transfer-Encoding: \x0bchunked"), Rule.HEADER_VALUE
    ),
    _refused("DEL in value", _header(b"X: a\x7f"), Rule.HEADER_VALUE),
    _refused("bare CR in value", _header(b"X: a\rb"), Rule.HEADER_LINE_END),
    _refused("bare LF in value", _header(b"X: a\nY: b"), Rule.HEADER_LINE_END),
    _refused("CR CR LF", _header(b"X: a\r"), Rule.HEADER_LINE_END),
    _refused("LF at the end", GET + b"\n", Rule.HEADER_NAME),
    _refused("LF LF", b"GET / HTTP/1.1\r\nHost: a\n\n", Rule.HEADER_LINE_END),
    _refused("folded", _header(b"X: a\r\n b"), Rule.HEADER_FOLDED),
    _refused("folded, tab", _header(b"X: a\r\n\tb"), Rule.HEADER_FOLDED),
    _refused("folded, empty", _header(b"X:\r\n a"), Rule.HEADER_VALUE),
    _refused("folded coding", _smuggled(b"Transfer-Encoding:\r\n chunked"), Rule.HEADER_VALUE),
    _refused("space before the first", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Rule.HEADER_FOLDED),
    _refused("space only line", _header(b" "), Rule.HEADER_FOLDED),
    _refused("too many", _header(b"\r\n".join([b"X: a"] * 100)), Rule.HEADERS_TOO_MANY),
    _taken("as many as allowed", _header(b"\r\n".join([b"X: a"] * 99)), GOT),
    _refused(
        "too many, last malformed",
        _header(b"\r\n".join([b"X: a"] * 99 + [b"("])),
        Rule.HEADERS_TOO_MANY,
    ),
    _refused("too large", _header(b"X: " + b"a" * 33_000), Rule.HEADERS_TOO_LARGE),
    _refused("endless header", GET + b"X: " + b"a" * 100_000, Rule.HEADERS_TOO_LARGE),
    _refused("endless name", GET + b"X" * 100_000, Rule.HEADERS_TOO_LARGE),
    _refused("endless headers", GET + b"X: a\r\n" * 20_000, Rule.HEADERS_TOO_MANY),
    _refused(
        "malformed before too large", GET + b"X\0: a\r\nX: " + b"a" * 33_000, Rule.HEADER_NAME
    ),
    _refused(
        "too large before malformed",
        GET + b"X: " + b"a" * 33_000 + b"\0\r\n\r\n",
        Rule.HEADERS_TOO_LARGE,
    ),
]

HOSTS = [
    _taken("with port", b"GET / HTTP/1.1\r\nHost: a.example:8000\r\n\r\n", GOT),
    _taken("IPv6", b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", GOT),
    _taken("empty", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", GOT),
    _refused("none", b"GET / HTTP/1.1\r\n\r\n", Rule.HOST_MISSING),
    _refused("two", _header(b"Host: b"), Rule.HOST_TWICE),
    _refused("two, equal", _header(b"host: a"), Rule.HOST_TWICE),
    _refused("two in 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Rule.HOST_TWICE),
    _refused("a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Rule.HOST_MALFORMED),
    _refused("a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Rule.HOST_MALFORMED),
    _refused("a name", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Rule.HOST_MALFORMED),
    _refused("port is no number", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", Rule.HOST_MALFORMED),
    _refused("missing with absolute", b"GET http://a/ HTTP/1.1\r\n\r\n", Rule.HOST_MISSING),
]

LENGTHS = [
    _taken("body", POST + b"Content-Length: 5\r\n\r\nhello", Seen("POST", "/", b"hello")),
    _taken("no body", POST + b"Content-Length: 0\r\n\r\n", Seen("POST", "/")),
    _taken(
        "leading zeros", POST + b"Content-Length: 005\r\n\r\nhello", Seen("POST", "/", b"hello")
    ),
    _taken(
        "space behind", POST + b"Content-Length: 5 \t\r\n\r\nhello", Seen("POST", "/", b"hello")
    ),
    _taken("GET with body", GET + b"Content-Length: 5\r\n\r\nhello", Seen("GET", "/", b"hello")),
    _taken("POST without either", POST + b"\r\n", Seen("POST", "/")),
    _taken(
        "body that looks like a request",
        POST + b"Content-Length: 27\r\n\r\n" + GET + b"\r\n",
        Seen("POST", "/", GET + b"\r\n"),
    ),
    _taken(
        "two requests",
        POST + b"Content-Length: 5\r\n\r\nhello" + GET + b"\r\n",
        Seen("POST", "/", b"hello"),
        GOT,
    ),
    _refused("twice", _smuggled(b"Content-Length: 5\r\nContent-Length: 6"), Rule.LENGTH_TWICE),
    _refused(
        "twice, equal", _smuggled(b"Content-Length: 5\r\nContent-Length: 5"), Rule.LENGTH_TWICE
    ),
    _refused("list", _smuggled(b"Content-Length: 5, 5"), Rule.LENGTH_MALFORMED),
    _refused("plus", _smuggled(b"Content-Length: +5"), Rule.LENGTH_MALFORMED),
    _refused("minus", _smuggled(b"Content-Length: -5"), Rule.LENGTH_MALFORMED),
    _refused("hexadecimal", _smuggled(b"Content-Length: 0x5"), Rule.LENGTH_MALFORMED),
    _refused("underscore", _smuggled(b"Content-Length: 1_0"), Rule.LENGTH_MALFORMED),
    _refused("space inside", _smuggled(b"Content-Length: 5 5"), Rule.LENGTH_MALFORMED),
    _refused("empty length", _smuggled(b"Content-Length:"), Rule.LENGTH_MALFORMED),
    _refused("float", _smuggled(b"Content-Length: 5.0"), Rule.LENGTH_MALFORMED),
    _refused("Arabic digits", _smuggled("Content-Length: ٥".encode()), Rule.LENGTH_MALFORMED),
    _refused(
        "folded length", _smuggled(b"Content-Length: 5\r\n 0"), Rule.HEADER_FOLDED
    ),
    _refused("no-break space", _smuggled(b"Content-Length: \xa05"), Rule.LENGTH_MALFORMED),
    _refused("semicolon", _smuggled(b"Content-Length: 5;0"), Rule.LENGTH_MALFORMED),
    _refused("quotes", _smuggled(b'Content-Length: "5"'), Rule.LENGTH_MALFORMED),
    _refused("exponent", _smuggled(b"Content-Length: 1e1"), Rule.LENGTH_MALFORMED),
    _refused(
        "twice in 1.0",
        b"POST / HTTP/1.0\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        Rule.LENGTH_TWICE,
    ),
    _taken(
        "HEAD with body",
        b"HEAD / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
        Seen("HEAD", "/", b"hello"),
    ),
    _taken(
        "length named in Connection",
        POST + b"Connection: content-length\r\nContent-Length: 5\r\n\r\nhello" + GET + b"\r\n",
        Seen("POST", "/", b"hello"),
        GOT,
    ),
    _refused("overflow", _smuggled(b"Content-Length: " + b"9" * 30), Rule.LENGTH_MALFORMED),
    _refused("nearly overflow", _smuggled(b"Content-Length: " + b"9" * 19), Rule.LENGTH_MALFORMED),
]

CODINGS = [
    _taken("chunked", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", Seen("POST", "/", b"hello")),
    _taken(
        "chunked, other case",
        POST + b"transfer-ENCODING:  Chunked \r\n\r\n0\r\n\r\n",
        Seen("POST", "/"),
    ),
    _refused(
        "both",
        _smuggled(b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        Rule.LENGTH_AND_CODING,
    ),
    _refused(
        "both, other order",
        _smuggled(b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        Rule.LENGTH_AND_CODING,
    ),
    _taken("tab before", POST + b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", Seen("POST", "/")),
    _taken(
        "coding named in Connection",
        POST + b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET + b"\r\n",
        Seen("POST", "/"),
        GOT,
    ),
    _taken(
        "GET with chunks and another request",
        GET + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + GET + b"\r\n",
        Seen("GET", "/", b"hello"),
        GOT,
    ),
    _taken(
        "OPTIONS with chunks and another request",
        b"OPTIONS / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + GET + b"\r\n",
        Seen("OPTIONS", "/", b"hello"),
        GOT,
    ),
    _taken(
        "name with underscore is another header",
        POST + b"Transfer_Encoding: chunked\r\nContent_Length: 5\r\n\r\n" + GET + b"\r\n",
        Seen("POST", "/"),
        GOT,
    ),
    _refused("comma behind", _smuggled(b"Transfer-Encoding: chunked,"), Rule.CODING_AGAIN),
    _refused("semicolon behind", _smuggled(b"Transfer-Encoding: chunked;"), Rule.CODING_UNKNOWN),
    _refused("space inside", _smuggled(b"Transfer-Encoding: chun ked"), Rule.CODING_UNKNOWN),
    _refused("two words", _smuggled(b"Transfer-Encoding: chunked identity"), Rule.CODING_UNKNOWN),
    _refused("no-break space before", _smuggled(b"Transfer-Encoding: \xa0chunked"), Rule.CODING_UNKNOWN),
    _refused(
        "both in 1.0",
        b"POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Rule.LENGTH_AND_CODING,
    ),
    _refused("unknown", _smuggled(b"Transfer-Encoding: xchunked"), Rule.CODING_UNKNOWN),
    _refused("gzip, chunked", _smuggled(b"Transfer-Encoding: gzip, chunked"), Rule.CODING_UNKNOWN),
    _refused("chunked, gzip", _smuggled(b"Transfer-Encoding: chunked, gzip"), Rule.CODING_AGAIN),
    _refused(
        "chunked, chunked", _smuggled(b"Transfer-Encoding: chunked, chunked"), Rule.CODING_AGAIN
    ),
    _refused("identity", _smuggled(b"Transfer-Encoding: identity"), Rule.CODING_UNKNOWN),
    _refused(
        "identity, chunked", _smuggled(b"Transfer-Encoding: identity, chunked"), Rule.CODING_UNKNOWN
    ),
    _refused("comma before", _smuggled(b"Transfer-Encoding: ,chunked"), Rule.CODING_UNKNOWN),
    _refused("quoted", _smuggled(b'Transfer-Encoding: "chunked"'), Rule.CODING_UNKNOWN),
    _refused("parameter", _smuggled(b"Transfer-Encoding: chunked;q=1"), Rule.CODING_UNKNOWN),
    _refused("empty", _smuggled(b"Transfer-Encoding:"), Rule.CODING_UNKNOWN),
    _refused(
        "coding twice",
        _smuggled(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        Rule.CODING_AGAIN,
    ),
    _refused(
        "coding twice, different",
        _smuggled(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        Rule.CODING_AGAIN,
    ),
    _refused(
        "coding in 1.0",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Rule.CODING_IN_1_0,
    ),
    _refused(
        "Kelvin sign", _smuggled("Transfer-Encoding: chun\u212aed".encode()), Rule.CODING_UNKNOWN
    ),
]


def _chunks(name: str, body: bytes, rule: Rule) -> Item:
    return _refused(name, CHUNKED + body, rule)


CHUNKS = [
    _taken(
        "two chunks and another request",
        CHUNKED + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n" + GET + b"\r\n",
        Seen("POST", "/", b"hello"),
        GOT,
    ),
    _taken("leading zeros", CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", Seen("POST", "/", b"hello")),
    _taken(
        "capital digits",
        CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n",
        Seen("POST", "/", b"0123456789"),
    ),
    _taken(
        "extension", CHUNKED + b'5;a="b c";d\r\nhello\r\n0;e\r\n\r\n', Seen("POST", "/", b"hello")
    ),
    _taken(
        "trailers", CHUNKED + b"0\r\nX: y\r\nZ:\r\n\r\n" + GET + b"\r\n", Seen("POST", "/"), GOT
    ),
    _taken(
        "framing in trailers means nothing",
        CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n" + GET + b"\r\n",
        Seen("POST", "/"),
        GOT,
    ),
    _taken(
        "Host and coding in trailers mean nothing",
        CHUNKED + b"0\r\nHost: b\r\nTransfer-Encoding: gzip\r\n\r\n" + GET + b"\r\n",
        Seen("POST", "/"),
        GOT,
    ),
    _chunks("tab behind size", b"5\t\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _taken(
        "a line ends in quotes too",
        CHUNKED + b'5;a="\r\nhello\r\n0\r\n\r\n',
        Seen("POST", "/", b"hello"),
    ),
    _chunks("size in other digits", "٥\r\nhello\r\n0\r\n\r\n".encode(), Rule.CHUNK_SIZE),
    _chunks("two sizes", b"5 0\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("last chunk without its end", b"5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n", Rule.TRAILER),
    _chunks("bare CR at the end", b"0\r\n\rX\r\n", Rule.TRAILER),
    _chunks("size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("size with plus", b"+5\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("size with minus", b"-5\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("size with underscore", b"0_5\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("space before size", b" 5\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("space behind size", b"5 \r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("space before extension", b"5 ;a\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("empty size", b"\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("extension only", b";a\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("no hexadecimal", b"g\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("size overflow", b"1" + b"0" * 16 + b"\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("many zeros", b"0" * 17 + b"5\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("bare LF behind size", b"5\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("bare CR behind size", b"5\rhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("CR CR LF behind size", b"5\r\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("LF in extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("LF in quoted extension", b'5;a="\n"\r\nhello\r\n0\r\n\r\n', Rule.CHUNK_SIZE),
    _chunks("CR in extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("NUL in extension", b"5;a\0\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("long extension", b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("endless extension", b"5;" + b"a" * 100_000, Rule.CHUNK_SIZE),
    _chunks("bare LF behind data", b"5\r\nhello\n0\r\n\r\n", Rule.CHUNK_END),
    _chunks("bare CR behind data", b"5\r\nhello\r0\r\n\r\n", Rule.CHUNK_END),
    _chunks("nothing behind data", b"5\r\nhello0\r\n\r\n", Rule.CHUNK_END),
    _chunks("data too long", b"5\r\nhello!\r\n0\r\n\r\n", Rule.CHUNK_END),
    _chunks("data too short", b"5\r\nhell\r\n0\r\n\r\n", Rule.CHUNK_END),
    _chunks("negative by overflow", b"FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n", Rule.CHUNK_SIZE),
    _chunks("bare LF behind last", b"0\n\r\n", Rule.CHUNK_SIZE),
    _chunks("bare LF at the end", b"0\r\n\nX\r\n", Rule.TRAILER),
    _chunks("trailer without colon", b"0\r\nX\r\n\r\n", Rule.TRAILER),
    _chunks("trailer with space before colon", b"0\r\nX : y\r\n\r\n", Rule.TRAILER),
    _chunks("folded trailer", b"0\r\nX: y\r\n z\r\n\r\n", Rule.TRAILER),
    _chunks("control in trailer", b"0\r\nX: \0\r\n\r\n", Rule.TRAILER),
    _chunks("endless trailers", b"0\r\n" + b"X: y\r\n" * 20_000, Rule.TRAILERS_TOO_LARGE),
    _chunks("endless trailer", b"0\r\nX: " + b"y" * 100_000, Rule.TRAILERS_TOO_LARGE),
    _chunks("request as trailer", b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Rule.TRAILER),
    _chunks("too many chunks", b"1\r\na\r\n" * 16_385, Rule.CHUNKS_TOO_MANY),
]

CONNECTIONS = [
    _taken("close", _header(b"Connection: close"), GOT, closes=True),
    _taken("close in a list", _header(b"Connection: foo, CLOSE"), GOT, closes=True),
    _taken(
        "close in the second",
        _header(b"Connection: keep-alive\r\nConnection: close"),
        GOT,
        closes=True,
    ),
    _taken("keep-alive", _header(b"Connection: Keep-Alive"), GOT),
    _taken("pipelined", (GET + b"\r\n") * 20, *[GOT] * 20),
    _taken(
        "pipelined behind close", _header(b"Connection: close") + GET + b"\r\n", GOT, closes=True
    ),
    _taken(
        "does not wait for 100",
        POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        Seen("POST", "/", b"hello"),
    ),
    _taken("expects without body", _header(b"Expect: 100-Continue"), GOT),
    _taken("expectation in 1.0", b"GET / HTTP/1.0\r\nExpect: x\r\n\r\n", GOT, closes=True),
    _refused("other expectation", _header(b"Expect: 200-ok"), Rule.EXPECTATION),
    _refused(
        "expectation twice",
        _header(b"Expect: 100-continue\r\nExpect: 100-continue"),
        Rule.EXPECTATION,
    ),
]

CORPUS: dict[str, Item] = {}
for _subject, _items in {
    "request line": REQUEST_LINES,
    "version": VERSIONS,
    "header": HEADERS,
    "host": HOSTS,
    "content-length": LENGTHS,
    "transfer-encoding": CODINGS,
    "chunk": CHUNKS,
    "connection": CONNECTIONS,
}.items():
    for _item in _items:
        assert f"{_subject}: {_item.name}" not in CORPUS, _item.name
        CORPUS[f"{_subject}: {_item.name}"] = _item
