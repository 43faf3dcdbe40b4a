"""Heads in pieces, at their bounds, and made of anything (more in tests/security)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rempart.net.http1.head import RequestHead
from rempart.net.http1.head_reader import HeadReader
from rempart.net.http1.limits import ServerLimits
from rempart.net.http1.rules import Rule, RuleBroken

LIMITS = ServerLimits(header_bytes_max=200, header_count_max=5, target_bytes_max=20)
FIELDS = (
    "method",
    "target",
    "path",
    "query",
    "headers",
    "version",
    "content_length",
    "is_chunked",
    "expects_continue",
    "keeps_alive",
)


def read(pieces: list[bytes]) -> tuple | Rule | None:
    """The head's fields and where it ends, or the rule it breaks, or None while it goes on."""
    reader = HeadReader(LIMITS)
    before = 0
    for piece in pieces:
        try:
            found = reader.feed(piece)
        except RuleBroken as broken:
            return broken.rule
        if found is not None:
            head, used = found
            return (*(getattr(head, name) for name in FIELDS), before + used)
        before += len(piece)
    return None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def test_bytes_behind_the_head_are_left_over() -> None:
    head = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"
    reader = HeadReader(LIMITS)
    found = reader.feed(head + b"behind")
    assert found is not None
    assert isinstance(found[0], RequestHead)
    assert found[1] == len(head)


def test_empty_lines_alone_are_no_beginning() -> None:
    """A connection that only sent those is idle, and owed no 408."""
    reader = HeadReader(LIMITS)
    assert reader.feed(b"\r\n") is None
    assert not reader.has_begun
    assert reader.feed(b"G") is None
    assert reader.has_begun


@pytest.mark.parametrize("cutting", ["whole", "in two", "byte by byte"])
@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"GET /" + b"a" * 19 + b" HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"GET /" + b"a" * 20 + b" HTTP/1.1\r\nHost: a\r\n\r\n", Rule.TARGET_TOO_LONG),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 4 + b"\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 5 + b"\r\n", Rule.HEADERS_TOO_MANY),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 168 + b"\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 169 + b"\r\n\r\n", Rule.HEADERS_TOO_LARGE),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 164 + b"\r\n\r\n", None),
        (
            b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 165 + b"\r\n\r\n",
            Rule.HEADERS_TOO_LARGE,
        ),
    ],
)
def test_bounds_are_exact(data: bytes, rule: Rule | None, cutting: str) -> None:
    """The last byte or line that is allowed is, and one more is not, in every cut."""
    places = {"whole": [], "in two": [len(data) // 2], "byte by byte": list(range(len(data)))}
    outcome = read(cut(data, places[cutting]))
    if rule is None:
        assert isinstance(outcome, tuple)
        assert outcome[-1] == len(data)
    else:
        assert outcome is rule


_PIECES = [
    *(
        b"GET",
        b"POST",
        b"FETCH",
        b" ",
        b" /",
        b"/",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b" HTTP/2.0",
        b"\r\n",
    ),
    *(b"\r", b"\n", b":", b": ", b"Host: a\r\n", b"Host: b", b"X: y\r\n", b"Content-Length: 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n"),
    *(
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\t",
        b"\0",
        b"a" * 30,
    ),
]
soup = st.lists(st.sampled_from(_PIECES) | st.binary(max_size=4), max_size=14).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(soup, st.lists(st.integers(0, 500), max_size=10))
def test_any_bytes_give_the_same_head_or_rule_however_they_are_cut(
    data: bytes, places: list[int]
) -> None:
    """Nothing but ``RuleBroken`` is raised; the short way agrees with the long one."""
    whole = read([data])
    assert read(cut(data, places)) == whole
    assert read([bytes([byte]) for byte in data]) == whole


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300).filter(lambda data: b"HTTP/1." not in data))
def test_noise_is_never_a_request(data: bytes) -> None:
    outcome = read([data + b"\r\n\r\n"])
    assert outcome is None or isinstance(outcome, Rule)
