"""What every answer tells a browser, so that none of them can be used against its reader.

Constants, since each answer pays for them: what guards data is on all; what guards pages only where a
browser may open one. CORS is in ``cors.py``.
"""

Headers = tuple[tuple[bytes, bytes], ...]

ALWAYS: Headers = (
    (b"cache-control", b"private, no-store"),
    # JSON and event streams are never taken for a script or a page.
    (b"x-content-type-options", b"nosniff"),
    # No other site's page may load an answer as image, script or the like (Fetch, CORP check).
    (b"cross-origin-resource-policy", b"same-origin"),
)
BROWSED: Headers = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
"""Beside ALWAYS, where no key is needed to open it."""
NO_PAGE: Headers = (
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
)
"""For what is no page; a page has a policy of its own (``docs_page.py``)."""
STRICT_TRANSPORT: Headers = ((b"strict-transport-security", b"max-age=31536000"),)
"""Over TLS only (RFC 6797 §7.2); says nothing of other hosts of the domain, which are not ours to decide."""


def strict_transport(*, has_tls: bool, host: str) -> Headers:
    """STRICT_TRANSPORT where it belongs.

    Not on loopback: browsers would refuse plain HTTP on every port of ``localhost`` for a year.

    Args:
        host: where the server listens.
    """
    is_loopback = host in ("localhost", "::1") or host.startswith("127.")
    return STRICT_TRANSPORT if has_tls and not is_loopback else ()
