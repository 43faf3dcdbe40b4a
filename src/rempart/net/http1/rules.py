"""What the protocol layer refuses: one row per rule, with the status and the reason a client is told."""

from dataclasses import dataclass
from enum import Enum


class Rule(Enum):
    """A rule of RFC 9110/9112, or a bound of ours, that a request broke; value: status, reason."""

    METHOD_MALFORMED = 400, "the request line does not begin with a method"
    METHOD_UNKNOWN = 501, "this method"
    CONNECT = 501, "the method CONNECT"
    REQUEST_LINE = 400, "the request line is not 'METHOD target HTTP/1.1' with single spaces"
    EMPTY_LINES = 400, "more than two empty lines, or a bare CR or LF, before the request line"
    TARGET_MALFORMED = 400, "the target has a character that is not allowed, or is of no known form"
    TARGET_TOO_LONG = 414, "the target is too long"
    VERSION = 505, "another version of HTTP than 1.0 and 1.1"
    HEADER_NAME = (
        400,
        "a header name is empty, has a character that is not allowed, or no colon right behind it",
    )
    HEADER_VALUE = 400, "a header value has a control character, or its name stands alone"
    HEADER_LINE_END = 400, "a header line does not end with CR LF"
    HEADER_FOLDED = 400, "a header is folded over two lines"
    HEADERS_TOO_LARGE = 431, "the header section has too many bytes"
    HEADERS_TOO_MANY = 431, "the header section has too many lines"
    HEADER_TIME = 408, "the header section took too long"
    HOST_MISSING = 400, "a request in HTTP/1.1 needs a Host header"
    HOST_TWICE = 400, "there is more than one Host header"
    HOST_MALFORMED = 400, "the Host header is not host[:port]"
    LENGTH_MALFORMED = 400, "Content-Length is not one plain decimal number"
    LENGTH_TWICE = 400, "there is more than one Content-Length"
    LENGTH_AND_CODING = 400, "Content-Length and Transfer-Encoding come together"
    CODING_UNKNOWN = 501, "a transfer coding other than 'chunked' alone"
    CODING_AGAIN = 400, "Transfer-Encoding goes on after 'chunked', or comes twice"
    CODING_IN_1_0 = 400, "Transfer-Encoding does not exist in HTTP/1.0"
    EXPECTATION = 400, "an expectation other than 100-continue"
    CHUNK_SIZE = 400, "a chunk's size line is not hexadecimal digits, a short extension and CR LF"
    CHUNK_END = 400, "a chunk does not end with CR LF where its size says"
    CHUNKS_TOO_MANY = 400, "the body comes in too many chunks"
    TRAILER = 400, "a trailer line is malformed"
    TRAILERS_TOO_LARGE = 431, "the trailer section has too many bytes"
    MALFORMED = 400, "this is not HTTP/1.1"
    CONNECTIONS = 503, "too many connections are open"
    CONNECTIONS_OF_ADDRESS = 503, "too many connections of this address are open"
    INTERNAL = 500, "a bug"

    @property
    def status(self) -> int:
        """The answer's status."""
        return self.value[0]

    @property
    def reason(self) -> str:
        """What was wrong, as the end of a sentence."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection or request that was refused before any handler could answer it.

    Attributes:
        rule: which rule it broke.
        peer: the client's address, "" on Unix sockets.
    """

    rule: Rule
    peer: str

    @property
    def status(self) -> int:
        """The answer's status."""
        return self.rule.status

    @property
    def reason(self) -> str:
        """What was wrong, as the end of a sentence; 501 and 505 name what is not taken."""
        return self.rule.reason


class RuleBroken(Exception):
    """Raised inside the parsers; never leaves the connection."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        super().__init__(rule.reason)
