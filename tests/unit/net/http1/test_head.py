"""What a head means (its rules have their corpus in tests/security)."""

import pytest

from rempart.net.http1.head import METHODS, Headers, RequestHead, checked_head
from rempart.net.http1.head_reader import HeadReader
from rempart.net.http1.limits import ServerLimits
from rempart.net.http1.rules import Rule, RuleBroken


def check(
    target: bytes = b"/", headers: Headers | None = None, version: str = "1.1"
) -> RequestHead:
    line = b"GET " + target + b" HTTP/" + version.encode()
    return checked_head(b"GET", target, version, [(b"host", b"a"), *(headers or [])], line)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", ""),
        (b"/a%20b/?c=d&e=%00?f", "/a%20b/", "c=d&e=%00?f"),
        (b"//a", "//a", ""),
        (b"/?", "/", ""),
        (b"http://b:80/x?y", "/x", "y"),
        (b"https://b", "/", ""),
        (b"http://[::1]:80?y", "/", "y"),
    ],
)
def test_path_and_query_are_taken_apart_and_not_decoded(
    target: bytes, path: str, query: str
) -> None:
    head = check(target)
    assert (head.target, head.path, head.query) == (target, path, query)


def test_the_first_value_of_a_name_is_found() -> None:
    head = check(headers=[(b"x", b"1"), (b"y", b"2"), (b"x", b"3")])
    assert head.index == {b"host": b"a", b"x": b"1", b"y": b"2"}
    assert head.headers[1:] == [(b"x", b"1"), (b"y", b"2"), (b"x", b"3")]


@pytest.mark.parametrize(
    ("version", "connections", "keeps"),
    [
        ("1.1", [], True),
        ("1.1", [b"keep-alive"], True),
        ("1.1", [b"close"], False),
        ("1.1", [b"foo, Close ,bar"], False),
        ("1.1", [b"keep-alive", b"close"], False),
        ("1.1", [b"closed"], True),
        ("1.0", [], False),
        ("1.0", [b"keep-alive"], True),
        ("1.0", [b"foo,\tKeep-Alive"], True),
        ("1.0", [b"keep-alive, close"], False),
    ],
)
def test_a_connection_is_kept_as_its_version_and_header_say(
    version: str, connections: list[bytes], keeps: bool
) -> None:
    headers = [(b"connection", value) for value in connections]
    assert check(headers=headers, version=version).keeps_alive is keeps


def test_a_client_waits_for_continue_only_when_it_has_a_body() -> None:
    expects: Headers = [(b"expect", b"100-Continue")]
    assert not check(headers=expects).expects_continue
    assert not check(headers=[*expects, (b"content-length", b"0")]).expects_continue
    assert check(headers=[*expects, (b"content-length", b"1")]).expects_continue
    assert check(headers=[*expects, (b"transfer-encoding", b"chunked")]).expects_continue
    assert not check(headers=[*expects, (b"content-length", b"1")], version="1.0").expects_continue


@pytest.mark.parametrize("method", sorted(set(METHODS) - {b"CONNECT"}))
def test_every_method_listed_is_one_that_the_parser_knows(method: bytes) -> None:
    found = HeadReader(ServerLimits()).feed(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert found is not None
    assert found[0].method == method.decode()


def test_a_line_that_is_not_what_was_parsed_is_refused() -> None:
    """The parser's view and the bytes must agree to the last space."""
    with pytest.raises(RuleBroken) as broken:
        checked_head(b"GET", b"/", "1.1", [(b"host", b"a")], b"GET  / HTTP/1.1")
    assert broken.value.rule is Rule.REQUEST_LINE
