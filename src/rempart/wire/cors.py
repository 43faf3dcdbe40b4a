"""Which pages of other origins a browser lets read our answers (Fetch Standard, CORS protocol).

Off unless origins are named. Origins are compared whole and byte for byte, as browsers serialise them:
no patterns, no suffixes, and ``null`` is none. Credentials are never allowed: keys travel in a header
that the page sets itself, so that no cookie can be ridden on.
"""

from collections.abc import Iterable

Headers = tuple[tuple[bytes, bytes], ...]

REQUEST_HEADERS = (
    "authorization",
    "content-type",
    "x-api-key",
    "x-request-id",
    "x-request-timeout",
    "traceparent",
    "tracestate",
    "idempotency-key",
    "anthropic-version",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "openai-organization",
    "openai-project",
    "openai-beta",
    # What the official clients for JavaScript add by themselves.
    "x-stainless-arch",
    "x-stainless-async",
    "x-stainless-helper",
    "x-stainless-helper-method",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-poll-helper",
    "x-stainless-custom-poll-interval",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
)
"""What a page may send. Named one by one: a wildcard leaves out ``authorization``, and would let a page in
the browser of a trusted proxy's machine send ``x-forwarded-for``."""

EXPOSED = (
    "x-request-id",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "ratelimit",
    "ratelimit-policy",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "server-timing",
    "x-cache",
    "x-rempart-ignored-fields",
)
"""What a page may read of an answer, beside what it always may."""

ANY = "*"


class CorsPolicy:
    """The answers' headers by the request's ``Origin``, made once.

    Args:
        origins: as browsers write them (``settings.rules`` refuses others), or only ``*``.
        methods: of all routes; OPTIONS needs no naming.
        max_age_s: how long browsers may keep a preflight's answer.
        more_headers: of the configuration, that pages may send too.
    """

    __slots__ = ("_is_any", "_others", "_preflight", "_read")

    def __init__(
        self,
        origins: Iterable[str],
        *,
        methods: Iterable[str],
        max_age_s: int,
        more_headers: Iterable[str] = (),
    ) -> None:
        exposed = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
        named = list(origins)
        self._is_any = ANY in named
        # Even what is refused varies by origin, or a cache would keep the refusal for all.
        varies: Headers = () if self._is_any else ((b"vary", b"origin"),)
        self._read: dict[bytes, Headers] = {
            origin.encode(): ((b"access-control-allow-origin", origin.encode()), exposed, *varies)
            for origin in named
        }
        self._others: Headers = self._read[b"*"] if self._is_any else varies
        self._preflight: Headers = (
            (b"access-control-allow-methods", ", ".join(dict.fromkeys(methods)).encode()),
            (
                b"access-control-allow-headers",
                ", ".join([*REQUEST_HEADERS, *more_headers]).encode("latin-1"),
            ),
            (b"access-control-max-age", b"%d" % max_age_s),
        )

    def answer(self, origin: bytes | None) -> Headers:
        """What any answer carries; an origin that is not allowed gets nothing that lets its page read."""
        if origin is None:
            return self._others
        return self._read.get(origin, self._others)

    def preflight(self, origin: bytes | None, wanted_method: bytes | None) -> Headers:
        """What an answer to OPTIONS carries beside ``answer``; nothing unless it is a preflight that may pass."""
        is_allowed = self._is_any or origin in self._read
        return self._preflight if origin and wanted_method and is_allowed else ()


def cors_policy(
    origins: Iterable[str],
    *,
    methods: Iterable[str],
    max_age_s: int,
    more_headers: Iterable[str] = (),
) -> CorsPolicy | None:
    """The policy, None when no origin is named: then no answer speaks of CORS."""
    named = list(origins)
    if not named:
        return None
    return CorsPolicy(named, methods=methods, max_age_s=max_age_s, more_headers=more_headers)
