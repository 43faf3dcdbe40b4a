"""What a request's head means, and the rules for it that llhttp does not keep.

Sources: RFC 9112 §2–3, §6, §9; RFC 9110 §5.5, §7.2, §10.1.1.
"""

import re

from rempart.net.http1.rules import Rule, RuleBroken

Headers = list[tuple[bytes, bytes]]

_target_is_plain = re.compile(rb"[!\"$-~]+").fullmatch
_host_is_plain = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
).fullmatch
_absolute_target = re.compile(rb"https?://([^/?]+)([/?].*)?", re.IGNORECASE).fullmatch
_length_is_plain = re.compile(rb"[0-9]{1,18}").fullmatch


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


def checked_head(
    method: bytes, target: bytes, version: str, headers: Headers, line: bytes
) -> RequestHead:
    """The head's meaning, after the rules that llhttp does not know.

    Args:
        method, target, version, headers: as parsed.
        line: the request line as it came, without its end.
    Raises:
        RuleBroken: one of them is not kept.
    """
    is_1_1 = version == "1.1"
    if line != b"%b %b HTTP/1.%d" % (method, target, is_1_1):
        raise RuleBroken(Rule.REQUEST_LINE)  # more spaces than llhttp counts, or another protocol
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
        is_once = len(index) == len(headers)
        head.keeps_alive = (connection == b"keep-alive" and is_once) or _keeps_alive(
            headers, is_1_1
        )
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


def _keeps_alive(headers: Headers, is_1_1: bool) -> bool:
    tokens = {
        token.strip(b" \t").lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }
    if b"close" in tokens:
        return False
    return is_1_1 or b"keep-alive" in tokens


_ONCE = {
    b"host": Rule.HOST_TWICE,
    b"content-length": Rule.LENGTH_TWICE,
    b"transfer-encoding": Rule.CODING_AGAIN,
    b"expect": Rule.EXPECTATION,
}

METHODS = {
    name.encode(): name
    for name in (
        *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"),
        *("COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK"),
        *("BIND", "REBIND", "UNBIND", "ACL", "LINK", "UNLINK", "MKCALENDAR", "PURGE"),
        *("REPORT", "MKACTIVITY", "CHECKOUT", "MERGE"),
        *("M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE"),
    )
}
"""Methods of HTTP that llhttp knows; those it knows from RTSP and ICE are refused."""
